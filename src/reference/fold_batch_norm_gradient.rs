//! Backward pass of [`super::fold_batch_norm`], running statistics being constants: how gradients
//! flow is written down in `shaders/batch_norm_parameter_gradient.wgsl`.

use super::batch_norm_inference::Factor;

/// (∂L/∂W, the contribution to ∂L/∂γ) from `gradient` = ∂L/∂(s·W), for [out channel, …] weights, or
/// a bias.
pub fn fold_batch_norm_gradient(
    gradient: &[f64],
    values: &[f64],
    factors: &[Factor],
) -> (Vec<f64>, Vec<f64>) {
    let per_channel = values.len() / factors.len();
    let weight = gradient
        .iter()
        .enumerate()
        .map(|(index, g)| factors[index / per_channel].factor * g)
        .collect();
    let scale = |channel: usize| {
        let range = channel * per_channel..(channel + 1) * per_channel;
        let sum: f64 = gradient[range.clone()].iter().zip(&values[range]).map(|(g, w)| g * w).sum();
        sum * factors[channel].inverse_deviation
    };
    (weight, (0..factors.len()).map(scale).collect())
}
