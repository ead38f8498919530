//! Register tiles of `convolution`, the kernel of software drivers: which are cheapest.
//!
//! On such a driver a workgroup is one vector of lanes, and loads cost more than arithmetic. Every
//! tile that is not too long to compile is priced by what its loads and multiply-adds took on their
//! own (docs/results/software-driver.md), for the whole image.

use crate::kernels::{Geometry, Pooling, StripTiles};

/// Nanoseconds that a group of 4 channels takes in each of the lanes: a load from a storage buffer,
/// from a uniform buffer, a number shared out to all lanes of a subgroup, a multiply-add.
const STORAGE_LOAD: u64 = 20;
const UNIFORM_LOAD: u64 = 10;
const BROADCAST: u64 = 2;
const MULTIPLY_ADD: u64 = 2;
/// Finding out whether a window's gradient is for a pixel.
const UNPOOL: u64 = 20;
/// Accumulators (groups of 4 numbers) an invocation keeps.
pub const ACCUMULATORS: u32 = 64;
/// Rows and groups of 4 channels in a tile at most.
const MOST_ROWS: u32 = 2;
const MOST_GROUPS: u32 = 4;
/// Unrolled multiply-adds of groups for a row of taps; more makes compiling slow.
pub const UNROLL_LIMIT: u32 = 640;
/// Bytes that a uniform buffer can bind, by WebGPU's default limits.
const UNIFORM_BYTES: u32 = 64 << 10;

/// Sizes that the choice of tiles depends on.
#[derive(Clone, Copy, Debug)]
pub struct StripShape {
    /// Groups of 4 output channels.
    pub out_groups: u32,
    /// Groups of 4 input channels, and how many channels of a group are real.
    pub in_groups: u32,
    /// Channels of an input group that are real.
    pub depth: u32,
    /// Output pixels, [height, width], in front of a max-pool.
    pub pixels: [u32; 2],
    /// Height and width of the filter, in taps.
    pub kernel: [u32; 2],
    /// Pixels that a row of taps spreads over.
    pub extent: u32,
    /// Input pixels from an output to the next along each axis.
    pub stride: [u32; 2],
    /// Distance of the input's pixels, zeros in between; 1 where `stride` is not.
    pub spacing: [u32; 2],
    /// Whether a max-pool takes part.
    pub pooling: Pooling,
    /// Images that an invocation takes at once: 2 where its sums are packed integers.
    pub images: u32,
}

impl StripShape {
    /// Of a layer, an image at a time.
    pub fn of(geometry: Geometry) -> StripShape {
        let ([height, width, out_groups], window) = (geometry.output, geometry.window);
        StripShape {
            out_groups,
            in_groups: geometry.input[2],
            depth: geometry.depth,
            pixels: [height, width],
            kernel: window.kernel,
            extent: window.extent()[1],
            stride: window.stride,
            spacing: geometry.spacing,
            pooling: geometry.pooling,
            images: 1,
        }
    }

    /// The tiles of `lanes` invocations that cost least, with at most `sums_limit` accumulators and
    /// `unroll_limit` unrolled multiply-adds; the lanes are a subgroup where `subgroups` says so.
    pub fn cheapest(
        self,
        lanes: u32,
        subgroups: bool,
        [sums_limit, unroll_limit]: [u32; 2],
    ) -> StripTiles {
        let shape = self;
        let [height, width] = shape.pixels;
        // Both pixels of a window along a row are in a strip.
        let multiple = if shape.pooling == Pooling::None { shape.spacing[1] } else { 2 };
        let least_rows = if shape.pooling == Pooling::Output { 2 } else { 1 };
        let most_rows =
            if shape.stride == [1; 2] { MOST_ROWS.min(height.max(least_rows)) } else { 1 };
        let mut best = None;
        for rows in least_rows..=most_rows {
            for groups in 1..=MOST_GROUPS.min(shape.out_groups) {
                for strips in 1..=width.div_ceil(multiple) {
                    let columns = width.div_ceil(strips).next_multiple_of(multiple);
                    let tiles =
                        StripTiles { rows, columns, ..shape.sliced(groups, lanes, subgroups) };
                    let sums = rows * columns * groups;
                    let long =
                        sums > sums_limit || sums * shape.kernel[1] * shape.depth > unroll_limit;
                    let price = (long.then_some(sums), shape.price(tiles));
                    if best.is_none_or(|(least, _)| price < least) {
                        best = Some((price, tiles));
                    }
                }
            }
        }
        // The loops have run: rows, groups and strips are at least 1.
        best.map_or_else(|| shape.sliced(1, lanes, subgroups), |(_, tiles)| tiles)
    }

