//! Gradient of [`super::grouped_convolution`] with respect to its weight and bias: that of every
//! group.

use super::{
    convolution::Convolution, convolution_weight_gradient::convolution_weight_gradient,
    grouped_convolution::Group,
};

/// (∂L/∂weight [out, in / groups, kh, kw], ∂L/∂bias `[out]`).
pub fn grouped_convolution_weight_gradient(
    shape: &Convolution,
    groups: usize,
    input: &[f64],
    output_gradient: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for group in Group::all(shape, groups) {
        let (input, own) = (group.gather(input), group.gather(output_gradient));
        let (of_weight, of_bias) = convolution_weight_gradient(&group.shape, &input, &own);
        weight.extend(of_weight);
        bias.extend(of_bias);
    }
    (weight, bias)
}
