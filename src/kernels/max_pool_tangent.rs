//! Launcher of `shaders/max_pool_tangent.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, PoolShape, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::Format,
};

/// The derivative of a max-pool along a direction.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolTangent<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The direction at the pool's input, [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// Positions of the maxima.
    pub choice: Binding<'a>,
    /// The derivative at its output, in the same layout.
    pub output: Binding<'a>,
    /// Sizes.
    pub shape: PoolShape,
}

impl Launcher for MaxPoolTangent<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.output_elements();
        Launch::new("max_pool_tangent", self.shape.places())
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("choice", self.choice)
            .bind("output", self.output)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * elements, Format::F32))
    }
}
