//! Gradient of a convolution with respect to its weight and bias, torch.nn.grad.conv2d_weight:
//! every product of the forward sum hands input · output_gradient back to the weight it came from;
//! the bias gets the sum over images and pixels.

use super::convolution::Convolution;

/// (∂L/∂weight [out, in, kh, kw], ∂L/∂bias `[out]`).
pub fn convolution_weight_gradient(
    shape: &Convolution,
    input: &[f64],
    output_gradient: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut weight = vec![0.0; shape.weights()];
    shape.for_each_term(|term| {
        weight[term.weight] += input[term.input] * output_gradient[term.output]
    });
    let (channels, pixels) = (shape.out_channels as usize, shape.output().pixels() as usize);
    let mut bias = vec![0.0; channels];
    for (index, value) in output_gradient.iter().enumerate() {
        bias[index / pixels % channels] += value;
    }
    (weight, bias)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Shape,
        reference::{
            convolution::convolution, convolution_input_gradient::convolution_input_gradient,
        },
    };

    /// Convolution is linear in each of input, weight and bias, so central differences have no
    /// truncation error.
    #[test]
    fn gradients_are_central_differences() {
        let shape = Convolution {
            images: 2,
            input: Shape::new(3, 5, 4),
            out_channels: 2,
            window: [3, 2, 1].into(),
        };
        let wave = |count: usize, phase: f64| {
            (0..count).map(|i| (i as f64 * 1.7 + phase).sin()).collect::<Vec<_>>()
        };
        let (input, weight, bias) = (wave(120, 0.1), wave(shape.weights(), 0.7), wave(2, 2.0));
        let output_gradient = wave(2 * shape.output().elements() as usize, 1.3);
        let loss = |input: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
            convolution(&shape, input, weight, bias)
                .iter()
                .zip(&output_gradient)
                .map(|(y, g)| y * g)
                .sum()
        };
        let difference = |values: &[f64], index: usize, loss: &dyn Fn(&[f64]) -> f64| {
            let mut moved = values.to_vec();
            moved[index] += 0.5;
            let above = loss(&moved);
            moved[index] -= 1.0;
            above - loss(&moved)
        };
        let check = |what: &str, values: &[f64], gradient: &[f64], loss: &dyn Fn(&[f64]) -> f64| {
            for (index, actual) in gradient.iter().enumerate() {
                let expected = difference(values, index, loss);
                assert!((actual - expected).abs() < 1e-10, "{what} {index}");
            }
        };
        let input_gradient = convolution_input_gradient(&shape, &output_gradient, &weight);
        check("input", &input, &input_gradient, &|values| loss(values, &weight, &bias));
        let (weight_gradient, bias_gradient) =
            convolution_weight_gradient(&shape, &input, &output_gradient);
        check("weight", &weight, &weight_gradient, &|values| loss(&input, values, &bias));
        check("bias", &bias, &bias_gradient, &|values| loss(&input, &weight, values));
    }
}
