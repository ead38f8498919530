//! The fully connected layer, torch.nn.Linear: `output[n, o] = bias[o] + Σ_i input[n, i] ·
//! weight[o, i]`, and its input gradient, which the same kernel computes with the other weight
//! layout: input_gradient[n, i] = Σ_o output_gradient[n, o] · weight[o, i].

/// The output, [images, out]; `input` is [images, in], `weight` [out, in], `bias` `[out]`.
pub fn matrix_product(images: usize, input: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let features = input.len() / images;
    let mut output = Vec::with_capacity(images * bias.len());
    for vector in input.chunks_exact(features) {
        for (row, b) in weight.chunks_exact(features).zip(bias) {
            output.push(b + row.iter().zip(vector).map(|(w, x)| w * x).sum::<f64>());
        }
    }
    output
}

/// ∂L/∂input, [images, in].
pub fn matrix_product_input_gradient(
    images: usize,
    output_gradient: &[f64],
    weight: &[f64],
) -> Vec<f64> {
    let outputs = output_gradient.len() / images;
    let features = weight.len() / outputs;
    let mut gradient = vec![0.0; images * features];
    for n in 0..images {
        for o in 0..outputs {
            for i in 0..features {
                gradient[n * features + i] +=
                    output_gradient[n * outputs + o] * weight[o * features + i];
            }
        }
    }
    gradient
}
