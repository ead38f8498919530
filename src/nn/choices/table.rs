//! Tile sizes by adapter and shape: the one table that decides.
//!
//! On a software driver a workgroup is one vector of 8 lanes, and loads cost more than arithmetic:
//! from a storage buffer as many cycles as ten or twenty multiply-adds, from a uniform buffer half
//! of that. Tiles are as large as code size allows. Lanes of a convolution are strips of pixels,
//! with weights in uniform buffers; elsewhere lanes are output channels. On a GPU the weighted
//! layers are matrix products that pass slabs of both factors through workgroup memory; only the
//! gradient of an image has too few columns for that.

use std::sync::Arc;

use super::{StripShape, matrices::matrices_multiply, strips};
use crate::{
    config::Window,
    gpu::{Abilities, Gpu, ProductShape, ProductTiles, Tuning},
    kernels::{
        CooperativeTiles, DepthwiseTiles, FeatureTiles, Geometry, NarrowTiles, Pooling,
        RegisterTiles, StripTiles, WeightGradientTiles,
    },
};

/// Invocations of a vector on a software driver.
const VECTOR: u32 = 8;
/// Unrolled multiply-adds of groups in a kernel's innermost part; more makes compiling slow.
const UNROLL_LIMIT: u32 = 1200;
/// The same for weight gradients, whose loop is to stay in the processor's instruction cache: with
/// twice as much, conv2's takes 1.3 times as long.
const GRADIENT_UNROLL_LIMIT: u32 = 288;
/// Sums of groups that an invocation of a weight gradient keeps.
const GRADIENT_SUMS: u32 = 72;
/// Unrolled multiply-adds of groups in a depthwise kernel.
const DEPTHWISE_UNROLL_LIMIT: u32 = 288;
/// Parts of a depthwise convolution's weight gradient at most: one invocation adds them all.
const MOST_DEPTHWISE_PARTS: u32 = 256;
/// By how much less is unrolled where kernels are to be short.
const SHORTER: u32 = 4;
/// Invocations of a matrix product's workgroup on a GPU.
const PRODUCT_LANES: u32 = 128;
/// Groups of 4 columns in a matrix product's tile at most.
const PRODUCT_COLUMNS: u32 = 16;

/// Tile sizes for one adapter.
#[derive(Clone, Debug)]
pub struct TileTable {
    software: bool,
    /// Whether long kernels are to be avoided, because they compile too slowly.
    short: bool,
    /// Invocations of a subgroup, where all have as many.
    subgroup_lanes: Option<u32>,
    /// Lanes of a GPU's subgroup and a side of its cooperative matrices, where it has them.
    cooperative: Option<[u32; 2]>,
    /// Measured tiles, which take precedence.
    measured: Option<Arc<Tuning>>,
    /// Tiles on trial for one product.
    trial: Option<(ProductShape, ProductTiles)>,
}

impl TileTable {
    /// The table for `gpu`'s adapter, behind the [`Tuning`] that is in use on it.
    pub fn new(gpu: &Gpu) -> Self {
        let software = gpu.is_software();
        let table = TileTable {
            subgroup_lanes: gpu.abilities().subgroup_lanes,
            measured: gpu.tuning(),
            short: gpu.compiles_slowly(),
            ..TileTable::for_kind(software)
        };
        // A software driver multiplies matrices one number at a time.
        if software { table } else { table.with_matrices(gpu) }
    }

    /// With the cooperative matrices of `gpu`, if it has any and they multiply rightly.
    #[must_use]
    pub fn with_matrices(self, gpu: &Gpu) -> Self {
        let Abilities { subgroup_lanes, cooperative_side } = gpu.abilities();
        let matrices = subgroup_lanes.zip(cooperative_side).filter(|&(lanes, _)| lanes <= 64);
        let table = TileTable { cooperative: matrices.map(<[u32; 2]>::from), ..self };
        // Of 40 channels: all columns of the tiles for many, and a part of the next.
        let Some(tiles) = table.cooperative(10) else { return table };
        match gpu.trusts_matrices(|gpu| matrices_multiply(gpu, tiles)) {
            true => table,
            false => TileTable { cooperative: None, ..table },
        }
    }

    /// The table for a software driver, or for a GPU: each works everywhere, but is fast only on
    /// its own kind.
    pub const fn for_kind(software: bool) -> Self {
        TileTable {
            software,
            short: false,
            subgroup_lanes: None,
            cooperative: None,
            measured: None,
            trial: None,
        }
    }

    /// With kernels that share loads within subgroups of 8 lanes, or without.
    #[must_use]
    pub fn with_subgroups(self, subgroups: bool) -> Self {
        TileTable { subgroup_lanes: if subgroups { Some(VECTOR) } else { None }, ..self }
    }