    /// One pixel, with the weights of `groups` groups in slices of about equal size.
    fn sliced(self, groups: u32, lanes: u32, subgroups: bool) -> StripTiles {
        let shape = self;
        let block_bytes = shape.kernel[0] * shape.kernel[1] * shape.in_groups * 4 * groups * 16;
        let all = shape.out_groups.div_ceil(groups);
        let uniform = block_bytes <= UNIFORM_BYTES;
        let blocks =
            if uniform { all.div_ceil(all.div_ceil(UNIFORM_BYTES / block_bytes)) } else { all };
        StripTiles {
            lanes,
            rows: 1,
            columns: 1,
            groups,
            blocks,
            uniform,
            subgroups,
            images: shape.images,
        }
    }

    /// Nanoseconds of a vector of images (pairs of them where they are packed), for a group of
    /// input channels.
    fn price(self, own: StripTiles) -> u64 {
        let shape = self;
        let StripTiles { rows, columns, groups, .. } = own;
        let StripShape { kernel: [tap_rows, taps], depth, spacing: [_, spacing], .. } = shape;
        let [height, width] = shape.pixels;
        let tiles =
            height.div_ceil(rows) * width.div_ceil(columns) * shape.out_groups.div_ceil(groups);
        let (input_rows, span) =
            (rows * tap_rows, ((columns - 1) * shape.stride[1] + shape.extent).div_ceil(spacing));
        let inputs = match shape.pooling {
            // A window's position is a quarter of its gradient.
            Pooling::Input => {
                u64::from(input_rows * (span / 2 + 1)) * 3 * STORAGE_LOAD / 2
                    + u64::from(input_rows * span) * UNPOOL
            }
            _ => u64::from(shape.images * input_rows * span) * STORAGE_LOAD,
        };
        let weights = u64::from(tap_rows * taps * depth * groups);
        let load = if own.uniform { UNIFORM_LOAD } else { STORAGE_LOAD };
        let weight_loads = match own.subgroups {
            true => {
                weights * BROADCAST
                    + u64::from(tap_rows * (taps * 4 * groups).div_ceil(own.lanes)) * load
            }
            false => weights * load,
        };
        u64::from(tiles)
            * (inputs + weight_loads + weights * u64::from(rows * columns / spacing) * MULTIPLY_ADD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `convolution` binds, against WebGPU's default limits; every channel is in a slice, and
    /// what the kernel asserts holds.
    #[test]
    fn slices_fit_every_device() {
        let windows = [(1, 1), (3, 1), (3, 8), (3, 16), (5, 32), (3, 256), (15, 16)];
        let steps = [
            (1, 1, Pooling::None),
            (2, 1, Pooling::None),
            (1, 3, Pooling::None),
            (1, 1, Pooling::Input),
            (1, 1, Pooling::Output),
        ];
        for out_groups in (1..70).chain([256, 257]) {
            for (kernel, in_groups) in windows {
                for (pixels, (stride, spacing, pooling)) in
                    [[1, 1], [24, 24], [7, 26], [4, 1000], [24, 24]].into_iter().zip(steps)
                {
                    let images = if pooling == Pooling::None { 1 + out_groups % 2 } else { 1 };
                    let shape = StripShape {
                        out_groups,
                        in_groups,
                        depth: 4,
                        pixels,
                        kernel: [kernel; 2],
                        extent: kernel,
                        stride: [stride; 2],
                        spacing: [spacing; 2],
                        pooling,
                        images,
                    };
                    let inner = kernel * kernel * in_groups * 4;
                    let tiles = shape.cheapest(8, true, [ACCUMULATORS, UNROLL_LIMIT]);
                    let StripTiles { rows, columns, groups, blocks, uniform, .. } = tiles;
                    let even = pooling != Pooling::None;
                    let least = if even { 4 } else { spacing };
                    assert!(
                        rows * groups * columns <= ACCUMULATORS.max(groups * least) && blocks > 0,
                        "{tiles:?}"
                    );
                    assert!(columns % spacing == 0 && (!even || columns % 2 == 0), "{tiles:?}");
                    assert!(
                        (rows == 1 || stride == 1) && (pooling != Pooling::Output || rows == 2),
                        "{tiles:?}"
                    );
                    assert!(tiles.slices(out_groups) * blocks * groups >= out_groups, "{tiles:?}");
                    assert!(!uniform || tiles.weights(inner) * 16 <= UNIFORM_BYTES, "{tiles:?}");
                    assert!(uniform || inner * groups * 16 > UNIFORM_BYTES, "{tiles:?}");
                }
            }
        }
    }
}
