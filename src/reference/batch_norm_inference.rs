//! Batch norm with running statistics as coefficients, and the factors that quantized weights are
//! scaled by: s = γ/σ (paper eqs. (4), (5)).

use super::batch_norm::{Coefficients, reciprocal};

/// Parameters and running statistics of a batch norm, a channel each.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// γ.
    pub scale: Vec<f64>,
    /// β.
    pub shift: Vec<f64>,
    /// Running mean.
    pub mean: Vec<f64>,
    /// Running (unbiased) variance.
    pub variance: Vec<f64>,
    /// Batches seen.
    pub batches: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Share of a batch in the running statistics.
    pub momentum: f64,
}

/// Of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    /// s: the layer in front computes s·x.
    pub factor: f64,
    /// 1/σ with the running variance.
    pub inverse_deviation: f64,
}

/// Factors and coefficients; s is 1 where the weights are not scaled (`fold` false).
pub fn batch_norm_inference(norm: &Norm, fold: bool) -> (Vec<Factor>, Vec<Coefficients>) {
    let of = |channel: usize| {
        let inverse_deviation = 1.0 / (norm.variance[channel] + norm.epsilon).sqrt();
        let plain = norm.scale[channel] * inverse_deviation;
        let factor = if fold { plain } else { 1.0 };
        let coefficients = Coefficients {
            center: factor * norm.mean[channel],
            normalize: reciprocal(factor) * inverse_deviation,
            scale: if fold { 1.0 } else { plain },
            shift: norm.shift[channel],
        };
        (Factor { factor, inverse_deviation }, coefficients)
    };
    (0..norm.scale.len()).map(of).unzip()
}
