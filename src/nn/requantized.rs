//! Weighted layers of integer inference: which kernel sums their products, with weights laid out
//! for it once, and `requantize` at its end.

use super::{ConvolutionFamily, StripShape, TileTable, slices::WeightSlices};
use crate::{
    Result,
    config::{Shape, Window},
    gpu::{Buffer, Gpu, Launcher, Recording, Work},
    kernels::{
        ConvolutionRequantized, ConvolutionTiled, DepthwiseConvolution, Epilogue, Geometry,
        GroupedConvolution, GroupedShape, ImageRange, IntegerConvolution, MatrixProduct,
        Requantized,
    },
    layout::{GROUP, groups},
    quant::is_exact_in_f32,
    storage::{Format, Storage},
};

/// Two sums below this fit a word.
const EXACT_IN_HALF: i64 = 1 << 15;

/// Weights of a layer, [out, in of a set, taps] row by row.
#[derive(Clone, Copy, Debug)]
pub enum RequantizedWeights<'a> {
    /// Integers from −255 to 255, over inputs that are integers, with sums of at most `bound`;
    /// `pivots` an output channel, and `spacing`, such that (w − pivot) / spacing is a signed byte.
    Integers {
        /// Weights.
        values: &'a [i32],
        /// Largest |sum|.
        bound: i64,
        /// Of an output channel each.
        pivots: &'a [i32],
        /// Distance of neighbouring weights.
        spacing: i32,
    },
    /// Floats, over any inputs.
    Floats(&'a [f32]),
}

/// A layer as it is computed.
#[derive(Clone, Copy, Debug)]
pub struct RequantizedShape<'a> {
    /// Shape of an input.
    pub input: Shape,
    /// Shape of an output.
    pub output: Shape,
    /// The window; none of a fully connected layer.
    pub window: Option<Window>,
    /// Sets of channels that are convolved on their own (PyTorch's groups); 1 of a fully connected
    /// layer.
    pub sets: u32,
    /// Images that are computed at once, at most.
    pub images: u32,
    /// How inputs and outputs are stored.
    pub storage: Storage,
    /// Of an output channel each.
    pub multiplier: &'a [f32],
    /// Of an output channel each; of every pixel and output channel, [row, column, channel], where
    /// they depend on the place.
    pub offset: &'a [f32],
    /// Lower and upper end of the output's range.
    pub range: [f32; 2],
}

/// What sums the products.
enum Sum {
    /// `convolution`: strips of pixels; integers are exact in f32, or two in the halves of a word.
    Strips(WeightSlices),
    /// `convolution_tiled` or `matrix_product`, likewise.
    Product(Buffer),
    /// `integer_convolution`: words of 4 bytes; starts and factors of the sums.
    Bytes { weights: Buffer, sums: Buffer, spacing: Option<i32> },
    /// `depthwise_convolution`: floats hold all sums.
    Depthwise(Buffer),
    /// `grouped_convolution`: floats, or integers where floats do not hold their sums.
    Sets { weights: Buffer, shape: GroupedShape, integers: bool },
}

/// A layer with its weights on the GPU.
pub struct RequantizedLayer {
    geometry: Geometry,
    storage: Storage,
    range: [f32; 2],
    pixel_offsets: u32,
    tiles: TileTable,
    sum: Sum,
    multiplier: Buffer,
    offset: Buffer,
    flops: u64,
    moved: u64,
}

/// `values`, [row, channel], with channels padded with zeros to a multiple of 4.
fn padded_rows(values: &[f32], channels: usize) -> Vec<f32> {
    let padded = channels.next_multiple_of(GROUP as usize);
    values
        .chunks_exact(channels)
        .flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, padded - channels)))
        .collect()
}

/// Sizes of a layer's weights.
#[derive(Clone, Copy)]
struct Sizes {
    out_channels: usize,
    /// Of a set.
    in_channels: usize,
    /// As they are laid out: padded to a multiple of 4 where all channels are a set.
    in_stored: usize,
    taps: usize,
}

impl Sizes {
    /// Output channels, padded to a multiple of 4.
    fn out_stored(self) -> usize {
        self.out_channels.next_multiple_of(GROUP as usize)
    }

    /// All weights as they are laid out.
    fn elements(self) -> usize {
        self.taps * self.in_stored * self.out_stored()
    }
}

