//! Launcher of `shaders/batch_norm_gradient_sums.wgsl`.

use super::common::{BatchStatistics, ELEMENTWISE, ImageRange, first_stage, grid, moved};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    storage::Storage,
};

/// Σg and Σg·x̂ of the parts of every batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormGradientSums<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// Gradient of the output, in the layout of the input.
    pub gradient: Binding<'a>,
    /// [batch, group].
    pub coefficients: &'a Buffer,
    /// [batch, part, group] two vec4.
    pub sums: &'a Buffer,
    /// Batches and parts.
    pub by: BatchStatistics<'a>,
    /// Shape of an image.
    pub shape: Shape,
    /// Formats: of the input, and of the gradient as the output.
    pub storage: Storage,
}

impl Launcher for BatchNormGradientSums<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self.storage.specialize(first_stage(self.shape, self.by));
        let elements = self.shape.pixels() * groups(self.shape.channels);
        Launch::new("batch_norm_gradient_sums", specialization)
            .bind("images", self.images)
            .bind("current", self.by.current)
            .bind("input", self.input)
            .bind("gradient", self.gradient)
            .bind("coefficients", self.coefficients)
            .bind("sums", self.sums)
            .over(grid(self.by.sums(self.shape).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * elements, self.storage.output))
    }
}
