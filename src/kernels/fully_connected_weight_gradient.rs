//! Launcher of `shaders/fully_connected_weight_gradient.wgsl`.

use super::common::ImageRange;
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    shaders::Specialization,
    storage::Storage,
};

/// Register tiles of a fully connected layer's weight gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureTiles {
    /// Invocations of a workgroup, each with its own output channels.
    pub lanes: u32,
    /// Groups of 4 output channels per invocation.
    pub groups: u32,
    /// Groups of 4 input features per invocation.
    pub features: u32,
}

impl FeatureTiles {
    /// (workgroups along the input features, along the output groups) of one part.
    pub fn workgroups(self, [in_groups, out_groups]: [u32; 2]) -> (u32, u32) {
        (in_groups.div_ceil(self.features), out_groups.div_ceil(self.lanes * self.groups))
    }
}

/// The gradient with respect to a fully connected layer's weights and bias in parts, for software
/// drivers.
#[derive(Clone, Copy, Debug)]
pub struct FullyConnectedWeightGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, in group].
    pub input: Binding<'a>,
    /// [image, out group].
    pub output_gradient: Binding<'a>,
    /// [part, in feature (padded) + bias, out feature (padded)].
    pub parts: Binding<'a>,
    /// Number of parts.
    pub part_count: u32,
    /// Groups of 4 inputs.
    pub in_groups: u32,
    /// Groups of 4 outputs.
    pub out_groups: u32,
    /// Tiles.
    pub tiles: FeatureTiles,
    /// Formats: input, and gradient as the output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for FullyConnectedWeightGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("FEATURES", self.tiles.features)
            .tile("GROUPS", self.tiles.groups)
            .tile("LANES", self.tiles.lanes)
            .constant("IN_GROUPS", self.in_groups)
            .constant("OUT_GROUPS", self.out_groups)
            .constant("PARTS", self.part_count);
        let (rows, columns) = self.tiles.workgroups([self.in_groups, self.out_groups]);
        Launch::new("fully_connected_weight_gradient", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output_gradient", self.output_gradient)
            .bind("parts", self.parts)
            .over([rows, self.part_count, columns])
            .doing(self.work)
    }
}
