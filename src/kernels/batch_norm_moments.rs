//! Launcher of `shaders/batch_norm_moments.wgsl`.

use super::common::{BatchStatistics, ELEMENTWISE, ImageRange, first_stage, grid, moved};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    storage::Storage,
};

/// Means, and sums of squared deviations from them, of the parts of every batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormMoments<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [batch, part, group] two vec4.
    pub moments: &'a Buffer,
    /// Batches and parts.
    pub by: BatchStatistics<'a>,
    /// Shape of an image.
    pub shape: Shape,
    /// Format of the input.
    pub storage: Storage,
}

impl Launcher for BatchNormMoments<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self.storage.specialize(first_stage(self.shape, self.by));
        let elements = self.shape.pixels() * groups(self.shape.channels);
        Launch::new("batch_norm_moments", specialization)
            .bind("images", self.images)
            .bind("current", self.by.current)
            .bind("input", self.input)
            .bind("moments", self.moments)
            .over(grid(self.by.sums(self.shape).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, elements, self.storage.input))
    }
}