    /// With `tiles` for one product, whatever else is said.
    #[must_use]
    pub fn with_trial(self, product: ProductShape, tiles: ProductTiles) -> Self {
        TileTable { trial: Some((product, tiles)), ..self }
    }

    /// Tiles that take precedence over the table's.
    fn measured(&self, product: ProductShape) -> Option<ProductTiles> {
        match self.trial {
            Some((wanted, tiles)) if wanted == product => Some(tiles),
            _ => self.measured.as_ref()?.tiles_of(product),
        }
    }

    /// The tiles of a product.
    pub fn of(&self, product: ProductShape) -> Option<ProductTiles> {
        let ProductShape { weight_gradient, column_groups, rows, inner } = product;
        if weight_gradient {
            self.weight_gradient_product(column_groups, rows)
        } else {
            self.product(column_groups, rows, inner)
        }
    }

    /// Whether the lanes of a software driver's vector are a subgroup, within which kernels share
    /// loads.
    pub fn shares_loads(&self) -> bool {
        self.software && self.subgroup_lanes == Some(VECTOR)
    }

    /// Lanes of a subgroup where sums over the invocations of a workgroup of `lanes` are made
    /// within subgroups first: where there are several lanes in one.
    pub fn scan_subgroup(&self, lanes: u32) -> Option<u32> {
        self.subgroup_lanes.filter(|&subgroup| subgroup > 1 && lanes.is_multiple_of(subgroup))
    }

    /// A limit on what is unrolled.
    fn unrolled(&self, limit: u32) -> u32 {
        if self.short { limit / SHORTER } else { limit }
    }

    /// Groups a lane for `channel_groups` output groups.
    fn groups(channel_groups: u32, most: u32) -> u32 {
        channel_groups.div_ceil(VECTOR).clamp(1, most)
    }

    /// Tiles of `convolution_tiled` where it is the kernel to take: for layers of `column_groups`
    /// output groups that sum `inner` groups of inputs for each of an image's `pixels` outputs.
    /// They depend on nothing else, so an image's result does not depend on its batch.
    pub fn product(&self, column_groups: u32, pixels: u32, inner: u32) -> Option<ProductTiles> {
        if self.software {
            return None;
        }
        let product = ProductShape { weight_gradient: false, column_groups, rows: pixels, inner };
        if let Some(tiles) = self.measured(product) {
            return Some(tiles);
        }
        // A fully connected layer has few rows: with few columns too, it fills a GPU only if many
        // invocations share an output.
        if pixels == 1 && column_groups <= 256 && inner >= 16 {
            let column_lanes = column_groups.next_power_of_two().clamp(1, 4);
            return Some(ProductTiles { row_lanes: 8, column_lanes, rows: 2, deep: 16, slices: 8 });
        }
        let column_lanes = column_groups.next_power_of_two().clamp(1, PRODUCT_COLUMNS);
        let row_lanes = PRODUCT_LANES / column_lanes;
        // 64 or 128 rows: up to 10 + 4 KiB of workgroup memory.
        Some(ProductTiles {
            row_lanes,
            column_lanes,
            rows: (128 / row_lanes).min(8),
            deep: 4,
            slices: 1,
        })
    }

    /// As [`Self::product`], of a layer.
    pub fn product_of(&self, geometry: Geometry) -> Option<ProductTiles> {
        self.product(geometry.output[2], geometry.pixels(), geometry.inner())
    }

    /// As [`Self::weight_gradient_product`], of a layer.
    pub fn weight_gradient_product_of(&self, geometry: Geometry) -> Option<ProductTiles> {
        self.weight_gradient_product(geometry.output[2], geometry.inner() + 1)
    }

    /// Whether integer inference sums bytes (`integer_convolution`). A software driver multiplies
    /// integers no faster than floats, and four bytes at once not at all: there the kernels of
    /// floats sum integers, where their sums are exact, two of them in a word where they fit.
    pub const fn sums_bytes(&self, exact_in_f32: bool) -> bool {
        !self.software || !exact_in_f32
    }

    /// Tiles of `integer_convolution`, for layers as [`Self::product`]'s.
    pub fn integer_product(&self, column_groups: u32, pixels: u32, inner: u32) -> ProductTiles {
        let software =
            ProductTiles { row_lanes: VECTOR, column_lanes: 1, rows: 4, deep: VECTOR, slices: 1 };
        TileTable::for_kind(self.software).product(column_groups, pixels, inner).unwrap_or(software)
    }

