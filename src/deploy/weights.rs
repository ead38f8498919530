//! Weights as integer levels.
//!
//! Everything is computed in f32 in the order of the kernels `weight_range`, `weight_scale`,
//! `learned_step` and `prepare_weights`, so that a weight gets the level that training and
//! evaluation give it. Where an adapter may differ from IEEE f32 (WGSL allows division and square
//! root 2.5 ulp, `exp` more), a weight within a few ulp of the middle between two levels may get
//! the other one; tests hold this to be so for no weight on the adapter they run on.
//!
//! A dequantized weight is (level − zero point) · scale. That is the kernels' value bit for bit for
//! `symmetric`, `lsq`, `affine` and `binary`. `sawb` (q · 2c/(2^b − 1) − c) and `dorefa` (2q/(2^b −
//! 1) − 1) round twice in the kernels: there it differs by up to 2 ulp of the largest weight.

use crate::{
    Error, Result,
    config::{QuantizationConfig, WeightQuantizer, decimal},
    quant::{SAWB_LEAST, sawb_coefficients},
};

/// Added up apart, as in `weight_range`.
const BLOCK: usize = 64;

/// The levels that a quantizer of some width has: `lowest`, `lowest + spacing`, …; the codes 0, 1,
/// … number them.
///
/// | quantizer | levels at b bits | spacing |
/// | --- | --- | --- |
/// | `affine` | 0 … 2^b − 1 | 1 |
/// | `symmetric` | −(2^(b−1) − 1) … 2^(b−1) − 1 | 1 |
/// | `lsq` | −2^(b−1) … 2^(b−1) − 1 | 1 |
/// | `sawb`, `dorefa` | −(2^b − 1) … 2^b − 1, odd: there is no 0 | 2 |
/// | `binary` | −1, 1 | 2 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelGrid {
    /// 1 to 8.
    pub bits: u32,
    /// Level of code 0.
    pub lowest: i32,
    /// Level of the highest code.
    pub highest: i32,
    /// Difference of neighbouring levels: 1, or 2 where there is no level 0.
    pub spacing: i32,
}

impl LevelGrid {
    /// The levels of `quantizer` at `bits` bits.
    pub fn new(quantizer: WeightQuantizer, bits: u32) -> Self {
        let all = (1i32 << bits) - 1;
        let half = 1i32 << (bits - 1);
        let (lowest, highest, spacing) = match quantizer {
            WeightQuantizer::Affine => (0, all, 1),
            WeightQuantizer::Symmetric => (1 - half, half - 1, 1),
            WeightQuantizer::Lsq => (-half, half - 1, 1),
            WeightQuantizer::Sawb | WeightQuantizer::Dorefa | WeightQuantizer::Binary => {
                (-all, all, 2)
            }
        };
        LevelGrid { bits, lowest, highest, spacing }
    }

    /// The b-bit code of `level`, which is one of the grid's.
    pub fn code(self, level: i32) -> u8 {
        ((level - self.lowest) / self.spacing) as u8
    }

    /// The level of `code`.
    pub fn level(self, code: u8) -> i32 {
        self.lowest + i32::from(code) * self.spacing
    }
}

/// A layer's quantized weights.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightLevels {
    /// What made them; `binary` for DoReFa at 1 bit.
    pub quantizer: WeightQuantizer,
    /// Which levels there are.
    pub grid: LevelGrid,
    /// A level a weight, [out, in, kernel, kernel] or [out, in].
    pub levels: Vec<i16>,
    /// One scale, or one an output channel.
    pub scales: Vec<f32>,
    /// As many zero points, in levels; 0 but for `affine`.
    pub zero_points: Vec<i32>,
}

