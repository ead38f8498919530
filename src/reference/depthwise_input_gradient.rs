//! Gradient of a depthwise convolution with respect to its input: every product of the forward sum
//! hands output_gradient · weight back to the input it came from.

use super::{convolution::Convolution, depthwise_convolution::for_each_term};

/// ∂L/∂input, [images, channels, height, width].
pub fn depthwise_input_gradient(
    shape: &Convolution,
    output_gradient: &[f64],
    weight: &[f64],
) -> Vec<f64> {
    let mut gradient = vec![0.0; shape.images * shape.input.elements() as usize];
    for_each_term(shape, |term| {
        gradient[term.input] += output_gradient[term.output] * weight[term.weight]
    });
    gradient
}
