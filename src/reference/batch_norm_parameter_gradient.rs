//! ∂L/∂γ and ∂L/∂β of a batch norm from the sums of its batches, and the means that the input's
//! gradient needs. Where the weights in front are scaled by s = γ/σ, only the part that does not go
//! through them: taking x = z/s back out of z contributes −Σ(∂L/∂x·x)/γ.

use super::{
    batch_norm::Coefficients,
    batch_norm_inference::{Factor, Norm},
};

/// What became of one batch's sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGradient {
    /// ∂L/∂γ, a channel each.
    pub scale: Vec<f64>,
    /// ∂L/∂β.
    pub shift: Vec<f64>,
    /// [Σg/N, Σg·x̂/N]; zeros where the statistics are constants.
    pub means: Vec<[f64; 2]>,
}

/// From one batch's `sums` over `rows` values a channel. Gradients of several batches add up.
pub fn batch_norm_parameter_gradient(
    sums: &[[f64; 2]],
    rows: usize,
    (factors, coefficients): (&[Factor], &[Coefficients]),
    norm: &Norm,
    [fold, frozen]: [bool; 2],
) -> ParameterGradient {
    let scale = |channel: usize| {
        let [sum, product] = sums[channel];
        let deviation = coefficients[channel].normalize * factors[channel].factor; // 1/σ_B
        match (fold, frozen) {
            (false, _) => product,
            (true, false) => product * (1.0 - norm.epsilon * deviation * deviation),
            (true, true) => -sum * norm.mean[channel] * factors[channel].inverse_deviation,
        }
    };
    ParameterGradient {
        scale: (0..sums.len()).map(scale).collect(),
        shift: sums.iter().map(|[sum, _]| *sum).collect(),
        means: sums
            .iter()
            .map(|sums| if frozen { [0.0; 2] } else { sums.map(|sum| sum / rows as f64) })
            .collect(),
    }
}