impl WeightLevels {
    /// The levels of `weights`, [out channel, …], of `channels` output channels at `bits` bits
    /// (below 32). `steps` are the learned ones of `lsq`, else empty.
    ///
    /// # Errors
    /// [`Error::Model`] where a scale is not finite.
    pub fn new(
        quantization: &QuantizationConfig,
        bits: u32,
        weights: &[f32],
        channels: usize,
        steps: &[f32],
    ) -> Result<Self> {
        let quantizer = quantization.weight_quantizer(bits);
        let grid = LevelGrid::new(quantizer, bits);
        let per_channel = weights.len() / channels;
        let statistics: Vec<Statistics> =
            weights.chunks_exact(per_channel).map(Statistics::of).collect();
        let constants: Vec<Constants> = match quantizer {
            WeightQuantizer::Lsq => {
                steps.iter().map(|&step| Constants { scale: step, pivot: step, zero: 0 }).collect()
            }
            _ if quantization.per_channel => statistics
                .iter()
                .map(|range| Constants::new(quantizer, grid, range))
                .collect::<Result<_>>()?,
            _ => vec![Constants::new(quantizer, grid, &Statistics::of_all(&statistics))?],
        };
        if let Some(bad) = constants
            .iter()
            .find(|constants| !constants.scale.is_finite() || !constants.pivot.is_finite())
        {
            return Err(Error::Model(format!(
                "weights with a quantization step of {} cannot be deployed",
                bad.scale
            )));
        }
        let of = |(index, &w): (usize, &f32)| {
            constants[index / per_channel % constants.len()].level(quantizer, grid, w) as i16
        };
        Ok(WeightLevels {
            quantizer,
            grid,
            levels: weights.iter().enumerate().map(of).collect(),
            scales: constants.iter().map(|constants| constants.scale).collect(),
            zero_points: constants.iter().map(|constants| constants.zero).collect(),
        })
    }

    /// The levels of `values` that are on them already: (level − zero point) · scale, bit for bit.
    /// `scales` and `zero_points` (none: all 0) are one or one an output channel.
    ///
    /// # Errors
    /// [`Error::Model`] where a value is no level.
    pub fn of_values(
        quantization: &QuantizationConfig,
        bits: u32,
        values: &[f32],
        channels: usize,
        [scales, zero_points]: [&[f32]; 2],
    ) -> Result<Self> {
        let quantizer = quantization.weight_quantizer(bits);
        let grid = LevelGrid::new(quantizer, bits);
        let zero_points: Vec<i32> = match zero_points.len() {
            0 => vec![0; scales.len()],
            count if count == scales.len() => zero_points.iter().map(|&zero| zero as i32).collect(),
            count => {
                return Err(Error::Model(format!(
                    "{count} zero points for {} scales of weights",
                    scales.len()
                )));
            }
        };
        let per_channel = values.len() / channels;
        let level = |(index, &value): (usize, &f32)| {
            let at = index / per_channel % scales.len();
            let (scale, zero) = (scales[at], zero_points[at]);
            let level = match () {
                // All are 0: its sign tells the ends of grids without a level 0 apart.
                () if scale == 0.0 && grid.spacing == 2 => {
                    if value.is_sign_negative() {
                        grid.lowest
                    } else {
                        grid.highest
                    }
                }
                () if scale == 0.0 => zero,
                () => (value / scale).round_ties_even() as i32 + zero,
            };
            let is_level = (grid.lowest..=grid.highest).contains(&level)
                && (level - grid.lowest) % grid.spacing == 0;
            let exact = ((level - zero) as f32 * scale).to_bits() == value.to_bits()
                || value == 0.0 && level == zero;
            match is_level && exact {
                true => Ok(level as i16),
                false => Err(Error::Model(format!(
                    "a weight of {value} is none of the levels of {bits} bits with scale {scale}"
                ))),
            }
        };
        let levels = values.iter().enumerate().map(level).collect::<Result<_>>()?;
        Ok(WeightLevels { quantizer, grid, levels, scales: scales.to_vec(), zero_points })
    }