/// Position of weight [out, in, tap] in [tap, in (stored), out (padded)], weight by weight.
fn positions(sizes: Sizes) -> impl Iterator<Item = (usize, usize)> {
    let Sizes { out_channels, in_channels, in_stored: in_padded, taps } = sizes;
    let out_padded = sizes.out_stored();
    (0..out_channels * in_channels * taps).map(move |index| {
        let (out, rest) = (index / (in_channels * taps), index % (in_channels * taps));
        (index, (rest % taps * in_padded + rest / taps) * out_padded + out)
    })
}

impl RequantizedLayer {
    /// Uploads the weights in the arrangement of the kernel that `tiles` has for the layer.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`].
    pub fn new(
        gpu: &Gpu,
        tiles: TileTable,
        shape: &RequantizedShape<'_>,
        weights: RequantizedWeights<'_>,
    ) -> Result<Self> {
        let (input, output) = (shape.input, shape.output);
        let geometry = match shape.window {
            Some(window) => Geometry::convolution(input, output, window),
            None => Geometry::fully_connected(
                input.pixels() * groups(input.channels),
                groups(output.channels),
            ),
        };
        let sum = Sum::new(gpu, &tiles, shape, geometry, weights)?;
        let channels = output.channels as usize;
        let per_pixel = shape.offset.len() > channels;
        let Sizes { out_channels, in_channels, taps, .. } = shape.sizes();
        let pixels = shape.window.map_or(1, |_| output.pixels());
        let products = (taps * in_channels * out_channels) as u64 * u64::from(pixels);
        let bytes = |shape: Shape, format: Format| {
            u64::from(shape.pixels() * groups(shape.channels)) * format.group_bytes()
        };
        Ok(RequantizedLayer {
            geometry,
            storage: shape.storage,
            range: shape.range,
            pixel_offsets: if per_pixel { groups(output.channels) } else { 0 },
            tiles,
            sum,
            multiplier: gpu.upload("multipliers", &padded_rows(shape.multiplier, channels))?,
            offset: gpu.upload("offsets", &padded_rows(shape.offset, channels))?,
            flops: 2 * products,
            moved: bytes(input, shape.storage.input) + bytes(output, shape.storage.output),
        })
    }

    /// Bytes of weights and constants on the device.
    pub fn bytes(&self) -> u64 {
        let weights = match &self.sum {
            Sum::Strips(slices) => slices.bytes(),
            Sum::Product(weights) => weights.size(),
            Sum::Bytes { weights, sums, .. } => weights.size() + sums.size(),
            Sum::Depthwise(weights) | Sum::Sets { weights, .. } => weights.size(),
        };
        weights + self.multiplier.size() + self.offset.size()
    }

    /// Adds the layer over `range`.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        label: &str,
        range: ImageRange<'_>,
        [from, to]: [&Buffer; 2],
    ) -> Result<()> {
        let images = u64::from(range.most);
        let work = Work { flops: images * self.flops, bytes: images * self.moved };
        let end = Requantized {
            multiplier: &self.multiplier,
            offset: &self.offset,
            range: self.range,
            pixel_offsets: self.pixel_offsets,
        };
        let (geometry, storage) = (self.geometry, self.storage);
        let (input, output) = (from.into(), to.into());
        match &self.sum {
            Sum::Strips(slices) => slices.iter().try_for_each(|weights| {
                ConvolutionRequantized {
                    images: range,
                    input,
                    weights,
                    output,
                    end,
                    geometry,
                    tiles: slices.tiles,
                    storage,
                    work,
                }
                .record(gpu, recording, label)
            }),
            Sum::Product(weights) => match self.tiles.product_of(geometry) {
                Some(tiles) => ConvolutionTiled {
                    images: range,
                    input,
                    weight: weights.into(),
                    output,
                    end: Epilogue::Requantized(end),
                    geometry,
                    mirrored: false,
                    tiles,
                    storage,
                    work,
                }
                .record(gpu, recording, label),
                None => MatrixProduct {
                    images: range,
                    input,
                    weight: weights.into(),
                    output,
                    end: Epilogue::Requantized(end),
                    transposed: false,
                    in_groups: geometry.input[2],
                    out_groups: geometry.output[2],
                    tiles: self.tiles.matrix_product(geometry.output[2]),
                    storage,
                    work,
                }
                .record(gpu, recording, label),
            },
            Sum::Bytes { weights, sums, spacing } => IntegerConvolution {
                images: range,
                input,
                weight: weights,
                output,
                end,
                sums,
                spacing: *spacing,
                geometry,
                tiles: self.tiles.integer_product(
                    geometry.output[2],
                    geometry.pixels(),
                    geometry.inner(),
                ),
                storage,
                work,
            }
            .record(gpu, recording, label),
            Sum::Depthwise(weight) => DepthwiseConvolution {
                images: range,
                input,
                weight,
                output,
                end: Epilogue::Requantized(end),
                geometry,
                tiles: self.tiles.depthwise(geometry),
                storage,
                work,
            }
            .record(gpu, recording, label),
            &Sum::Sets { weights: ref weight, shape, integers } => GroupedConvolution {
                images: range,
                input,
                weight,
                output,
                end: Epilogue::Requantized(end),
                integers,
                shape,
                storage,
                work,
            }
            .record(gpu, recording, label),
        }
    }
}

