//! Weights scaled by the running statistics of the batch norm behind them, before they are
//! quantized: s·W, eqs. (4), (5).

use super::batch_norm_inference::Factor;

/// s·`values` of [out channel, …] weights, or of a bias.
pub fn fold_batch_norm(values: &[f64], factors: &[Factor]) -> Vec<f64> {
    let per_channel = values.len() / factors.len();
    values
        .iter()
        .enumerate()
        .map(|(index, value)| factors[index / per_channel].factor * value)
        .collect()
}
