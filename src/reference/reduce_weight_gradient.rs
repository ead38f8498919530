//! Weight gradients: Σ of the parts a batch was dealt to, times the quantizer's straight-through
//! derivative (paper eq. (2)): 1 inside the range of `affine` (ends included) and the clip of
//! `sawb`, (1 − tanh²w)/max|tanh w| for `dorefa`, 1 for `symmetric`, 1 strictly inside the levels
//! of `lsq`, 1 where |w| ≤ 1 for `binary`. Ranges are constants.

use super::{prepare_weights::level_range, weight_scale::WeightScale};

/// ∂ŵ/∂w by the straight-through estimator; `levels` = 2^b − 1.
pub fn derivative(scale: WeightScale, levels: f64, w: f64) -> f64 {
    let inside = |is_inside: bool| if is_inside { 1.0 } else { 0.0 };
    match scale {
        WeightScale::Float | WeightScale::Symmetric { .. } => 1.0,
        WeightScale::Lsq { step } => {
            let (low, high) = level_range(scale, levels);
            inside(w / step > low && w / step < high)
        }
        WeightScale::Binary { .. } => inside(w.abs() <= 1.0),
        WeightScale::Affine { low, high, .. } => inside((low..=high).contains(&w)),
        WeightScale::Dorefa { largest: 0.0 } => 0.0,
        WeightScale::Dorefa { largest } => (1.0 - w.tanh().powi(2)) / largest,
        WeightScale::Sawb { clip } => inside(w.abs() <= clip),
    }
}

/// ∂L/∂w from `parts` of ∂L/∂ŵ; `scales` holds one quantizer per output channel of [out, …]
/// weights, and `before` is what a batch's earlier parts left.
pub fn reduce_weight_gradient(
    parts: &[Vec<f64>],
    weight: &[f64],
    scales: &[WeightScale],
    levels: f64,
    before: Option<&[f64]>,
) -> Vec<f64> {
    let per_channel = weight.len() / scales.len();
    (0..weight.len())
        .map(|index| {
            let sum: f64 = parts.iter().map(|part| part[index]).sum();
            sum * derivative(scales[index / per_channel], levels, weight[index])
                + before.map_or(0.0, |before| before[index])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::prepare_weights::clip;

    #[test]
    fn derivatives_are_those_of_the_unrounded_quantizer() {
        let scales = [
            WeightScale::Float,
            WeightScale::Affine { step: 0.1, zero: 5.0, low: -0.5, high: 1.0 },
            WeightScale::Dorefa { largest: 0.7 },
            WeightScale::Sawb { clip: 0.6 },
            WeightScale::Symmetric { step: 0.2 },
            WeightScale::Lsq { step: 0.08 },
            WeightScale::Binary { mean: 0.5 },
        ];
        for scale in scales {
            for w in [-0.9, -0.3, 0.2, 0.55, 0.8, 1.4] {
                let step = 1e-5;
                let expected =
                    (clip(scale, 15.0, w + step) - clip(scale, 15.0, w - step)) / (2.0 * step);
                assert!(
                    (derivative(scale, 15.0, w) - expected).abs() < 1e-8,
                    "{scale:?} {w}: {expected}"
                );
            }
        }
    }
}
