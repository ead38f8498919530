//! Register tiles of the convolutions for software drivers.

use super::{Geometry, ImageRange, grid, linked_window};
use crate::{
    gpu::{Buffer, Launch, Work},
    layout::GROUP,
    shaders::Specialization,
};

/// Register tiles, and the slices of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripTiles {
    /// Invocations of a workgroup, each with its own strip.
    pub lanes: u32,
    /// Rows of a strip.
    pub rows: u32,
    /// Pixels of a strip's row.
    pub columns: u32,
    /// Groups of 4 channels per invocation.
    pub groups: u32,
    /// Blocks of `groups` groups whose weights are in one buffer.
    pub blocks: u32,
    /// Whether this buffer is a uniform buffer.
    pub uniform: bool,
    /// Whether the invocations are a subgroup that shares its loads of weights.
    pub subgroups: bool,
    /// Images per invocation: 1, or 2 for packed integers.
    pub images: u32,
}

impl StripTiles {
    /// Adds the tiles to a kernel's specialization; `weights` is that of [`Self::weights`].
    pub fn specialize(self, specialization: Specialization, weights: u32) -> Specialization {
        specialization
            .tile("ROWS", self.rows)
            .tile("COLUMNS", self.columns)
            .tile("GROUPS", self.groups)
            .tile("LANES", self.lanes)
            .tile("WEIGHTS", weights)
            .feature("uniform_weights", self.uniform)
            .feature("subgroups", self.subgroups)
            .feature("paired", self.images == 2)
    }

    /// Strips of `images` of `pixels`, [height, width].
    pub fn strips(self, images: u32, [height, width]: [u32; 2]) -> u32 {
        images.div_ceil(self.images) * height.div_ceil(self.rows) * width.div_ceil(self.columns)
    }

    /// Slices of `channel_groups` output groups.
    pub fn slices(self, channel_groups: u32) -> u32 {
        channel_groups.div_ceil(self.groups * self.blocks)
    }

    /// Groups of weights in a slice, for `rows` input channels times taps.
    pub fn weights(self, rows: u32) -> u32 {
        self.blocks * rows * self.groups
    }
}

/// A part of a layer's output channels, with weights that fit a uniform buffer.
#[derive(Clone, Copy, Debug)]
pub struct SlicedWeights<'a> {
    /// Weights as written by [`crate::kernels::SliceWeights`].
    pub weight: &'a Buffer,
    /// The number of its first group (shaders/common/slices.wgsl).
    pub slice: &'a Buffer,
    /// Blocks of output groups that begin before the last group.
    pub blocks: u32,
}

/// Constants of a convolution by strips.
pub(in crate::kernels) fn strip_constants(tiles: StripTiles, geometry: Geometry) -> Specialization {
    let specialization = tiles
        .specialize(Specialization::new(), tiles.weights(GROUP * geometry.inner()))
        .tile("DEPTH", geometry.depth);
    geometry.sizes(linked_window(specialization, geometry.window))
}

/// The `launch` of a convolution by strips over `images` and the blocks of a slice, with the
/// slice's share of `work`.
pub(in crate::kernels) fn over_strips<'a>(
    launch: Launch<'a>,
    images: ImageRange<'_>,
    (tiles, geometry): (StripTiles, Geometry),
    weights: SlicedWeights<'_>,
    work: Work,
) -> Launch<'a> {
    let [height, width, out_groups] = geometry.output;
    let [x, y, _] = grid(tiles.strips(images.most, [height, width]).div_ceil(tiles.lanes));
    let blocks = u64::from(out_groups.div_ceil(tiles.groups));
    let share = |all: u64| all * u64::from(weights.blocks) / blocks;
    launch
        .over([x, y, weights.blocks])
        .doing(Work { flops: share(work.flops), bytes: share(work.bytes) })
}
