//! Launcher of `shaders/convolution_weight_gradient.wgsl`.

use super::common::{Geometry, ImageRange, Pooling, linked_window};
use crate::{
    config::Window,
    gpu::{Binding, Launch, Launcher, Work},
    shaders::Specialization,
    storage::Storage,
};

/// Register tiles of a convolution's weight gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightGradientTiles {
    /// Invocations of a workgroup, each with its own output channels.
    pub lanes: u32,
    /// Groups of 4 output channels per invocation.
    pub groups: u32,
    /// Groups of 4 input channels.
    pub inputs: u32,
    /// Rows of taps.
    pub tap_rows: u32,
    /// Pixels of a row of outputs at a time.
    pub columns: u32,
    /// Whether the invocations are a subgroup that shares its loads of inputs.
    pub subgroups: bool,
}

impl WeightGradientTiles {
    fn constants(self, window: Window) -> Specialization {
        linked_window(Specialization::new(), window)
            .tile("COLUMNS", self.columns)
            .tile("GROUPS", self.groups)
            .tile("INPUTS", self.inputs)
            .tile("LANES", self.lanes)
            .tile("TAP_ROWS", self.tap_rows)
            .tile("FRESH", window.stride[0].min(self.tap_rows))
            .feature("subgroups", self.subgroups)
    }

    /// (workgroups along the taps' rows and input groups, along the output groups) of one part,
    /// for `tap_rows` rows of taps.
    pub fn workgroups(self, [in_groups, out_groups]: [u32; 2], tap_rows: u32) -> (u32, u32) {
        (
            in_groups.div_ceil(self.inputs) * tap_rows.div_ceil(self.tap_rows),
            out_groups.div_ceil(self.lanes * self.groups),
        )
    }
}

/// The gradient with respect to a convolution's weights and bias in parts, for software drivers.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionWeightGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [image, row, column, channel / 4]; windows if a max-pool is part of the layer.
    pub output_gradient: Binding<'a>,
    /// [part, tap · in channel (padded) + bias, out channel (padded)].
    pub parts: Binding<'a>,
    /// Positions of the maxima, if a max-pool is part of the layer.
    pub chosen: Option<Binding<'a>>,
    /// Number of parts.
    pub part_count: u32,
    /// Sizes of the layer's forward pass.
    pub geometry: Geometry,
    /// Tiles.
    pub tiles: WeightGradientTiles,
    /// Formats: input, and gradient as the output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for ConvolutionWeightGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let geometry = self.geometry;
        let ([_, _, in_groups], [_, _, out_groups]) = (geometry.input, geometry.output);
        let window = geometry.window;
        let [top, left, ..] = window.padding;
        let specialization = geometry
            .sizes(self.tiles.constants(window))
            .feature("pooled", geometry.pooling == Pooling::Output)
            .tile("DEPTH", geometry.depth)
            .constant("TOP", top)
            .constant("LEFT", left)
            .constant("PARTS", self.part_count);
        // A row of pixels is an iteration, and one that loads it.
        let side = if geometry.pooling == Pooling::Output { 2 } else { 1 };
        let [height, width] = [geometry.output[0], geometry.output[1]].map(|size| size * side);
        let images = u64::from(self.images.most.div_ceil(self.part_count.max(1)));
        let strips = u64::from(width.div_ceil(self.tiles.columns));
        let iterations = images * (1 + strips * (1 + 2 * u64::from(height)));
        let (rows, columns) = self.tiles.workgroups([in_groups, out_groups], window.kernel[0]);
        Launch::new("convolution_weight_gradient", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output_gradient", self.output_gradient)
            .bind("parts", self.parts)
            .bind_some("chosen", self.chosen)
            .over([rows, self.part_count, columns])
            .looping(iterations)
            .doing(self.work)
    }
}