    /// Scale of an output channel.
    pub fn scale(&self, channel: usize) -> f32 {
        self.scales[channel % self.scales.len()]
    }

    /// Zero point of an output channel.
    pub fn zero_point(&self, channel: usize) -> i32 {
        self.zero_points[channel % self.zero_points.len()]
    }

    /// A code a weight, below 2^bits.
    pub fn codes(&self) -> Vec<u8> {
        self.levels.iter().map(|&level| self.grid.code(i32::from(level))).collect()
    }

    /// (level − zero point) · scale a weight, of `channels` output channels; a single product in
    /// f32.
    pub fn dequantize(&self, channels: usize) -> Vec<f32> {
        let per_channel = self.levels.len() / channels;
        let of = |(index, &level): (usize, &i16)| {
            let channel = index / per_channel;
            (i32::from(level) - self.zero_point(channel)) as f32 * self.scale(channel)
        };
        self.levels.iter().enumerate().map(of).collect()
    }
}

/// What `weight_range` finds of a channel, or `weight_scale` of all channels.
struct Statistics {
    low: f32,
    high: f32,
    largest: f32,
    /// Mean and variance of |w| / largest; 0 where that cannot be divided by.
    mean: f32,
    variance: f32,
}

impl Statistics {
    fn of(weights: &[f32]) -> Self {
        let low = weights.iter().copied().fold(weights[0], f32::min);
        let high = weights.iter().copied().fold(weights[0], f32::max);
        let largest = low.abs().max(high.abs());
        let average = |term: &dyn Fn(f32) -> f32| {
            let block =
                |block: &[f32]| block.iter().fold(0.0f32, |sum, w| sum + term(w.abs() / largest));
            weights.chunks(BLOCK).map(block).fold(0.0f32, |sum, block| sum + block)
                / weights.len() as f32
        };
        let (mut mean, mut variance) = (0.0, 0.0);
        if largest >= f32::MIN_POSITIVE {
            mean = average(&|share| share);
            variance = average(&|share| (share - mean) * (share - mean));
        }
        Statistics { low, high, largest, mean, variance }
    }

    fn of_all(channels: &[Statistics]) -> Self {
        let low = channels.iter().fold(channels[0].low, |low, channel| low.min(channel.low));
        let high = channels.iter().fold(channels[0].high, |high, channel| high.max(channel.high));
        let largest = low.abs().max(high.abs());
        let count = channels.len() as f32;
        let (mut mean, mut variance) = (0.0f32, 0.0f32);
        if largest > 0.0 {
            mean = channels
                .iter()
                .fold(0.0f32, |sum, channel| sum + channel.mean * (channel.largest / largest))
                / count;
            let term = |channel: &Statistics| {
                let scale = channel.largest / largest;
                let deviation = channel.mean * scale - mean;
                channel.variance * scale * scale + deviation * deviation
            };
            variance = channels.iter().fold(0.0f32, |sum, channel| sum + term(channel)) / count;
        }
        Statistics { low, high, largest, mean, variance }
    }
}

/// A quantizer's constants for a channel.
struct Constants {
    /// Between levels whose difference is 1.
    scale: f32,
    /// What weights are compared with: the step, `dorefa`'s max|tanh w|, or `sawb`'s clip.
    pivot: f32,
    zero: i32,
}

