//! Launcher of `shaders/max_pool_rescale.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, PoolShape, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::Format,
};

/// DeepLIFT's multipliers of a pool's output, handed to the maxima of image and baseline.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolRescale<'a> {
    /// Images to work on; their baselines stand behind them.
    pub images: ImageRange<'a>,
    /// The pool's input, [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// Its output.
    pub output: Binding<'a>,
    /// Positions of the maxima.
    pub choice: Binding<'a>,
    /// Multipliers of the output.
    pub multiplier: Binding<'a>,
    /// Multipliers of the input.
    pub input_multiplier: Binding<'a>,
    /// Sizes.
    pub shape: PoolShape,
}

impl Launcher for MaxPoolRescale<'_> {
    fn launch(&self) -> Launch<'_> {
        let (read, written) = (2 * self.shape.output_elements(), self.shape.input_elements());
        let specialization = self.shape.overlaps(self.shape.constants());
        Launch::new("max_pool_rescale", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .bind("choice", self.choice)
            .bind("multiplier", self.multiplier)
            .bind("input_multiplier", self.input_multiplier)
            .over(grid((self.images.most * written).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, read + written, Format::F32))
    }
}