impl RequantizedShape<'_> {
    /// The convolution of sets that it is, where it has windows.
    fn grouped(&self) -> Option<GroupedShape> {
        let &RequantizedShape { input, output, window, sets, .. } = self;
        window.map(|window| GroupedShape { input, output, window, sets })
    }

    /// The kernels that a convolution has; a fully connected layer sums everything.
    fn family(&self) -> ConvolutionFamily {
        self.grouped().map_or(ConvolutionFamily::Dense, ConvolutionFamily::of)
    }

    fn sizes(&self) -> Sizes {
        let in_channels = self.input.channels / self.sets;
        let stored = match self.sets {
            1 => groups(in_channels) * GROUP,
            _ => in_channels,
        };
        let taps = self.window.map_or(self.input.pixels(), Window::taps);
        let [out_channels, in_channels, in_stored, taps] =
            [self.output.channels, in_channels, stored, taps].map(|size| size as usize);
        Sizes { out_channels, in_channels, in_stored, taps }
    }
}

impl Sum {
    /// What sums the products of `shape`, with the weights laid out for it.
    fn new(
        gpu: &Gpu,
        tiles: &TileTable,
        shape: &RequantizedShape<'_>,
        geometry: Geometry,
        weights: RequantizedWeights<'_>,
    ) -> Result<Sum> {
        let bound = match weights {
            RequantizedWeights::Integers { bound, .. } => Some(bound),
            RequantizedWeights::Floats(_) => None,
        };
        let is_exact = bound.is_none_or(|bound| is_exact_in_f32(bound.unsigned_abs()));
        let sizes = shape.sizes();
        match weights {
            RequantizedWeights::Integers { values, pivots, spacing, .. }
                if shape.sets == 1 && tiles.sums_bytes(is_exact) =>
            {
                return Sum::bytes(gpu, sizes, values, (pivots, spacing), shape.storage.input);
            }
            _ => {}
        }
        let family = shape.family();
        // One set of channels by the kernel of many reads no padding.
        let sizes = match family {
            ConvolutionFamily::Dense => sizes,
            _ => Sizes { in_stored: sizes.in_channels, ..sizes },
        };
        let mut arranged = vec![0.0f32; sizes.elements()];
        for (from, to) in positions(sizes) {
            arranged[to] = match weights {
                RequantizedWeights::Integers { values, .. } => values[from] as f32,
                RequantizedWeights::Floats(values) => values[from],
            };
        }
        let arranged = gpu.upload("weights", &arranged)?;
        match (family, shape.grouped()) {
            (ConvolutionFamily::Depthwise, _) if is_exact => return Ok(Sum::Depthwise(arranged)),
            (ConvolutionFamily::Depthwise | ConvolutionFamily::Grouped, Some(shape)) => {
                return Ok(Sum::Sets { weights: arranged, shape, integers: !is_exact });
            }
            _ => {}
        }
        let fits_half = bound.is_some_and(|bound| bound < EXACT_IN_HALF);
        let is_paired = fits_half && shape.images > 1;
        let images = 1 + u32::from(is_paired);
        let strip_shape = StripShape { images, ..StripShape::of(geometry) };
        Ok(match tiles.strips(strip_shape).filter(|_| shape.window.is_some()) {
            Some(strips) => {
                let slices = WeightSlices::new(gpu, strips, geometry, false)?;
                let mut recording = Recording::new();
                slices.record(gpu, &mut recording, "slices of weights", &arranged)?;
                recording.submit(gpu)?;
                Sum::Strips(slices)
            }
            None => Sum::Product(arranged),
        })
    }

