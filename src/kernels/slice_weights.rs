//! Launcher of `shaders/slice_weights.wgsl`.

use super::common::{ELEMENTWISE, grid};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Sizes of the slices of a convolution's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceShape {
    /// Groups of 4 output channels of all slices.
    pub out_groups: u32,
    /// Padded input channels.
    pub in_channels: u32,
    /// Height and width of the filter.
    pub kernel: [u32; 2],
    /// Blocks of output groups per slice.
    pub blocks: u32,
    /// Output groups per block.
    pub groups: u32,
    /// Whether taps are mirrored, for the input gradient.
    pub mirrored: bool,
}

/// Copies the weights of one slice into the order that `convolution` reads.
#[derive(Clone, Copy, Debug)]
pub struct SliceWeights<'a> {
    /// The number of the slice's first group (shaders/common/slices.wgsl).
    pub slice: &'a Buffer,
    /// [tap, in channel (padded), out channel / 4] vec4.
    pub weight: &'a Buffer,
    /// [block, ky, in channel / 4, kx, in channel mod 4, group of the block] vec4.
    pub sliced: &'a Buffer,
    /// Sizes.
    pub shape: SliceShape,
}

impl Launcher for SliceWeights<'_> {
    fn launch(&self) -> Launch<'_> {
        let SliceShape { out_groups, in_channels, kernel, blocks, groups, mirrored } = self.shape;
        let [height, width] = kernel;
        let specialization = Specialization::new()
            .constant("BLOCKS", blocks)
            .constant("GROUPS", groups)
            .constant("KERNEL_HEIGHT", height)
            .constant("KERNEL_WIDTH", width)
            .constant("IN_CHANNELS", in_channels)
            .constant("OUT_GROUPS", out_groups)
            .constant("MIRRORED", u32::from(mirrored));
        let weights = blocks * groups * height * width * in_channels;
        Launch::new("slice_weights", specialization)
            .bind("slice", self.slice)
            .bind("weight", self.weight)
            .bind("sliced", self.sliced)
            .over(grid(weights.div_ceil(ELEMENTWISE)))
    }
}
