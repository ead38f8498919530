//! Launcher of `shaders/convolution.wgsl`.

use super::common::{
    Activated, Geometry, ImageRange, Pooling, SlicedWeights, StripTiles, over_strips,
    strip_constants,
};
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    storage::Storage,
};

/// A convolution with bias and activation by strips, for software drivers; for one slice of the
/// output channels.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// The slice.
    pub weights: SlicedWeights<'a>,
    /// [image, row, column, channel / 4] of all slices; windows if a max-pool is part of the layer.
    pub output: Binding<'a>,
    /// Bias and activation.
    pub end: Activated<'a>,
    /// Positions of the maxima, if a max-pool is part of the layer.
    pub choice: Option<Binding<'a>>,
    /// Sizes.
    pub geometry: Geometry,
    /// Register tiles.
    pub tiles: StripTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// The work for all slices.
    pub work: Work,
}

impl Launcher for Convolution<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = strip_constants(self.tiles, self.geometry)
            .feature("pooled_output", self.geometry.pooling == Pooling::Output);
        let specialization = self.storage.specialize(self.end.constants(specialization));
        let launch = Launch::new("convolution", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weights.weight)
            .bind("slice", self.weights.slice)
            .bind("output", self.output)
            .bind_some("choice", self.choice);
        let tiles = (self.tiles, self.geometry);
        over_strips(self.end.bind(launch), self.images, tiles, self.weights, self.work)
    }
}
