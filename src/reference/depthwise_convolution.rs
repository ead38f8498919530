//! Depthwise convolution, torch.nn.Conv2d with as many groups and outputs as inputs: `output[n, c,
//! y, x] = bias[c] + Σ_{ky, kx} input[n, c, y·S + ky·D − P, x·S + kx·D − P] · weight[c, ky, kx]`,
//! zero outside the image.

use super::convolution::Convolution;

/// One product of the sums of a depthwise convolution and its gradients, as indices into the NCHW
/// and [channel, kh, kw] arrays.
pub(super) struct Term {
    pub input: usize,
    pub weight: usize,
    pub output: usize,
}

/// Calls `then` for every product of an input inside the image with a weight.
pub(super) fn for_each_term(shape: &Convolution, mut then: impl FnMut(Term)) {
    let window = shape.window;
    let (input, output) = (shape.input, shape.output());
    // Where tap `tap` of output `at` is along an axis of `size` pixels.
    let place = |axis: usize, size: u32, at: u32, tap: u32| {
        let place = i64::from(at) * i64::from(window.stride[axis])
            + i64::from(tap) * i64::from(window.dilation[axis])
            - i64::from(window.padding[axis]);
        u32::try_from(place).ok().filter(|&place| place < size)
    };
    let [height, width] = window.kernel;
    for plane in 0..shape.images as u32 * input.channels {
        let channel = plane % input.channels;
        for y in 0..output.height {
            for x in 0..output.width {
                for tap in 0..window.taps() {
                    let (ky, kx) = (tap / width, tap % width);
                    let row = place(0, input.height, y, ky);
                    let Some((row, column)) = row.zip(place(1, input.width, x, kx)) else {
                        continue;
                    };
                    then(Term {
                        input: ((plane * input.height + row) * input.width + column) as usize,
                        weight: (channel * height * width + tap) as usize,
                        output: ((plane * output.height + y) * output.width + x) as usize,
                    });
                }
            }
        }
    }
}

/// The output, [images, channels, height, width].
pub fn depthwise_convolution(
    shape: &Convolution,
    input: &[f64],
    weight: &[f64],
    bias: &[f64],
) -> Vec<f64> {
    let pixels = shape.output().pixels() as usize;
    let mut output: Vec<f64> = (0..shape.images * bias.len() * pixels)
        .map(|index| bias[index / pixels % bias.len()])
        .collect();
    for_each_term(shape, |term| output[term.output] += input[term.input] * weight[term.weight]);
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Shape, Window},
        reference::{
            depthwise_input_gradient::depthwise_input_gradient,
            depthwise_weight_gradient::depthwise_weight_gradient,
            grouped_convolution::grouped_convolution,
            grouped_convolution_input_gradient::grouped_convolution_input_gradient,
            grouped_convolution_weight_gradient::grouped_convolution_weight_gradient,
        },
    };

    /// Two definitions of the same sums.
    #[test]
    fn it_is_a_convolution_of_groups_of_one_channel() {
        let window =
            Window { kernel: [3, 2], stride: [2, 1], dilation: [1, 3], padding: [2, 1, 0, 3] };
        let shape = Convolution { images: 2, input: Shape::new(3, 6, 5), out_channels: 3, window };
        let wave = |count: usize, phase: f64| {
            (0..count).map(|i| (i as f64 * 1.7 + phase).sin()).collect::<Vec<_>>()
        };
        let (input, weight, bias) = (wave(180, 0.1), wave(18, 0.7), wave(3, 2.0));
        let close = |one: &[f64], other: &[f64]| {
            assert_eq!(one.len(), other.len());
            assert!(one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-12), "{one:?} {other:?}");
        };
        let output = depthwise_convolution(&shape, &input, &weight, &bias);
        close(&output, &grouped_convolution(&shape, 3, &input, &weight, &bias));
        let gradient = wave(output.len(), 1.3);
        close(
            &depthwise_input_gradient(&shape, &gradient, &weight),
            &grouped_convolution_input_gradient(&shape, 3, &gradient, &weight),
        );
        let (own, others) = (
            depthwise_weight_gradient(&shape, &input, &gradient),
            grouped_convolution_weight_gradient(&shape, 3, &input, &gradient),
        );
        close(&own.0, &others.0);
        close(&own.1, &others.1);
    }
}
