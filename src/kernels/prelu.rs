//! Launcher of `shaders/prelu.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, PreluShape, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::Storage,
};

/// output = input, or below 0 slope · input.
#[derive(Clone, Copy, Debug)]
pub struct Prelu<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, pixel, channel / 4].
    pub input: Binding<'a>,
    /// As the input.
    pub output: Binding<'a>,
    /// The flat parameters.
    pub parameters: Binding<'a>,
    /// Sizes.
    pub shape: PreluShape,
    /// Formats of input and output.
    pub storage: Storage,
}

impl Launcher for Prelu<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.elements();
        Launch::new("prelu", self.storage.specialize(self.shape.constants()))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .bind("parameters", self.parameters)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * elements, self.storage.output))
    }
}
