//! The operators with sums and maxima, by ONNX's definitions, in f64: Conv, MaxPool, AveragePool
//! and Gemm.

use crate::config::Shape;

/// ONNX's `kernel_shape`, `strides` and `pads`, the same along both axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub kernel: u32,
    pub stride: u32,
    pub padding: u32,
}

impl Window {
    /// The output's shape with `channels` channels, for images of `input`.
    pub fn output(self, input: Shape, channels: u32) -> Shape {
        let size = |size: u32| (size + 2 * self.padding - self.kernel) / self.stride + 1;
        Shape::new(channels, size(input.height), size(input.width))
    }

    /// Of the window at output `at` of an axis of `size` inputs, the part inside the image: its
    /// first tap, its first input, how many.
    fn inside(self, at: usize, size: usize) -> [usize; 3] {
        let [kernel, stride, padding] =
            [self.kernel, self.stride, self.padding].map(|size| size as usize);
        let tap = padding.saturating_sub(at * stride);
        let first = (at * stride + tap - padding).min(size);
        let end = (at * stride + kernel).saturating_sub(padding).min(size);
        [tap, first, end.saturating_sub(first)]
    }
}

/// `output[n, o, y, x] = bias[o] + Σ_{i, ky, kx} input[n, i, y·S + ky − P, x·S + kx − P] ·
/// weight[o, i, ky, kx]`, zero outside the image.
pub(super) fn conv(
    images: usize,
    input: Shape,
    window: Window,
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let [channels, height, width] = <[u32; 3]>::from(input).map(|size| size as usize);
    let [filters, rows, columns] =
        <[u32; 3]>::from(window.output(input, bias.len() as u32)).map(|size| size as usize);
    let kernel = window.kernel as usize;
    let mut output = Vec::with_capacity(images * filters * rows * columns);
    for image in 0..images {
        for (filter, bias) in bias.iter().enumerate() {
            for row in 0..rows {
                for column in 0..columns {
                    let ([ky, y, high], [kx, x_first, wide]) =
                        (window.inside(row, height), window.inside(column, width));
                    let mut sum = *bias;
                    for channel in 0..channels {
                        for line in 0..high {
                            let from = ((image * channels + channel) * height + y + line) * width
                                + x_first;
                            let tap =
                                ((filter * channels + channel) * kernel + ky + line) * kernel + kx;
                            let products =
                                x[from..from + wide].iter().zip(&weight[tap..tap + wide]);
                            sum = products.fold(sum, |sum, (x, w)| sum + x * w);
                        }
                    }
                    output.push(sum);
                }
            }
        }
    }
    output
}

/// Maxima over the windows, which have no padding.
pub(super) fn max_pool(images: usize, input: Shape, window: Window, x: &[f64]) -> Vec<f64> {
    let [channels, height, width] = <[u32; 3]>::from(input).map(|size| size as usize);
    let [_, rows, columns] =
        <[u32; 3]>::from(window.output(input, input.channels)).map(|size| size as usize);
    let [kernel, stride] = [window.kernel, window.stride].map(|size| size as usize);
    let mut output = Vec::with_capacity(images * channels * rows * columns);
    for plane in 0..images * channels {
        for row in 0..rows {
            for column in 0..columns {
                let first = (plane * height + row * stride) * width + column * stride;
                let taps =
                    (0..kernel * kernel).map(|tap| x[first + tap / kernel * width + tap % kernel]);
                output.push(
                    taps.reduce(|most, x| if x > most { x } else { most }).unwrap_or(f64::NAN),
                );
            }
        }
    }
    output
}

/// Windows of an average-pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Averages {
    pub window: Window,
    /// ONNX's `ceil_mode`.
    pub ceil: bool,
    /// ONNX's `count_include_pad`.
    pub padded: bool,
}

impl Averages {
    /// The output's size along an axis of `size` pixels: ⌊(size + pads − kernel)/stride + 1⌋, or
    /// ⌈…⌉ less a window that would start in the padding at the end. None where there is no window.
    fn count(self, size: u32) -> Option<u32> {
        let Window { kernel, stride, padding } = self.window;
        let beyond = if self.ceil { stride.checked_sub(1)? } else { 0 };
        let padded = size.checked_add(padding.checked_mul(2)?)?;
        let steps = padded.checked_add(beyond)?.checked_sub(kernel)?.checked_div(stride)?;
        let count = steps.checked_add(1)?;
        let start = u64::from(count - 1) * u64::from(stride);
        let is_left_out = self.ceil && start >= u64::from(size) + u64::from(padding);
        Some(count - u32::from(is_left_out))
    }

    /// The output's shape for images of `input`.
    pub fn output(self, input: Shape) -> Option<Shape> {
        let (height, width) = (self.count(input.height)?, self.count(input.width)?);
        Some(Shape::new(input.channels, height, width))
    }
}

