//! Gradient of a depthwise convolution with respect to its weight and bias: every product of the
//! forward sum hands input · output_gradient back to the weight it came from; the bias gets the sum
//! over images and pixels.

use super::{convolution::Convolution, depthwise_convolution::for_each_term};

/// (∂L/∂weight [channels, 1, kh, kw], ∂L/∂bias `[channels]`).
pub fn depthwise_weight_gradient(
    shape: &Convolution,
    input: &[f64],
    output_gradient: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let channels = shape.out_channels as usize;
    let mut weight = vec![0.0; channels * shape.window.taps() as usize];
    for_each_term(shape, |term| {
        weight[term.weight] += input[term.input] * output_gradient[term.output]
    });
    let pixels = shape.output().pixels() as usize;
    let mut bias = vec![0.0; channels];
    for (index, value) in output_gradient.iter().enumerate() {
        bias[index / pixels % channels] += value;
    }
    (weight, bias)
}
