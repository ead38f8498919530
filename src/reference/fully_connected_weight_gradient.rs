//! Gradient of a fully connected layer with respect to its weight and bias: `weight_gradient[o, i]
//! = Σ_n output_gradient[n, o] · input[n, i]`, `bias_gradient[o] = Σ_n output_gradient[n, o]`.

/// (∂L/∂weight [out, in], ∂L/∂bias `[out]`).
pub fn fully_connected_weight_gradient(
    images: usize,
    input: &[f64],
    output_gradient: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (features, outputs) = (input.len() / images, output_gradient.len() / images);
    let mut weight = vec![0.0; outputs * features];
    let mut bias = vec![0.0; outputs];
    for n in 0..images {
        for o in 0..outputs {
            bias[o] += output_gradient[n * outputs + o];
            for i in 0..features {
                weight[o * features + i] +=
                    output_gradient[n * outputs + o] * input[n * features + i];
            }
        }
    }
    (weight, bias)
}
