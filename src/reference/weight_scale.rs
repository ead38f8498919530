//! Constants of the weight quantizers from a range's statistics. `levels` = 2^b − 1.
//! - affine (Krishnamoorthi 2018, what eq. (1) means): the range widened to contain 0, Δ = (max −
//!   min)/levels, z = round(−min/Δ).
//! - dorefa (Zhou et al. 2016): max|tanh w|.
//! - symmetric: Δ = max|w|/(2^(b−1) − 1), no zero point.
//! - lsq (Esser et al. 2020): the step is learned, not taken from the weights; 2·E|w|/√Q_p with Q_p
//!   = 2^(b−1) − 1 where it starts.
//! - binary (Rastegari et al. 2016): E|w|.
//! - sawb (Choi et al. 2018): clip = c₁·√(E w²) + c₂·E|w|; below ½·√(E w²) it goes up again, to
//!   max|w| where the sum is ≤ 0; 2^b levels from −clip to clip.

use super::weight_range::WeightRange;
use crate::{
    config::WeightQuantizer,
    quant::{SAWB_LEAST, sawb_coefficients},
};

/// A weight quantizer with its constants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightScale {
    /// No quantization.
    Float,
    /// Asymmetric, with a zero point.
    Affine {
        /// Δ; 1 for a range of 0.
        step: f64,
        /// z.
        zero: f64,
        /// Smallest weight or 0.
        low: f64,
        /// Largest weight or 0.
        high: f64,
    },
    /// tanh-normalised.
    Dorefa {
        /// max|tanh w|.
        largest: f64,
    },
    /// Symmetric about 0 without a level at 0.
    Sawb {
        /// Clipping threshold.
        clip: f64,
    },
    /// As many levels on both sides of 0.
    Symmetric {
        /// Δ; 1 for a range of 0.
        step: f64,
    },
    /// Learned step.
    Lsq {
        /// s.
        step: f64,
    },
    /// 1 bit: sign(w)·E|w|.
    Binary {
        /// E|w|.
        mean: f64,
    },
}

/// The constants of `quantizer` with `bits` bits for weights of `range`; those of `lsq` are where
/// it starts.
pub fn weight_scale(quantizer: WeightQuantizer, bits: u32, range: &WeightRange) -> WeightScale {
    let levels = 2f64.powi(bits as i32) - 1.0;
    let largest = range.largest.abs().max(range.smallest.abs());
    let highest = (levels - 1.0) / 2.0;
    match quantizer {
        WeightQuantizer::Dorefa if bits == 1 => weight_scale(WeightQuantizer::Binary, 1, range),
        WeightQuantizer::Affine => {
            let (low, high) = (range.smallest.min(0.0), range.largest.max(0.0));
            let step = if high > low { (high - low) / levels } else { 1.0 };
            WeightScale::Affine { step, zero: (-low / step).round_ties_even(), low, high }
        }
        WeightQuantizer::Dorefa => WeightScale::Dorefa { largest: largest.tanh() },
        WeightQuantizer::Sawb => {
            let (first, second) =
                sawb_coefficients(bits).map_or((0.0, 0.0), |(a, b)| (f64::from(a), f64::from(b)));
            let root = (range.square_sum / range.count).sqrt();
            let estimate = first * root + second * range.absolute_sum / range.count;
            let least = f64::from(SAWB_LEAST) * root;
            let clip = if estimate >= least {
                estimate
            } else {
                largest - (largest - least) * estimate.max(0.0) / least
            };
            WeightScale::Sawb { clip }
        }
        WeightQuantizer::Symmetric if largest == 0.0 => WeightScale::Symmetric { step: 1.0 },
        WeightQuantizer::Symmetric => WeightScale::Symmetric { step: largest / highest },
        WeightQuantizer::Lsq => {
            WeightScale::Lsq { step: 2.0 * range.absolute_sum / range.count / highest.sqrt() }
        }
        WeightQuantizer::Binary => WeightScale::Binary { mean: range.absolute_sum / range.count },
    }
}

#[cfg(test)]
mod tests {
    use super::{super::weight_range::weight_range, *};

    /// The clip, and √E[w²].
    fn clip(weights: &[f64], bits: u32) -> [f64; 2] {
        let range = weight_range(weights);
        match weight_scale(WeightQuantizer::Sawb, bits, &range) {
            WeightScale::Sawb { clip } => [clip, (range.square_sum / range.count).sqrt()],
            other => panic!("{other:?}"),
        }
    }

    /// A uniform distribution of which more and more is moved to its ends, down to two values.
    #[test]
    fn sawbs_clip_is_continuous_and_never_small() {
        for bits in [2, 3, 4, 5, 8] {
            let mut weights: Vec<f64> =
                (0..1000).map(|i| f64::from(i) / 999.0 * 2.0 - 1.0).collect();
            let [mut before, _] = clip(&weights, bits);
            for at in 0..500 {
                (weights[500 - at - 1], weights[500 + at]) = (-1.0, 1.0);
                let [clip, root] = clip(&weights, bits);
                assert!(clip >= f64::from(SAWB_LEAST) * root, "{bits} bits: {clip} of {root}");
                assert!((clip - before).abs() < 0.05, "{bits} bits: {before}, then {clip}");
                before = clip;
            }
            let [end, _] = clip(&weights, bits);
            assert!(bits < 4 || end == 1.0, "{bits} bits: {end}");
        }
    }
}