    /// Tiles of `convolution_weight_gradient_tiled` where it is the kernel to take, for
    /// `row_groups` groups of rows, the bias's among them.
    pub fn weight_gradient_product(
        &self,
        column_groups: u32,
        row_groups: u32,
    ) -> Option<ProductTiles> {
        if self.software {
            return None;
        }
        let product =
            ProductShape { weight_gradient: true, column_groups, rows: row_groups, inner: 0 };
        if let Some(tiles) = self.measured(product) {
            return Some(tiles);
        }
        let column_lanes = column_groups.next_power_of_two().clamp(1, PRODUCT_COLUMNS);
        let row_lanes = row_groups.next_power_of_two().min(PRODUCT_LANES / column_lanes).min(32);
        // At most 32 groups of rows and 16 of columns: 8 + 4 KiB of workgroup memory.
        let rows = row_groups.div_ceil(row_lanes).min(32 / row_lanes).min(2);
        Some(ProductTiles { row_lanes, column_lanes, rows, deep: 16, slices: 1 })
    }

    /// Tiles of `convolution_cooperative` where it can be taken: for layers that have as many
    /// output channels as a matrix has columns.
    pub fn cooperative(&self, column_groups: u32) -> Option<CooperativeTiles> {
        let [lanes, side] = self.cooperative?;
        let columns = (column_groups * 4 / side).min(4);
        // 64 f32 sums a lane at most for 16 matrices of 16 × 16 and 32 lanes; 2 + 2 + 1 KiB of
        // workgroup memory.
        (columns > 0).then_some(CooperativeTiles { lanes, side, rows: 4, columns, deep: 4 })
    }

    /// Tiles of `convolution` where it is the kernel to take.
    pub fn strips(&self, shape: StripShape) -> Option<StripTiles> {
        let limits = [strips::ACCUMULATORS, strips::UNROLL_LIMIT].map(|limit| self.unrolled(limit));
        self.software.then(|| shape.cheapest(VECTOR, self.shares_loads(), limits))
    }

    /// Whether a max-pool of 2 × 2 windows is part of the convolution in front of it, with windows
    /// of `window` and `in_groups` groups of input channels: where `convolution` makes all its
    /// passes.
    pub fn joins_pool(&self, window: Window, in_groups: u32) -> bool {
        self.software && window.stride == [1; 2] && window.dilation == [1; 2] && in_groups > 1
    }

    /// Tiles of the input gradient of a convolution whose input of `channels` has a single group of
    /// them.
    pub fn narrow_input_gradient(&self, geometry: Geometry, channels: u32) -> NarrowTiles {
        let ([_, width, _], window) = (geometry.input, geometry.window);
        let most = (UNROLL_LIMIT / (window.kernel[1] * channels))
            .clamp(1, if self.software && !self.short { 28 } else { 4 });
        let strips = width.div_ceil(most);
        NarrowTiles {
            lanes: if self.software { VECTOR } else { 32 },
            columns: width.div_ceil(strips).next_multiple_of(window.stride[1]),
        }
    }

    /// Tiles of `convolution_weight_gradient`.
    pub fn convolution_weight_gradient(&self, geometry: Geometry) -> WeightGradientTiles {
        let ([_, _, in_groups], [_, width, out_groups]) = (geometry.input, geometry.output);
        let ([tap_rows, kernel], depth) = (geometry.window.kernel, geometry.depth);
        let groups = TileTable::groups(out_groups, 2);
        // Rows of dilated taps are not neighbours.
        let most_rows = if geometry.window.dilation[0] == 1 { tap_rows } else { 1 };
        let most_sums = self.unrolled(GRADIENT_SUMS);
        let tap_rows = (most_sums / (kernel * depth * groups)).clamp(1, most_rows);
        let sums = tap_rows * kernel * depth * groups;
        let inputs = (most_sums / sums).clamp(1, in_groups.min(2));
        let most_columns = self.unrolled(GRADIENT_UNROLL_LIMIT) / (sums * inputs);
        let columns = most_columns.clamp(1, 8).min(width);
        // Both pixels of a window along a row are in a tile.
        let pooled = geometry.pooling == Pooling::Output;
        let columns = if pooled { columns.next_multiple_of(2) } else { columns };
        let subgroups = self.shares_loads();
        WeightGradientTiles { lanes: VECTOR, groups, inputs, tap_rows, columns, subgroups }
    }

    /// Tiles of the depthwise kernels over `geometry`, that of the input's gradient where it is
    /// mirrored.
    pub fn depthwise(&self, geometry: Geometry) -> DepthwiseTiles {
        let [height, width, _] = geometry.output;
        let [_, spacing] = geometry.spacing;
        let (taps, most) = (geometry.window.taps(), if self.software { 8 } else { 4 });
        let columns = (self.unrolled(DEPTHWISE_UNROLL_LIMIT) / taps).clamp(1, most).min(width);
        DepthwiseTiles {
            lanes: if self.software { VECTOR } else { 64 },
            rows: height.min(if self.software { 64 } else { 8 }),
            columns: columns.next_multiple_of(spacing),
        }
    }

