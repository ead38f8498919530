//! What is to be quantized how, and what calibration found for each tensor.

use serde::Serialize;

use super::clipping::{Calibration, Distribution, Grid, OffsetRange};
use crate::config::QuantizationConfig;

/// How a model is to be quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct PostTraining {
    /// Bits and quantizers. Weights quantized by `lsq` get a calibrated step; the other quantizers
    /// compute their range from the weights.
    pub quantization: QuantizationConfig,
    /// How clipping thresholds are chosen.
    pub calibration: Calibration,
}

/// The result of calibration for one tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibratedTensor {
    /// Its name, such as `conv1.weight` or `act1`.
    pub name: String,
    /// Its bits.
    pub bits: u32,
    /// Largest magnitude.
    pub largest: f64,
    /// Clipping threshold: α of an activation, or the highest level of a weight. With `lsq` and
    /// `lsq-plus` α is the step times the highest level; where the offset is not 0, of the longer
    /// side. With one per output channel, the widest.
    pub clip: f64,
    /// Signal to quantization noise ratio, 10·log₁₀(Σ v² / Σ (v̂ − v)²), in dB; `None` without
    /// noise.
    pub signal_to_noise_db: Option<f64>,
    /// Mean of (v̂ − v)².
    #[serde(skip)]
    pub mean_squared_error: f64,
}

/// A clipping threshold with the resulting noise.
pub(super) struct Clip {
    pub(super) threshold: f64,
    largest: f64,
    signal: f64,
    noise: f64,
    count: f64,
}

impl Clip {
    pub(super) fn of(distribution: &Distribution, grid: Grid, calibration: Calibration) -> Clip {
        let threshold = distribution.clip(grid, calibration);
        let noise = distribution.squared_error(grid, threshold / f64::from(grid.highest));
        Clip {
            threshold,
            largest: distribution.largest(),
            signal: distribution.square_sum(),
            noise,
            count: distribution.count(),
        }
    }
}

impl Clip {
    /// Of levels from 0 to `highest`, one of which stands for 0: its threshold is that of the side
    /// with more of them.
    pub(super) fn of_range(distribution: &Distribution, range: OffsetRange, highest: u32) -> Clip {
        let (zero, step) = (range.zero_point, f64::from(range.step));
        let above = highest.saturating_sub(zero);
        let grid = Grid { lowest: -(zero as i32), highest: above as i32 };
        Clip {
            threshold: f64::from(zero.max(above)) * step,
            largest: distribution.largest(),
            signal: distribution.square_sum(),
            noise: distribution.squared_error(grid, step),
            count: distribution.count(),
        }
    }
}

impl CalibratedTensor {
    pub(super) fn new(name: String, bits: u32, clips: &[Clip]) -> CalibratedTensor {
        let widest = |value: fn(&Clip) -> f64| clips.iter().map(value).fold(0.0, f64::max);
        let total = |value: fn(&Clip) -> f64| clips.iter().map(value).sum::<f64>();
        let (signal, noise) = (total(|clip| clip.signal), total(|clip| clip.noise));
        CalibratedTensor {
            name,
            bits,
            largest: widest(|clip| clip.largest),
            clip: widest(|clip| clip.threshold),
            signal_to_noise_db: (signal > 0.0 && noise > 0.0)
                .then(|| 10.0 * (signal / noise).log10()),
            mean_squared_error: noise / total(|clip| clip.count).max(1.0),
        }
    }
}
