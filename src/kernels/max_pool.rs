//! Launcher of `shaders/max_pool.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, PoolShape, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::Storage,
};

/// The maximum of every window, and its position.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// Positions of the maxima, as the output; none where outputs are integers.
    pub choice: Option<Binding<'a>>,
    /// Sizes.
    pub shape: PoolShape,
    /// Formats of input and output.
    pub storage: Storage,
}

impl Launcher for MaxPool<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.output_elements();
        let moves = self.shape.input_elements() + elements;
        Launch::new("max_pool", self.storage.specialize(self.shape.constants()))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .bind_some("choice", self.choice)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, moves, self.storage.output))
    }
}