    /// Sums of bytes.
    fn bytes(
        gpu: &Gpu,
        sizes: Sizes,
        values: &[i32],
        (pivots, spacing): (&[i32], i32),
        input: Format,
    ) -> Result<Sum> {
        let Sizes { out_channels, in_stored: in_padded, taps, .. } = sizes;
        let narrow = values.iter().all(|value| (-128..=127).contains(value));
        let spacing = if narrow { 1 } else { spacing };
        let pivot = |channel: usize| if narrow { 0 } else { pivots[channel % pivots.len()] };
        let out_padded = sizes.out_stored();
        // A byte a weight, in the order of a float's; then 4 input channels become a word.
        let mut bytes = vec![0i32; taps * in_padded * out_padded];
        let (mut starts, mut factors) = (vec![0i32; out_padded], vec![0i32; out_padded]);
        // Inputs that are unsigned were made signed by taking 128 away, padding included.
        let shift = if input == Format::U8 { 128i32 } else { 0 };
        for channel in 0..out_channels {
            factors[channel] = pivot(channel);
            starts[channel] =
                pivot(channel).wrapping_mul(shift).wrapping_mul((taps * in_padded) as i32);
        }
        for (from, to) in positions(sizes) {
            let channel = to % out_padded;
            bytes[to] = (values[from] - pivot(channel)) / spacing;
            starts[channel] =
                starts[channel].wrapping_add(spacing.wrapping_mul(shift).wrapping_mul(bytes[to]));
        }
        let mut words = Vec::with_capacity(bytes.len() / 4);
        for rows in bytes.chunks_exact(4 * out_padded) {
            let byte = |row: usize, out: usize| u32::from(rows[row * out_padded + out] as i8 as u8);
            words.extend(
                (0..out_padded)
                    .map(|out| (0..4).fold(0, |word, row| word | byte(row, out) << (8 * row))),
            );
        }
        let sums: Vec<i32> = (0..out_padded / 4)
            .flat_map(|group| {
                [&starts, &factors].map(|values| values[4 * group..][..4].to_vec()).concat()
            })
            .collect();
        Ok(Sum::Bytes {
            weights: gpu.upload("weights in bytes", &words)?,
            sums: gpu.upload("starts of sums", &sums)?,
            spacing: (!narrow).then_some(spacing),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Abilities, Command};

    /// The kernel that sums 4 products on a software driver, where no sum exceeds `bound`.
    fn kernel_of(bound: i64) -> &'static str {
        let gpu = Gpu::noop(true, Abilities::default());
        let shape = RequantizedShape {
            input: Shape::new(4, 1, 1),
            output: Shape::new(4, 1, 1),
            window: None,
            sets: 1,
            images: 1,
            storage: Storage { input: Format::U8, output: Format::U8, state: Format::U8 },
            multiplier: &[1.0; 4],
            offset: &[0.0; 4],
            range: [0.0, 255.0],
        };
        let weights =
            RequantizedWeights::Integers { values: &[1; 16], bound, pivots: &[0; 4], spacing: 1 };
        let layer =
            RequantizedLayer::new(&gpu, TileTable::for_kind(true), &shape, weights).unwrap();
        let images = gpu.uniform("images", 16).unwrap();
        let [from, to] = [(); 2].map(|()| gpu.buffer("levels", 64).unwrap());
        let mut recording = Recording::new();
        let range = ImageRange { binding: (&images).into(), most: 1 };
        layer.record(&gpu, &mut recording, "sum", range, [&from, &to]).unwrap();
        match recording.commands() {
            [Command::Dispatch { kernel, .. }] => kernel.name(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn floats_sum_integers_as_far_as_they_are_exact() {
        assert_eq!([(1 << 24) - 1, 1 << 24].map(kernel_of), ["matrix_product"; 2]);
        assert_eq!(kernel_of((1 << 24) + 1), "integer_convolution");
    }
}
