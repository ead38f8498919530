//! Launcher of `shaders/average_pool_gradient.wgsl`.

use super::common::{AveragePoolShape, ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::Storage,
};

/// Distributes the gradient of every window's mean to its pixels.
#[derive(Clone, Copy, Debug)]
pub struct AveragePoolGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4] of the pool's output.
    pub output_gradient: Binding<'a>,
    /// [image, row, column, channel / 4] of the pool's input.
    pub input_gradient: Binding<'a>,
    /// Sizes.
    pub shape: AveragePoolShape,
    /// Formats of the gradients: `input` of the input's, `output` of the output's.
    pub storage: Storage,
}

impl Launcher for AveragePoolGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let shape = self.shape.windows();
        let (read, written) = (shape.output_elements(), shape.input_elements());
        let specialization = shape.overlaps(self.shape.constants());
        Launch::new("average_pool_gradient", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("output_gradient", self.output_gradient)
            .bind("input_gradient", self.input_gradient)
            .over(grid((self.images.most * written).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, read + written, self.storage.output))
    }
}
