//! The operators with sums and maxima, by ONNX's definitions, in f64: Conv, MaxPool, AveragePool
//! and Gemm.

use crate::config::Shape;

/// ONNX's attributes of windows; pairs are of rows and columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// `kernel_shape`.
    pub kernel: [u32; 2],
    /// `strides`.
    pub stride: [u32; 2],
    /// `dilations`.
    pub dilation: [u32; 2],
    /// `pads`: at the top, left, bottom and right.
    pub padding: [u32; 4],
    /// `ceil_mode`.
    pub ceil: bool,
}

impl Window {
    /// The output's shape with `channels` channels for images of `input`; none where there is no
    /// window.
    pub fn output(self, input: Shape, channels: u32) -> Option<Shape> {
        Some(Shape::new(channels, self.count(0, input.height)?, self.count(1, input.width)?))
    }

    /// The output's size along an axis of `size` pixels: ⌊(size + pads − extent)/stride + 1⌋, or
    /// ⌈…⌉ less a window that would start in the padding at the end.
    fn count(self, axis: usize, size: u32) -> Option<u32> {
        let stride = self.stride[axis];
        let [front, behind] = [self.padding[axis], self.padding[axis + 2]];
        let extent = self.kernel[axis].checked_sub(1)?.checked_mul(self.dilation[axis])?;
        let beyond = if self.ceil { stride.checked_sub(1)? } else { 0 };
        let padded = size.checked_add(front)?.checked_add(behind)?;
        let room = padded.checked_add(beyond)?.checked_sub(extent)?.checked_sub(1)?;
        let count = room.checked_div(stride)?.checked_add(1)?;
        let start = u64::from(count - 1) * u64::from(stride);
        let is_left_out = self.ceil && start >= u64::from(size) + u64::from(front);
        Some(count - u32::from(is_left_out))
    }

    /// Taps and the inputs that they meet along an axis of `size` pixels at output `at`.
    fn inside(self, axis: usize, at: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
        let [stride, dilation, front] =
            [self.stride[axis], self.dilation[axis], self.padding[axis]].map(|own| own as usize);
        (0..self.kernel[axis] as usize).filter_map(move |tap| {
            let place = (at * stride + tap * dilation).checked_sub(front)?;
            (place < size).then_some((tap, place))
        })
    }

