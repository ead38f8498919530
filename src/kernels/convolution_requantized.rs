//! Launcher of `shaders/convolution_requantized.wgsl`.

use super::common::{
    Geometry, ImageRange, Requantized, SlicedWeights, StripTiles, over_strips, strip_constants,
};
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    storage::Storage,
};

/// A convolution of integer inference by strips, for software drivers; for one slice of the output
/// channels.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionRequantized<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// The slice.
    pub weights: SlicedWeights<'a>,
    /// [image, row, column, channel / 4] of all slices.
    pub output: Binding<'a>,
    /// The operation on the sums.
    pub end: Requantized<'a>,
    /// Sizes.
    pub geometry: Geometry,
    /// Register tiles.
    pub tiles: StripTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// The work for all slices.
    pub work: Work,
}

impl Launcher for ConvolutionRequantized<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization =
            strip_constants(self.tiles, self.geometry).feature("paired", self.tiles.images == 2);
        let specialization = self.storage.specialize(self.end.by_place(specialization));
        let launch = Launch::new("convolution_requantized", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weights.weight)
            .bind("slice", self.weights.slice)
            .bind("output", self.output);
        let tiles = (self.tiles, self.geometry);
        over_strips(self.end.bind(launch), self.images, tiles, self.weights, self.work)
    }
}
