//! Register-tile sizes by adapter and shape: the one table that decides.
//!
//! On a software driver a workgroup is one vector of 8 lanes, and loads at an address common to the lanes are cheap while others are not:
//! lanes are output channels, and tiles are as large as code size allows. On a GPU the lanes fill a subgroup where the channels suffice.

use crate::gpu::Gpu;

/// Accumulators (groups of 4 numbers) an invocation keeps on a software driver.
const SOFTWARE_ACCUMULATORS: u32 = 48;
/// Accumulators an invocation keeps on a GPU, where registers are shared by many.
const GPU_ACCUMULATORS: u32 = 16;
/// Unrolled multiply-adds of groups in a kernel's innermost part; more makes compiling slow.
const UNROLL_LIMIT: u32 = 1200;

/// Tiles of a convolution kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionTiles {
    /// Invocations of a workgroup, each with its own output channels.
    pub lanes: u32,
    /// Groups of 4 channels an invocation.
    pub groups: u32,
    /// Rows of outputs.
    pub rows: u32,
    /// Columns of outputs.
    pub columns: u32,
}

/// Tile sizes for one adapter.
#[derive(Clone, Copy, Debug)]
pub struct TileTable {
    software: bool,
}

impl TileTable {
    /// The table for `gpu`'s adapter.
    pub fn new(gpu: &Gpu) -> Self {
        TileTable::for_kind(gpu.is_software())
    }

    /// The table for a software driver, or for a GPU: each works everywhere, but is fast only on its own kind.
    pub const fn for_kind(software: bool) -> Self {
        TileTable { software }
    }

    fn accumulators(self) -> u32 {
        if self.software { SOFTWARE_ACCUMULATORS } else { GPU_ACCUMULATORS }
    }

    /// Lanes and groups a lane for `channel_groups` output groups.
    fn lanes(self, channel_groups: u32, most_groups: u32) -> (u32, u32) {
        if self.software {
            (8, channel_groups.div_ceil(8).clamp(1, most_groups))
        } else {
            (channel_groups.next_power_of_two().clamp(1, 64), 1)
        }
    }

    /// Tiles of a convolution, or of its input gradient, that writes `height` × `width` pixels of `channel_groups` groups.
    pub fn convolution(self, channel_groups: u32, height: u32, width: u32, kernel: u32, stride: u32) -> ConvolutionTiles {
        let (lanes, groups) = self.lanes(channel_groups, 2);
        let by_registers = (self.accumulators() / groups).max(1);
        let by_code = (UNROLL_LIMIT / (4 * groups * kernel)).max(1);
        let most = by_registers.min(by_code);
        let strips = width.div_ceil(most.min(28));
        let columns = width.div_ceil(strips).next_multiple_of(stride);
        let rows = (most / columns).clamp(1, 2).min(height);
        ConvolutionTiles { lanes, groups, rows, columns }
    }

    /// (lanes, columns) of the input gradient of a convolution whose input has a single group of channels: lanes are rows.
    pub fn narrow_input_gradient(self, width: u32, kernel: u32, stride: u32, channels: u32) -> (u32, u32) {
        let most = (UNROLL_LIMIT / (kernel * channels)).clamp(1, if self.software { 28 } else { 14 });
        let strips = width.div_ceil(most);
        (if self.software { 8 } else { 32 }, width.div_ceil(strips).next_multiple_of(stride))
    }

    /// (lanes, groups a lane, rows of taps, columns of outputs) of a weight gradient.
    pub fn convolution_weight_gradient(self, channel_groups: u32, width: u32, kernel: u32, depth: u32) -> (u32, u32, u32, u32) {
        let (lanes, groups) = self.lanes(channel_groups, 2);
        let most = if self.software { 72 } else { 36 };
        let tap_rows = (most / (kernel * depth * groups)).clamp(1, kernel);
        let by_code = (UNROLL_LIMIT / (tap_rows * kernel * depth * groups)).max(1);
        (lanes, groups, tap_rows, width.min(by_code).min(8))
    }

    /// Parts of a convolution's weight gradient: enough workgroups for the adapter, no more partial sums than needed.
    pub fn weight_gradient_parts(self, workgroups: u32, images: u32) -> u32 {
        let wanted: u32 = if self.software { 32 } else { 1024 };
        wanted.div_ceil(workgroups.max(1)).clamp(1, images.max(1))
    }

    /// (lanes, groups a lane, images) of a matrix product with `channel_groups` output groups.
    pub fn matrix_product(self, channel_groups: u32) -> (u32, u32, u32) {
        let (lanes, groups) = self.lanes(channel_groups, 4);
        (lanes, groups, if self.software { 64 / groups.max(2) } else { 8 })
    }

    /// (lanes, groups a lane, groups of input features) of a fully connected layer's weight gradient.
    pub fn fully_connected_weight_gradient(self, channel_groups: u32) -> (u32, u32, u32) {
        let (lanes, groups) = self.lanes(channel_groups, 4);
        (lanes, groups, if self.software { (16 / groups).min(8) } else { 2 })
    }

    /// Elements an invocation takes in elementwise kernels with a reduction.
    pub fn elementwise_items(self) -> u32 {
        8
    }
}