/// Means over windows of `averages`, with the `output` that they have.
pub(super) fn average_pool(
    images: usize,
    [input, output]: [Shape; 2],
    averages: Averages,
    x: &[f64],
) -> Vec<f64> {
    let [channels, height, width] = <[u32; 3]>::from(input).map(|size| size as usize);
    let [_, rows, columns] = <[u32; 3]>::from(output).map(|size| size as usize);
    let Window { kernel, stride, padding } = averages.window;
    // Pixels that a mean is over along an axis: those of the image, or up to the padding's end.
    let over = |at: usize, inside: usize, size: usize| match averages.padded {
        true => {
            let start = at * stride as usize;
            (size + 2 * padding as usize).saturating_sub(start).min(kernel as usize)
        }
        false => inside,
    };
    let mut output = Vec::with_capacity(images * channels * rows * columns);
    for plane in 0..images * channels {
        for row in 0..rows {
            for column in 0..columns {
                let [_, y, high] = averages.window.inside(row, height);
                let [_, x_first, wide] = averages.window.inside(column, width);
                let line =
                    |line: usize| &x[(plane * height + y + line) * width + x_first..][..wide];
                let sum: f64 = (0..high).flat_map(line).sum();
                output.push(sum / (over(row, high, height) * over(column, wide, width)) as f64);
            }
        }
    }
    output
}

/// x·Bᵀ + C: `output[n, o] = bias[o] + Σ_i x[n, i] · weight[o, i]`.
pub(super) fn gemm(
    images: usize,
    features: usize,
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let mut output = Vec::with_capacity(images * bias.len());
    for image in 0..images {
        let vector = &x[image * features..][..features];
        for (row, bias) in bias.iter().enumerate() {
            let products =
                vector.iter().zip(&weight[row * features..][..features]).map(|(x, w)| x * w);
            output.push(bias + products.sum::<f64>());
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AveragePool, MaxPool},
        random,
        reference::{
            average_pool as average,
            convolution::{self, Convolution},
            matrix_product::matrix_product,
            max_pool,
        },
    };

    fn numbers(count: usize, stream: u32) -> Vec<f64> {
        let key = random::random_key(5, 0, stream);
        (0..count as u32)
            .map(|at| f64::from(random::uniform01(random::random_bits(key, at, 0, 0)[0])) - 0.5)
            .collect()
    }

    const TWICE: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

    /// The tests' oracle was written from PyTorch's definitions.
    #[test]
    fn the_operators_are_the_layers() {
        for (kernel, stride, padding) in [(1, 1, 0), (3, 1, 1), (3, 2, 2), (4, 3, 0), (5, 2, 4)] {
            let (input, filters, images) = (Shape::new(3, 7, 5), 4, 2);
            let window = [kernel, stride, padding].into();
            let shape = Convolution { images, input, out_channels: filters, window };
            let (x, weight, bias) = (numbers(210, 1), numbers(shape.weights(), 2), numbers(4, 3));
            let window = Window { kernel, stride, padding };
            assert_eq!(window.output(input, filters), shape.output());
            assert_eq!(
                conv(images, input, window, &x, &weight, &bias),
                convolution::convolution(&shape, &x, &weight, &bias)
            );
            let window = Window { padding: 0, ..window };
            assert_eq!(
                max_pool(images, input, window, &x),
                max_pool::max_pool(images, input, MaxPool::inside(kernel, stride), &x).0
            );
        }
        let cases = [(2, 2, 0), (3, 1, 1), (3, 2, 1), (4, 3, 2), (5, 5, 2), (8, 3, 0)];
        for ((kernel, stride, padding), [ceil, padded]) in
            cases.into_iter().flat_map(|case| TWICE.map(|flags| (case, flags)))
        {
            let (input, images, x) = (Shape::new(3, 7, 6), 2, numbers(252, 7));
            let averages = Averages { window: Window { kernel, stride, padding }, ceil, padded };
            let (ceil_mode, count_include_pad) = (ceil, padded);
            let pool = AveragePool { kernel, stride, padding, ceil_mode, count_include_pad };
            let Some(output) = averages.output(input) else {
                assert!(kernel == 8 && !ceil, "{pool:?}");
                continue;
            };
            assert_eq!(output, average::output_shape(input, pool), "{pool:?}");
            let own = average_pool(images, [input, output], averages, &x);
            assert_eq!(own, average::average_pool(images, input, pool, &x), "{pool:?}");
        }
        let (x, weight, bias) = (numbers(30, 4), numbers(40, 5), numbers(4, 6));
        assert_eq!(gemm(3, 10, &x, &weight, &bias), matrix_product(3, &x, &weight, &bias));
    }

    #[test]
    fn no_channels_and_no_pixels_are_no_fault() {
        let window = Window { kernel: 2, stride: 1, padding: 1 };
        assert_eq!(conv(1, Shape::new(0, 1, 1), window, &[], &[], &[0.5]), [0.5; 4]);
        assert_eq!(conv(1, Shape::new(1, 0, 2), window, &[], &[1.0; 4], &[]), [0.0; 0]);
        assert_eq!(conv(1, Shape::new(1, 0, 2), window, &[], &[1.0; 4], &[0.5]), [0.5; 3]);
        assert_eq!(gemm(1, 0, &[], &[], &[0.5]), [0.5]);
    }
}