    /// Parts of a depthwise convolution's weight gradient with `channel_groups` groups, which are
    /// summed over `bands` of rows: enough invocations for the adapter.
    pub fn depthwise_parts(&self, channel_groups: u32, bands: u32) -> u32 {
        let wanted = if self.software { 32 * VECTOR } else { 1 << 14 };
        (wanted / channel_groups.max(1)).clamp(1, bands.clamp(1, MOST_DEPTHWISE_PARTS))
    }

    /// Parts of a weight gradient over `images` of `pixels` outputs: enough workgroups for the
    /// adapter, no more partial sums than needed.
    pub fn weight_gradient_parts(&self, workgroups: u32, images: u32, pixels: u32) -> u32 {
        // On a GPU a part should be worth a few slabs.
        let (wanted, most) = if self.software {
            (32u32, images)
        } else {
            (512, images.min(images.saturating_mul(pixels) / 64))
        };
        (wanted / workgroups.max(1)).clamp(1, most.max(1))
    }

    /// Tiles of a matrix product in registers with `channel_groups` output groups.
    pub fn matrix_product(&self, channel_groups: u32) -> RegisterTiles {
        let groups = TileTable::groups(channel_groups, if self.short { 2 } else { 4 });
        let images = self.unrolled(128) / groups.max(4);
        RegisterTiles { lanes: VECTOR, groups, images, subgroups: self.shares_loads() }
    }

    /// Tiles of a fully connected layer's weight gradient in registers.
    pub fn fully_connected_weight_gradient(&self, channel_groups: u32) -> FeatureTiles {
        let groups = TileTable::groups(channel_groups, 4);
        FeatureTiles { lanes: VECTOR, groups, features: (16 / groups).min(8) }
    }

    /// Elements an invocation takes in elementwise kernels with a reduction.
    pub fn elementwise_items(&self) -> u32 {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST_WORKGROUP: u32 = 256;
    const WORKGROUP_BYTES: u32 = 16 << 10;

    /// The second convolution of Table I, where kernels are to be short.
    #[test]
    fn short_kernels_unroll_less() {
        let shape = StripShape {
            out_groups: 16,
            in_groups: 8,
            depth: 4,
            pixels: [24, 24],
            kernel: [3, 3],
            extent: 3,
            stride: [1, 1],
            spacing: [1, 1],
            pooling: Pooling::Output,
            images: 1,
        };
        let unrolled = |table: &TileTable| {
            let StripTiles { rows, columns, groups, .. } = table.strips(shape).unwrap();
            assert!(rows == 2 && columns.is_multiple_of(2), "whole windows");
            rows * columns * groups * shape.kernel[1] * shape.depth
        };
        let table = TileTable::for_kind(true);
        let short = TileTable { short: true, ..table.clone() };
        assert!(unrolled(&short) <= strips::UNROLL_LIMIT / SHORTER);
        assert!(unrolled(&short) < unrolled(&table));
        assert!(short.matrix_product(32).images < table.matrix_product(32).images);
    }

    /// What `convolution_tiled` and `convolution_weight_gradient_tiled` declare, against WebGPU's
    /// default limits.
    #[test]
    fn products_fit_every_device() {
        let table = TileTable::for_kind(false);
        for column_groups in (1..70).chain([128, 256, 257, 2304]) {
            for inner in [1, 9, 16, 72, 2304] {
                for pixels in [1, 2, 576] {
                    let tiles = table.product(column_groups, pixels, inner).unwrap();
                    let ProductTiles { row_lanes, column_lanes, rows, deep, slices } = tiles;
                    let lanes = row_lanes * column_lanes * slices;
                    assert!(
                        lanes <= LARGEST_WORKGROUP && lanes % deep == 0 && deep % slices == 0,
                        "{tiles:?}"
                    );
                    let sums = if slices > 1 { lanes } else { 0 };
                    let groups = row_lanes * rows * (deep + 1) + 4 * deep * column_lanes + sums;
                    assert!(groups * 16 <= WORKGROUP_BYTES, "{tiles:?}");
                }
                let tiles = table.weight_gradient_product(column_groups, inner + 1).unwrap();
                let ProductTiles { row_lanes, column_lanes, rows, deep, slices } = tiles;
                assert!(row_lanes * column_lanes <= LARGEST_WORKGROUP && slices == 1, "{tiles:?}");
                assert!(
                    (row_lanes * rows + column_lanes) * deep * 16 <= WORKGROUP_BYTES,
                    "{tiles:?}"
                );
            }
        }
    }
}