impl Constants {
    fn new(quantizer: WeightQuantizer, grid: LevelGrid, range: &Statistics) -> Result<Self> {
        let all = ((1u32 << grid.bits) - 1) as f32;
        let usable = |step: f32| if step >= f32::MIN_POSITIVE { step } else { 1.0 };
        Ok(match quantizer {
            WeightQuantizer::Affine => {
                let (low, high) = (range.low.min(0.0), range.high.max(0.0));
                let step = usable((high - low) / all);
                Constants { scale: step, pivot: step, zero: (-low / step).round_ties_even() as i32 }
            }
            WeightQuantizer::Symmetric | WeightQuantizer::Lsq => {
                let step = usable(range.largest / grid.highest as f32);
                Constants { scale: step, pivot: step, zero: 0 }
            }
            WeightQuantizer::Dorefa => {
                Constants { scale: 1.0 / all, pivot: precise_tanh(range.largest), zero: 0 }
            }
            WeightQuantizer::Binary => {
                let mean = range.largest * range.mean;
                Constants { scale: mean, pivot: mean, zero: 0 }
            }
            WeightQuantizer::Sawb => {
                let (first, second) = sawb_coefficients(grid.bits).ok_or_else(|| {
                    Error::Model(format!("sawb has no coefficients for {} bits", grid.bits))
                })?;
                let sum = (decimal(first) + decimal(second)) as f32;
                let root = (range.variance + range.mean * range.mean).sqrt();
                let share = first * range.variance / (root + range.mean).max(f32::MIN_POSITIVE)
                    + sum * range.mean;
                let least = (SAWB_LEAST * root).max(f32::MIN_POSITIVE);
                let above = 1.0 - (1.0 - least) * (share.max(0.0) / least);
                let clip = range.largest * if share >= least { share } else { above };
                Constants { scale: 2.0 * clip / all / 2.0, pivot: clip, zero: 0 }
            }
        })
    }

    fn level(&self, quantizer: WeightQuantizer, grid: LevelGrid, w: f32) -> i32 {
        let all = ((1u32 << grid.bits) - 1) as f32;
        let code = |position: f32| grid.level(position.round_ties_even().clamp(0.0, all) as u8);
        match quantizer {
            WeightQuantizer::Affine => ((w / self.pivot).round_ties_even() + self.zero as f32)
                .clamp(grid.lowest as f32, grid.highest as f32)
                as i32,
            WeightQuantizer::Symmetric | WeightQuantizer::Lsq => {
                (w / self.pivot).round_ties_even().clamp(grid.lowest as f32, grid.highest as f32)
                    as i32
            }
            WeightQuantizer::Dorefa => {
                let scaled =
                    if self.pivot == 0.0 { 0.0 } else { precise_tanh(w) / (2.0 * self.pivot) };
                code((scaled + 0.5).clamp(0.0, 1.0) * all)
            }
            WeightQuantizer::Sawb if self.scale == 0.0 => grid.level(0),
            WeightQuantizer::Sawb => {
                code((w.clamp(-self.pivot, self.pivot) + self.pivot) / (2.0 * self.scale))
            }
            WeightQuantizer::Binary if w >= 0.0 => 1,
            WeightQuantizer::Binary => -1,
        }
    }
}

