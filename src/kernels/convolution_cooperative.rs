//! Launcher of `shaders/convolution_cooperative.wgsl`.

use super::common::{
    Activated, Geometry, ImageRange, activated, activated_inputs, grid, quantized,
};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, Work},
    quant::{ActivationPlan, WeightQuantizerPlan},
    shaders::Specialization,
    storage::Storage,
};

/// Tiles of cooperative matrices: `rows` × `columns` matrices of `side` × `side`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CooperativeTiles {
    /// Invocations of a workgroup: a subgroup.
    pub lanes: u32,
    /// Rows and columns of a matrix: 8 or 16.
    pub side: u32,
    /// Matrices along the rows.
    pub rows: u32,
    /// Matrices along the columns.
    pub columns: u32,
    /// Groups of 4 of a slab along the inner dimension.
    pub deep: u32,
}

impl CooperativeTiles {
    fn constants(self) -> Specialization {
        Specialization::new()
            .extension("f16")
            .extension("wgpu_cooperative_matrix")
            .feature("side_8", self.side == 8)
            .tile("LANES", self.lanes)
            .tile("SIDE", self.side)
            .tile("ROWS", self.rows)
            .tile("COLUMNS", self.columns)
            .tile("DEEP", self.deep)
    }

    /// (tiles along the rows, tiles along the columns) of a product of `rows` × `column_groups`
    /// groups.
    pub fn workgroups(self, rows: u32, column_groups: u32) -> (u32, u32) {
        (
            rows.div_ceil(self.side * self.rows),
            (4 * column_groups).div_ceil(self.side * self.columns),
        )
    }
}

/// A layer of integer levels, as a product of cooperative matrices.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionCooperative<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4], levels of `input_activation`.
    pub input: Binding<'a>,
    /// [tap, in channel (padded), out channel / 4] vec4.
    pub weight: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// Bias and activation.
    pub end: Activated<'a>,
    /// One vec4 of constants of the weights' quantizer per output channel.
    pub quantizer: &'a Buffer,
    /// Sizes.
    pub geometry: Geometry,
    /// The activation whose levels are the input.
    pub input_activation: ActivationPlan,
    /// The weights' quantizer.
    pub plan: WeightQuantizerPlan,
    /// Tiles.
    pub tiles: CooperativeTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for ConvolutionCooperative<'_> {
    fn launch(&self) -> Launch<'_> {
        let geometry = self.geometry;
        let [_, _, column_groups] = geometry.output;
        let (rows, columns) =
            self.tiles.workgroups(self.images.most * geometry.pixels(), column_groups);
        let [x, y, _] = grid(rows);
        let specialization = geometry.windows(self.tiles.constants());
        let specialization = activated_inputs(specialization, self.input_activation);
        let specialization = quantized(specialization, self.plan)
            .constant("WEIGHT_LEVELS", self.plan.levels())
            .feature("bias", true);
        let specialization =
            activated(self.storage.specialize(specialization), self.end.activation);
        Launch::new("convolution_cooperative", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weight)
            .bind("output", self.output)
            .bind("bias", self.end.bias)
            .bind("parameters", self.end.parameters)
            .bind("quantizer", self.quantizer)
            .bind_some("pre_activation", self.end.pre_activation)
            .over([x, y, columns])
            .doing(self.work)
    }
}
