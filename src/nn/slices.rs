//! Weights of a convolution in slices of output channels that fit uniform buffers: what the
//! convolutions by strips read on a software driver.

use crate::{
    Result,
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{Geometry, SliceShape, SliceWeights, SlicedWeights, StripTiles},
    layout::GROUP,
};

/// One slice.
struct WeightSlice {
    /// [block, ky, in channel / 4, kx, in channel mod 4, group of the block] vec4.
    weights: Buffer,
    /// The number of its first group (shaders/common/slices.wgsl).
    record: Buffer,
    /// Blocks that begin before the last group.
    blocks: u32,
}

/// All output channels of a layer, or all input channels where the taps are mirrored for the input
/// gradient.
pub(super) struct WeightSlices {
    pub tiles: StripTiles,
    shape: SliceShape,
    slices: Vec<WeightSlice>,
}

impl WeightSlices {
    /// Of the layer that `geometry` is the forward pass of, or the input's gradient where it is
    /// `mirrored`.
    pub fn new(gpu: &Gpu, tiles: StripTiles, geometry: Geometry, mirrored: bool) -> Result<Self> {
        let shape = SliceShape {
            out_groups: geometry.output[2],
            in_channels: GROUP * geometry.input[2],
            kernel: geometry.window.kernel,
            blocks: tiles.blocks,
            groups: tiles.groups,
            mirrored,
        };
        let bytes = u64::from(tiles.weights(GROUP * geometry.inner())) * 16;
        let all = shape.out_groups.div_ceil(tiles.groups);
        let slice = |index: u32| {
            let record = gpu.uniform("first group of a slice", 16)?;
            gpu.write(&record, 0, &[index * tiles.blocks * tiles.groups, 0, 0, 0]);
            let label = "slice of weights";
            let weights =
                if tiles.uniform { gpu.uniform(label, bytes)? } else { gpu.buffer(label, bytes)? };
            let blocks = tiles.blocks.min(all - index * tiles.blocks);
            Ok(WeightSlice { weights, record, blocks })
        };
        let slices = (0..tiles.slices(shape.out_groups)).map(slice).collect::<Result<_>>()?;
        Ok(WeightSlices { tiles, shape, slices })
    }

    /// Adds copying `weights`, [tap, in channel (padded), out channel / 4] vec4, into the slices.
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        label: &str,
        weights: &Buffer,
    ) -> Result<()> {
        self.slices.iter().try_for_each(|slice| {
            SliceWeights {
                slice: &slice.record,
                weight: weights,
                sliced: &slice.weights,
                shape: self.shape,
            }
            .record(gpu, recording, label)
        })
    }

    /// The slices, as kernels are bound to them.
    pub fn iter(&self) -> impl Iterator<Item = SlicedWeights<'_>> {
        self.slices.iter().map(|slice| SlicedWeights {
            weight: &slice.weights,
            slice: &slice.record,
            blocks: slice.blocks,
        })
    }

    /// Bytes of all slices.
    pub fn bytes(&self) -> u64 {
        self.slices.iter().map(|slice| slice.weights.size() + slice.record.size()).sum()
    }
}
