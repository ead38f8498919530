//! Launcher of `shaders/convolution_input_gradient_narrow.wgsl`.

use super::common::{Geometry, ImageRange, linked_window};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, Work},
    shaders::Specialization,
    storage::Storage,
};

/// Register tiles of the gradient of a narrow input: lanes are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NarrowTiles {
    /// Invocations of a workgroup.
    pub lanes: u32,
    /// Pixels of a row per invocation.
    pub columns: u32,
}

/// The gradient with respect to a convolution's input that has a single group of channels.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionInputGradientNarrow<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub output_gradient: Binding<'a>,
    /// [tap, in channel (padded), out channel / 4] vec4: the forward pass's.
    pub weight: &'a Buffer,
    /// [image, row, column].
    pub input_gradient: Binding<'a>,
    /// Sizes of the layer's forward pass.
    pub geometry: Geometry,
    /// Real input channels.
    pub channels: u32,
    /// Tiles.
    pub tiles: NarrowTiles,
    /// Formats: the input's gradient is the input, the output's the output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for ConvolutionInputGradientNarrow<'_> {
    fn launch(&self) -> Launch<'_> {
        let [height, width, _] = self.geometry.input;
        let NarrowTiles { lanes, columns } = self.tiles;
        let specialization = Specialization::new()
            .tile("COLUMNS", columns)
            .tile("LANES", lanes)
            .tile("CHANNELS", self.channels);
        let specialization = linked_window(specialization, self.geometry.window);
        let specialization = self.storage.specialize(self.geometry.sizes(specialization));
        Launch::new("convolution_input_gradient_narrow", specialization)
            .bind("images", self.images)
            .bind("output_gradient", self.output_gradient)
            .bind("weight", self.weight)
            .bind("input_gradient", self.input_gradient)
            .over([width.div_ceil(columns) * height.div_ceil(lanes), self.images.most, 1])
            .doing(self.work)
    }
}
