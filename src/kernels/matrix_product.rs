//! Launcher of `shaders/matrix_product.wgsl`.

use super::common::{Epilogue, ImageRange};
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    shaders::Specialization,
    storage::Storage,
};

/// Register tiles of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterTiles {
    /// Invocations of a workgroup, each with its own output channels.
    pub lanes: u32,
    /// Groups of 4 output channels per invocation.
    pub groups: u32,
    /// Images per invocation.
    pub images: u32,
    /// Whether the invocations are a subgroup that shares its loads of inputs.
    pub subgroups: bool,
}

/// Vectors times a matrix, in registers, for software drivers.
#[derive(Clone, Copy, Debug)]
pub struct MatrixProduct<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, in group].
    pub input: Binding<'a>,
    /// [4 · in group, out group] vec4.
    pub weight: Binding<'a>,
    /// [image, out group].
    pub output: Binding<'a>,
    /// The operation on the sums.
    pub end: Epilogue<'a>,
    /// Whether the weights are transposed, [4 · out group, in group] vec4: the input's gradient
    /// with the weights of the forward pass.
    pub transposed: bool,
    /// Groups of 4 inputs.
    pub in_groups: u32,
    /// Groups of 4 outputs.
    pub out_groups: u32,
    /// Tiles.
    pub tiles: RegisterTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for MatrixProduct<'_> {
    fn launch(&self) -> Launch<'_> {
        let RegisterTiles { lanes, groups, images, subgroups } = self.tiles;
        let specialization = Specialization::new()
            .feature("subgroups", subgroups)
            .feature("transposed", self.transposed)
            .tile("IMAGES", images)
            .tile("GROUPS", groups)
            .tile("LANES", lanes)
            .constant("IN_GROUPS", self.in_groups)
            .constant("OUT_GROUPS", self.out_groups);
        let specialization = self.end.constants(specialization, false);
        let launch = Launch::new("matrix_product", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weight)
            .bind("output", self.output);
        let columns = self.out_groups.div_ceil(lanes * groups);
        self.end
            .bind(launch)
            .over([columns, self.images.most.div_ceil(images), 1])
            .looping(self.in_groups.into())
            .doing(self.work)
    }
}
