//! Weights of a convolution in slices of output channels that fit uniform buffers: what
//! `convolution` reads on a software driver.

use super::{
    StripTiles,
    network::{ELEMENTWISE, grid},
};
use crate::{
    Result,
    gpu::{Binding, Buffer, Gpu, Recording},
    shaders::Specialization,
};

/// Sizes of the weights: groups of output channels, padded input channels, a side of the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightSizes {
    pub out_groups: u32,
    pub in_channels: u32,
    pub kernel: u32,
}

/// One slice.
pub(super) struct WeightSlice {
    /// [block, ky, in channel / 4, kx, in channel mod 4, group of the block] vec4.
    pub weights: Buffer,
    /// The number of its first group (shaders/common/slices.wgsl).
    pub record: Buffer,
    /// Blocks that begin before the last group.
    pub blocks: u32,
}

/// All output channels of a layer, or all input channels where the taps are mirrored for the input
/// gradient.
pub(super) struct WeightSlices {
    pub tiles: StripTiles,
    pub slices: Vec<WeightSlice>,
    sizes: WeightSizes,
    mirrored: bool,
}

impl WeightSlices {
    pub fn new(gpu: &Gpu, tiles: StripTiles, sizes: WeightSizes, mirrored: bool) -> Result<Self> {
        let bytes = u64::from(tiles.weights(sizes.kernel.pow(2) * sizes.in_channels)) * 16;
        let all = sizes.out_groups.div_ceil(tiles.groups);
        let slice = |index: u32| {
            let record = gpu.uniform("first group of a slice", 16)?;
            gpu.write(&record, 0, &[index * tiles.blocks * tiles.groups, 0, 0, 0]);
            let label = "slice of weights";
            let weights =
                if tiles.uniform { gpu.uniform(label, bytes)? } else { gpu.buffer(label, bytes)? };
            Ok(WeightSlice {
                weights,
                record,
                blocks: tiles.blocks.min(all - index * tiles.blocks),
            })
        };
        let slices = (0..tiles.slices(sizes.out_groups)).map(slice).collect::<Result<_>>()?;
        Ok(WeightSlices { tiles, slices, sizes, mirrored })
    }

    /// Adds copying `weights`, [tap, in channel (padded), out channel / 4] vec4, into the slices.
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        label: &str,
        weights: &Buffer,
    ) -> Result<()> {
        let WeightSizes { out_groups, in_channels, kernel } = self.sizes;
        let specialization = Specialization::new()
            .constant("BLOCKS", self.tiles.blocks)
            .constant("GROUPS", self.tiles.groups)
            .constant("KERNEL", kernel)
            .constant("IN_CHANNELS", in_channels)
            .constant("OUT_GROUPS", out_groups)
            .constant("MIRRORED", u32::from(self.mirrored));
        let workgroups =
            grid(self.tiles.weights(kernel.pow(2) * in_channels).div_ceil(ELEMENTWISE));
        for slice in &self.slices {
            let kernel = gpu.kernel("slice_weights", specialization.clone())?;
            let bindings = [&slice.record, weights, &slice.weights].map(Binding::from);
            recording.dispatch(gpu, label, kernel, &bindings, workgroups)?;
        }
        Ok(())
    }

    /// Bytes of all slices.
    pub fn bytes(&self) -> u64 {
        self.slices.iter().map(|slice| slice.weights.size() + slice.record.size()).sum()
    }
}