/// tanh as shaders/common/quantizer.wgsl computes it.
fn precise_tanh(w: f32) -> f32 {
    let z = (w * w).min(1.0);
    if w.abs().min(10.0) < 0.625 {
        let polynomial =
            (((-5.704_988_5e-3 * z + 2.063_909e-2) * z - 5.373_971_5e-2) * z + 1.333_144_2e-1) * z
                - 3.333_328e-1;
        return polynomial * z * w + w;
    }
    w.signum() * (1.0 - 2.0 / ((2.0 * w.abs().min(10.0)).exp() + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{
        prepare_weights::{level, quantize},
        weight_range::weight_range,
        weight_scale::{WeightScale, weight_scale},
    };

    const ALL: [(WeightQuantizer, &[u32]); 6] = [
        (WeightQuantizer::Affine, &[2, 3, 4, 5, 6, 7, 8]),
        (WeightQuantizer::Dorefa, &[1, 2, 3, 4, 5, 6, 7, 8]),
        (WeightQuantizer::Sawb, &[2, 3, 4, 5, 8]),
        (WeightQuantizer::Symmetric, &[2, 3, 4, 5, 6, 7, 8]),
        (WeightQuantizer::Lsq, &[2, 3, 4, 5, 6, 7, 8]),
        (WeightQuantizer::Binary, &[1]),
    ];

    fn weights(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24)
        };
        (0..count).map(|_| ((next() + next() + next() - 1.4) * 0.3) as f32).collect()
    }

    /// The reference's level of a weight as a [`LevelGrid`] counts them.
    fn counted(scale: WeightScale, all: f64, w: f64) -> f64 {
        let reference = level(scale, all, w);
        match scale {
            WeightScale::Sawb { .. } | WeightScale::Dorefa { .. } | WeightScale::Binary { .. } => {
                2.0 * reference - all
            }
            _ => reference,
        }
    }

    #[test]
    fn levels_and_values_are_the_references() {
        let weights = weights(7 * 90, 1);
        for (quantizer, widths) in ALL {
            for &bits in widths {
                for per_channel in [false, true] {
                    let quantization = QuantizationConfig {
                        weight_quant: quantizer,
                        per_channel,
                        ..Default::default()
                    };
                    let steps = vec![0.11f32 / bits as f32; if per_channel { 7 } else { 1 }];
                    let made = WeightLevels::new(&quantization, bits, &weights, 7, &steps).unwrap();
                    assert_eq!(made.scales.len(), if per_channel { 7 } else { 1 });
                    assert_eq!(made.zero_points.len(), made.scales.len());
                    let values = made.dequantize(7);
                    let all = 2f64.powi(bits as i32) - 1.0;
                    let wide: Vec<f64> = weights.iter().map(|&w| f64::from(w)).collect();
                    for (index, &w) in wide.iter().enumerate() {
                        let channel = index / 90;
                        let own = if per_channel { &wide[channel * 90..][..90] } else { &wide[..] };
                        let scale = match quantizer {
                            WeightQuantizer::Lsq => WeightScale::Lsq { step: f64::from(steps[0]) },
                            quantizer => weight_scale(quantizer, bits, &weight_range(own)),
                        };
                        let what =
                            format!("{quantizer:?} {bits} {per_channel} weight {index}: {w}");
                        assert_eq!(f64::from(made.levels[index]), counted(scale, all, w), "{what}");
                        let difference = f64::from(values[index]) - quantize(scale, all, w);
                        assert!(difference.abs() < 1e-6, "{what}: {} {difference}", values[index]);
                    }
                }
            }
        }
    }

    #[test]
    fn codes_number_the_levels() {
        for (quantizer, widths) in ALL {
            for &bits in widths {
                let quantizer = if bits == 1 { WeightQuantizer::Binary } else { quantizer };
                let grid = LevelGrid::new(quantizer, bits);
                let last = grid.code(grid.highest);
                assert_eq!(grid.code(grid.lowest), 0);
                let spare = u8::from(quantizer == WeightQuantizer::Symmetric);
                assert_eq!(u32::from(last + spare), (1 << bits) - 1, "{quantizer:?} {bits}");
                assert!((0..=last).all(|code| grid.code(grid.level(code)) == code));
            }
        }
    }

    #[test]
    fn degenerate_weights_have_levels() {
        for (quantizer, widths) in ALL {
            for &bits in widths {
                let quantization =
                    QuantizationConfig { weight_quant: quantizer, ..Default::default() };
                for value in [0.0, -0.0, 0.5, 1e-40, -3e38] {
                    let made = WeightLevels::new(&quantization, bits, &[value; 8], 2, &[0.25]);
                    let Ok(made) = made else {
                        assert!(value < -1e38, "{quantizer:?} {bits} {value}");
                        continue;
                    };
                    let inside = |&level: &i16| {
                        (made.grid.lowest..=made.grid.highest).contains(&i32::from(level))
                    };
                    assert!(made.levels.iter().all(inside), "{made:?}");
                    assert!(made.dequantize(2).iter().all(|value| value.is_finite()), "{made:?}");
                }
            }
        }
    }
}
