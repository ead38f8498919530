//! Gradient of [`super::grouped_convolution`] with respect to its input: that of every group.

use super::{
    convolution::Convolution, convolution_input_gradient::convolution_input_gradient,
    grouped_convolution::Group,
};

/// ∂L/∂input, [images, in_channels, height, width].
pub fn grouped_convolution_input_gradient(
    shape: &Convolution,
    groups: usize,
    output_gradient: &[f64],
    weight: &[f64],
) -> Vec<f64> {
    let mut gradient = vec![0.0; shape.images * shape.input.elements() as usize];
    for group in Group::all(shape, groups) {
        let (own, weight) = (group.gather(output_gradient), group.parameters(weight));
        group.scatter(&convolution_input_gradient(&group.shape, &own, weight), &mut gradient);
    }
    gradient
}
