//! Gradient of a convolution with respect to its input, torch.nn.grad.conv2d_input: the transpose
//! of [`super::convolution`], so every product of the forward sum hands output_gradient · weight
//! back to the input it came from.

use super::convolution::Convolution;

/// ∂L/∂input, [images, in_channels, height, width].
pub fn convolution_input_gradient(
    shape: &Convolution,
    output_gradient: &[f64],
    weight: &[f64],
) -> Vec<f64> {
    let mut gradient = vec![0.0; shape.images * shape.input.elements() as usize];
    shape.for_each_term(|term| {
        gradient[term.input] += output_gradient[term.output] * weight[term.weight]
    });
    gradient
}
