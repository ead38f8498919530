//! Launcher of `shaders/convolution_input_gradient.wgsl`.

use super::common::{
    Geometry, Gradient, ImageRange, Pooling, SlicedWeights, StripTiles, over_strips,
    strip_constants,
};
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    storage::Storage,
};

/// The gradient with respect to a convolution's input by strips, for software drivers; for one
/// slice of the input channels.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionInputGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4]; windows if a max-pool is part of the layer.
    pub output_gradient: Binding<'a>,
    /// The slice, of mirrored taps.
    pub weights: SlicedWeights<'a>,
    /// [image, row, column, channel / 4] of all slices.
    pub input_gradient: Binding<'a>,
    /// Positions of the maxima, if a max-pool is part of the layer.
    pub chosen: Option<Binding<'a>>,
    /// The factor of the gradient.
    pub end: Gradient,
    /// Sizes: [`Geometry::mirrored`].
    pub geometry: Geometry,
    /// Register tiles.
    pub tiles: StripTiles,
    /// Formats of the read and the written gradient, and of a ReLU's values.
    pub storage: Storage,
    /// The work for all slices.
    pub work: Work,
}

impl Launcher for ConvolutionInputGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let [spacing_y, spacing_x] = self.geometry.spacing;
        let specialization = strip_constants(self.tiles, self.geometry)
            .tile("SPACING_Y", spacing_y)
            .tile("SPACING_X", spacing_x)
            .feature("pooled_input", self.geometry.pooling == Pooling::Input);
        let specialization = self.storage.specialize(self.end.constants(specialization));
        let launch = Launch::new("convolution_input_gradient", specialization)
            .bind("images", self.images)
            .bind("output_gradient", self.output_gradient)
            .bind("weight", self.weights.weight)
            .bind("slice", self.weights.slice)
            .bind("input_gradient", self.input_gradient)
            .bind_some("chosen", self.chosen);
        let tiles = (self.tiles, self.geometry);
        over_strips(launch, self.images, tiles, self.weights, self.work)
    }
}