    /// The inputs in row-major order that the window at an output meets in planes of
    /// `height` × `width`, with their taps.
    fn pixels(
        self,
        [row, column]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> impl Iterator<Item = (usize, usize)> {
        let taps = self.kernel[1] as usize;
        self.inside(0, row, height).flat_map(move |(ky, y)| {
            let line = self.inside(1, column, width);
            line.map(move |(kx, x)| (ky * taps + kx, y * width + x))
        })
    }
}

/// [images, channels, height, width] · outputs of `output`, each made of its image, channel, row
/// and column.
fn each_output(images: usize, output: Shape, of: impl FnMut([usize; 4]) -> f64) -> Vec<f64> {
    let [channels, rows, columns] = <[u32; 3]>::from(output).map(|size| size as usize);
    let place = |at: usize| {
        let (plane, pixel) = (at / (rows * columns), at % (rows * columns));
        [plane / channels, plane % channels, pixel / columns, pixel % columns]
    };
    (0..images * channels * rows * columns).map(place).map(of).collect()
}

/// `output[n, o, y, x] = bias[o] + Σ_{i, ky, kx} input[n, g(o) + i, y·S + ky·D − P, x·S + kx·D − P]
/// · weight[o, i, ky, kx]`, zero outside the image, where g(o) is the first channel of the group
/// that o belongs to. The `output` has the shape of `window`.
pub(super) fn conv(
    images: usize,
    [input, output]: [Shape; 2],
    (window, groups): (Window, usize),
    x: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let [channels, height, width] = <[u32; 3]>::from(input).map(|size| size as usize);
    let taps = (window.kernel[0] * window.kernel[1]) as usize;
    let (inputs, outputs) = (channels / groups, bias.len() / groups);
    each_output(images, output, |[image, filter, row, column]| {
        let pixels: Vec<_> = window.pixels([row, column], [height, width]).collect();
        let mut sum = bias[filter];
        for input in 0..inputs {
            let plane = image * channels + filter / outputs * inputs + input;
            let own = &x[plane * height * width..][..height * width];
            let filter = &weight[(filter * inputs + input) * taps..][..taps];
            sum = pixels.iter().fold(sum, |sum, &(tap, pixel)| sum + own[pixel] * filter[tap]);
        }
        sum
    })
}

/// Maxima over the pixels of the image in each window.
pub(super) fn max_pool(
    images: usize,
    [input, output]: [Shape; 2],
    window: Window,
    x: &[f64],
) -> Vec<f64> {
    let [channels, height, width] = <[u32; 3]>::from(input).map(|size| size as usize);
    each_output(images, output, |[image, channel, row, column]| {
        let plane = (image * channels + channel) * height * width;
        let values = window.pixels([row, column], [height, width]).map(|(_, at)| x[plane + at]);
        values.reduce(|most, x| if x > most { x } else { most }).unwrap_or(f64::NAN)
    })
}

/// Means over windows, of all their pixels up to the padding's end if `padded`, else of those of
/// the image.
pub(super) fn average_pool(
    images: usize,
    [input, output]: [Shape; 2],
    (window, padded): (Window, bool),
    x: &[f64],
) -> Vec<f64> {
    let [channels, height, width] = <[u32; 3]>::from(input).map(|size| size as usize);
    let over = |axis: usize, at: usize, size: usize| {
        let own = [window.padding[axis], window.padding[axis + 2]].map(|size| size as usize);
        let end = (size + own[0] + own[1]).saturating_sub(at * window.stride[axis] as usize);
        end.min(window.kernel[axis] as usize)
    };
    each_output(images, output, |[image, channel, row, column]| {
        let plane = (image * channels + channel) * height * width;
        let values = window.pixels([row, column], [height, width]).map(|(_, at)| x[plane + at]);
        let (count, sum) = values.fold((0, 0.0), |(count, sum), x| (count + 1, sum + x));
        let count = if padded { over(0, row, height) * over(1, column, width) } else { count };
        sum / count as f64
    })
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
            average_pool as average, convolution::Convolution,
            grouped_convolution::grouped_convolution, matrix_product::matrix_product, max_pool,
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
        let plain = Window {
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [1; 4],
            ceil: false,
        };
        for (window, groups) in [
            (Window { kernel: [1, 1], padding: [0; 4], ..plain }, 1),
            (plain, 1),
            (Window { stride: [2, 2], padding: [2; 4], ..plain }, 3),
            (Window { kernel: [4, 2], stride: [3, 1], padding: [0, 1, 2, 0], ..plain }, 1),
            (Window { dilation: [2, 1], padding: [3, 0, 1, 2], ..plain }, 3),
            (Window { kernel: [5, 5], stride: [2, 1], padding: [4; 4], ..plain }, 3),
        ] {
            let (input, filters, images) = (Shape::new(3, 7, 5), 6, 2);
            let Window { kernel, stride, dilation, padding, .. } = window;
            let own = crate::config::Window { kernel, stride, dilation, padding };
            let shape = Convolution { images, input, out_channels: filters, window: own };
            let weights = shape.weights() / groups;
            let (x, weight, bias) = (numbers(210, 1), numbers(weights, 2), numbers(6, 3));
            assert_eq!(window.output(input, filters), Some(shape.output()));
            assert_eq!(
                conv(images, [input, shape.output()], (window, groups), &x, &weight, &bias),
                grouped_convolution(&shape, groups, &x, &weight, &bias)
            );
        }
        let plain = [[2, 2, 0], [3, 1, 1], [3, 2, 1], [4, 3, 2], [5, 5, 2], [8, 3, 0]];
        let own = |kernel, stride, padding| crate::config::Window {
            kernel,
            stride,
            dilation: [1; 2],
            padding,
        };
        let cases = plain
            .into_iter()
            .map(crate::config::Window::plain)
            .chain([own([3, 2], [1, 2], [1, 0, 2, 1]), own([1, 4], [2, 3], [0, 3, 0, 1])]);
        for (own, [ceil, padded]) in cases.flat_map(|case| TWICE.map(|flags| (case, flags))) {
            let (input, images, x) = (Shape::new(3, 7, 6), 2, numbers(252, 7));
            let crate::config::Window { kernel, stride, dilation, padding } = own;
            let window = Window { kernel, stride, dilation, padding, ceil };
            let pool = AveragePool { window: own, ceil_mode: ceil, count_include_pad: padded };
            let Some(output) = window.output(input, 3) else {
                assert!(kernel == [8; 2] && !ceil, "{pool:?}");
                continue;
            };
            assert_eq!(output, average::output_shape(input, pool), "{pool:?}");
            let means = average_pool(images, [input, output], (window, padded), &x);
            assert_eq!(means, average::average_pool(images, input, pool, &x), "{pool:?}");
            let pool = MaxPool { window: own, ceil_mode: ceil };
            assert_eq!(output, max_pool::output_shape(input, pool), "{pool:?}");
            let maxima = super::max_pool(images, [input, output], window, &x);
            assert_eq!(maxima, max_pool::max_pool(images, input, pool, &x).0, "{pool:?}");
        }
        let (x, weight, bias) = (numbers(30, 4), numbers(40, 5), numbers(4, 6));
        assert_eq!(gemm(3, 10, &x, &weight, &bias), matrix_product(3, &x, &weight, &bias));
    }

    #[test]
    fn no_channels_and_no_pixels_are_no_fault() {
        let window = Window {
            kernel: [2; 2],
            stride: [1; 2],
            dilation: [1; 2],
            padding: [1; 4],
            ceil: false,
        };
        let of = |input: Shape, weight: &[f64], bias: &[f64]| {
            let output = window.output(input, bias.len() as u32).unwrap();
            conv(1, [input, output], (window, 1), &[], weight, bias)
        };
        assert_eq!(of(Shape::new(0, 1, 1), &[], &[0.5]), [0.5; 4]);
        assert_eq!(of(Shape::new(1, 0, 2), &[1.0; 4], &[]), [0.0; 0]);
        assert_eq!(of(Shape::new(1, 0, 2), &[1.0; 4], &[0.5]), [0.5; 3]);
        assert_eq!(gemm(1, 0, &[], &[], &[0.5]), [0.5]);
    }
}
