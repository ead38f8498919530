//! Fake quantization of weights, and the two arrangements that the kernels read. `levels` = 2^b −
//! 1, rounding half to even:
//! - affine: q = clamp(round(w/Δ) + z, 0, levels), ŵ = (q − z)·Δ
//! - dorefa: q = round(levels·(tanh w/(2·max|tanh w|) + ½)), ŵ = 2q/levels − 1
//! - symmetric: q = clamp(round(w/Δ), −L, L) with L = (levels − 1)/2, ŵ = q·Δ
//! - lsq: q = clamp(round(w/s), −Q_n, Q_p) with Q_n = (levels + 1)/2 and Q_p = Q_n − 1, ŵ = q·s
//! - binary: q = 1 where w ≥ 0, else 0; ŵ = (2q − 1)·E|w|
//! - sawb: q = round((clip(w, −c, c) + c)·levels/2c), ŵ = q·2c/levels − c

use super::weight_scale::WeightScale;

/// Where the quantizer puts `w` between its levels, before rounding and, for `affine`, before z is
/// added: an integer is a level.
pub fn position(scale: WeightScale, levels: f64, w: f64) -> f64 {
    match scale {
        WeightScale::Float => w,
        WeightScale::Affine { step, .. } => w / step,
        WeightScale::Dorefa { largest: 0.0 } => levels / 2.0,
        WeightScale::Dorefa { largest } => levels * (w.tanh() / (2.0 * largest) + 0.5),
        WeightScale::Sawb { clip: 0.0 } => 0.0,
        WeightScale::Sawb { clip } => (w.clamp(-clip, clip) + clip) * levels / (2.0 * clip),
        WeightScale::Symmetric { step } | WeightScale::Lsq { step } => w / step,
        WeightScale::Binary { .. } if w >= 0.0 => 1.0,
        WeightScale::Binary { .. } => 0.0,
    }
}

/// Lowest and highest level.
pub fn level_range(scale: WeightScale, levels: f64) -> (f64, f64) {
    match scale {
        WeightScale::Symmetric { .. } => ((1.0 - levels) / 2.0, (levels - 1.0) / 2.0),
        WeightScale::Lsq { .. } => ((-1.0 - levels) / 2.0, (levels - 1.0) / 2.0),
        _ => (0.0, levels),
    }
}

fn value_at(scale: WeightScale, levels: f64, level: f64) -> f64 {
    match scale {
        WeightScale::Float => level,
        WeightScale::Affine { step, zero, .. } => (level - zero) * step,
        WeightScale::Dorefa { .. } => 2.0 * level / levels - 1.0,
        WeightScale::Sawb { clip } => level * 2.0 * clip / levels - clip,
        WeightScale::Symmetric { step } | WeightScale::Lsq { step } => level * step,
        WeightScale::Binary { mean } => (2.0 * level - 1.0) * mean,
    }
}

/// The integer level of `w`, in [`level_range`].
pub fn level(scale: WeightScale, levels: f64, w: f64) -> f64 {
    let rounded = position(scale, levels, w).round_ties_even();
    let (low, high) = level_range(scale, levels);
    match scale {
        WeightScale::Affine { zero, .. } => (rounded + zero).clamp(low, high),
        _ => rounded.clamp(low, high),
    }
}

/// The de-quantized weight.
pub fn quantize(scale: WeightScale, levels: f64, w: f64) -> f64 {
    match scale {
        WeightScale::Float => w,
        _ => value_at(scale, levels, level(scale, levels, w)),
    }
}

/// The quantizer without its rounding: what the straight-through estimator takes the derivative of.
pub fn clip(scale: WeightScale, levels: f64, w: f64) -> f64 {
    match scale {
        WeightScale::Affine { low, high, .. } => w.clamp(low, high),
        WeightScale::Float
        | WeightScale::Dorefa { largest: 0.0 }
        | WeightScale::Symmetric { .. } => w,
        WeightScale::Lsq { step } => {
            let (low, high) = level_range(scale, levels);
            w.clamp(low * step, high * step)
        }
        WeightScale::Binary { .. } => w.clamp(-1.0, 1.0),
        _ => value_at(scale, levels, position(scale, levels, w)),
    }
}

/// [out, in, tap] as the kernels' forward arrangement [tap, in (padded), out (padded)] and the
/// backward one: [tap, out (padded), in (padded)] for a convolution, [out (padded), tap, in
/// (padded)] for a fully connected layer. Padding is 0.
pub fn arrange(
    weight: &[f64],
    [out_channels, in_channels, taps]: [usize; 3],
    convolution: bool,
) -> [Vec<f64>; 2] {
    let (out_padded, in_padded) =
        (out_channels.next_multiple_of(4), in_channels.next_multiple_of(4));
    let mut forward = vec![0.0; taps * out_padded * in_padded];
    let mut backward = forward.clone();
    for o in 0..out_channels {
        for i in 0..in_channels {
            for tap in 0..taps {
                let w = weight[(o * in_channels + i) * taps + tap];
                forward[(tap * in_padded + i) * out_padded + o] = w;
                let row = if convolution { tap * out_padded + o } else { o * taps + tap };
                backward[row * in_padded + i] = w;
            }
        }
    }
    [forward, backward]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::WeightQuantizer,
        reference::{weight_range::weight_range, weight_scale::weight_scale},
    };

    #[test]
    fn hand_computed_levels() {
        let scale = weight_scale(WeightQuantizer::Affine, 2, &weight_range(&[-1.0, 0.4, 2.0]));
        assert_eq!(scale, WeightScale::Affine { step: 1.0, zero: 1.0, low: -1.0, high: 2.0 });
        assert_eq!([-1.0, 0.4, 1.6, 2.0].map(|w| quantize(scale, 3.0, w)), [-1.0, 0.0, 2.0, 2.0]);
        let scale = WeightScale::Sawb { clip: 3.0 };
        assert_eq!([-9.0, -0.1, 0.1, 2.1].map(|w| quantize(scale, 3.0, w)), [-3.0, -1.0, 1.0, 3.0]);
        let scale = weight_scale(WeightQuantizer::Dorefa, 2, &weight_range(&[-1.0, 0.5]));
        assert_eq!([-1.0, -0.1, 1.0].map(|w| level(scale, 3.0, w)), [0.0, 1.0, 3.0]);
        let scale = weight_scale(WeightQuantizer::Symmetric, 3, &weight_range(&[-1.5, 0.5]));
        assert_eq!(
            [-1.5, -0.6, -0.2, 0.25, 0.5].map(|w| quantize(scale, 7.0, w)),
            [-1.5, -0.5, 0.0, 0.0, 0.5]
        );
        let scale = WeightScale::Lsq { step: 0.5 };
        assert_eq!(
            [-9.0, -0.6, 0.25, 0.3, 9.0].map(|w| quantize(scale, 3.0, w)),
            [-1.0, -0.5, 0.0, 0.5, 0.5]
        );
        let scale = weight_scale(WeightQuantizer::Binary, 1, &weight_range(&[-1.0, 0.0, 2.0]));
        assert_eq!([-0.1, -0.0, 0.0, 2.0].map(|w| quantize(scale, 1.0, w)), [-1.0, 1.0, 1.0, 1.0]);
    }
}
