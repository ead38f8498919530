//! Launcher of `shaders/depthwise_weight_gradient.wgsl`.

use super::common::{DepthwiseTiles, Geometry, ImageRange, flat_workgroups};
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    storage::Storage,
};

/// The gradient with respect to a depthwise convolution's weights and bias in parts.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseWeightGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub output_gradient: Binding<'a>,
    /// [part, tap + bias, channel (padded)].
    pub parts: Binding<'a>,
    /// Number of parts.
    pub part_count: u32,
    /// Sizes of the layer's forward pass.
    pub geometry: Geometry,
    /// Tiles.
    pub tiles: DepthwiseTiles,
    /// Formats: input, and gradient as the output.
    pub storage: Storage,
    /// What it has to do.
    pub work: Work,
}

impl Launcher for DepthwiseWeightGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self.tiles.constants(self.geometry).constant("PARTS", self.part_count);
        let [height, width, groups] = self.geometry.output;
        let bands = u64::from(self.images.most) * u64::from(height.div_ceil(self.tiles.rows));
        let strips = u64::from(width.div_ceil(self.tiles.columns));
        // A row of pixels is an iteration, and one that loads it.
        let of_band = 1 + strips * (1 + 2 * u64::from(self.tiles.rows));
        let iterations = bands.div_ceil(u64::from(self.part_count.max(1))) * of_band;
        let sums = u64::from(self.part_count) * u64::from(groups);
        Launch::new("depthwise_weight_gradient", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output_gradient", self.output_gradient)
            .bind("parts", self.parts)
            .over(flat_workgroups(sums, self.tiles.lanes))
            .looping(iterations)
            .doing(self.work)
    }
}
