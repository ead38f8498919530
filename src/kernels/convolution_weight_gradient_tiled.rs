//! Launcher of `shaders/convolution_weight_gradient_tiled.wgsl`.

use super::common::{Geometry, ImageRange};
use crate::{
    gpu::{Binding, Launch, Launcher, ProductTiles, Work},
    shaders::Specialization,
    storage::Storage,
};

/// The gradient with respect to a layer's weights and bias in parts, as a matrix product in
/// workgroup memory, for GPUs.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionWeightGradientTiled<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub output_gradient: Binding<'a>,
    /// [part, tap · in channel (padded) + bias, out channel (padded)].
    pub parts: Binding<'a>,
    /// Number of parts.
    pub part_count: u32,
    /// Sizes of the layer's forward pass.
    pub geometry: Geometry,
    /// Tiles.
    pub tiles: ProductTiles,
    /// Formats: input, and gradient as the output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for ConvolutionWeightGradientTiled<'_> {
    fn launch(&self) -> Launch<'_> {
        let geometry = self.geometry;
        let [_, _, out_groups] = geometry.output;
        let (rows, columns) = self.tiles.workgroups(geometry.inner() + 1, out_groups);
        let specialization = self
            .tiles
            .specialize(geometry.windows(Specialization::new()))
            .tile("DEPTH", geometry.depth)
            .constant("PARTS", self.part_count);
        let specialization = self.storage.specialize(specialization);
        Launch::new("convolution_weight_gradient_tiled", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output_gradient", self.output_gradient)
            .bind("parts", self.parts)
            .over([rows, self.part_count, columns])
            .doing(self.work)
    }
}
