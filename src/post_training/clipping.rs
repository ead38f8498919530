//! Chooses the clipping threshold for a uniform quantizer: the largest magnitude, a percentile, or
//! the threshold of least squared error.

use serde::Serialize;

use crate::{
    config::{ActivationQuantizer, PactKind},
    quant::{ActivationPlan, Histogram, STEP_FLOOR},
};

/// How a clipping threshold is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibration {
    /// The largest magnitude, so that nothing is clipped.
    MinMax,
    /// The magnitude that p percent of the values do not exceed, 0 < p ≤ 100.
    Percentile(f64),
    /// The threshold of least mean squared error, found by search.
    Mse,
}

/// The integers of a uniform quantizer; level q stands for q · step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Lowest integer, ≤ 0.
    pub lowest: i32,
    /// Highest integer, ≥ 1: the clipping threshold is highest · step.
    pub highest: i32,
}

impl Grid {
    /// Signed weights of `bits` ≥ 2: −2^(b−1) … 2^(b−1) − 1 (LSQ's Q_n and Q_p).
    pub fn weights(bits: u32) -> Grid {
        let half = 1 << (bits - 1);
        Grid { lowest: -half, highest: half - 1 }
    }

    /// Activations behind a ReLU: 0 … 2^b − 1, or the positive part of the signed grid, 0 … 2^(b−1)
    /// − 1.
    pub fn activations(quantizer: ActivationQuantizer, pact: PactKind, bits: u32) -> Grid {
        Grid { lowest: 0, highest: ActivationPlan::levels(quantizer, pact, bits) as i32 }
    }

    /// The quantized `value`, rounded half to even.
    pub fn quantize(self, value: f64, step: f64) -> f64 {
        (value / step).round_ties_even().clamp(f64::from(self.lowest), f64::from(self.highest))
            * step
    }
}

/// A step, and the number of the level that stands for 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffsetRange {
    /// s.
    pub step: f32,
    /// z.
    pub zero_point: u32,
}

impl OffsetRange {
    /// The offset that `zero_point` is the rounded form of.
    pub fn offset(self) -> f32 {
        // 0 without a sign.
        0.0 - self.zero_point as f32 * self.step
    }
}

/// Values in ascending order with prefix sums, from which the error of a quantizer is computed at a
/// cost that does not depend on their number.
pub struct Distribution {
    values: Vec<f64>,
    /// For the values before the i-th: their number, their sum, and the sum of their squares.
    before: Vec<[f64; 3]>,
}

/// Number of thresholds that are tried over the whole range, and in each refinement.
const COARSE: u32 = 256;
const FINE: u32 = 64;

impl Distribution {
    /// The distribution of `values`, which must be finite.
    pub fn of_values(values: &[f32]) -> Distribution {
        let mut sorted: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Distribution::of_points(sorted.into_iter().map(|value| (value, 1)))
    }

    /// The distribution of a histogram, with each bin at its mean.
    pub fn of_histogram(histogram: &Histogram) -> Distribution {
        Distribution::of_points(histogram.points().into_iter())
    }

    fn of_points(points: impl Iterator<Item = (f64, u64)>) -> Distribution {
        let (mut values, mut before, mut sums) = (Vec::new(), Vec::new(), [0.0; 3]);
        for (value, count) in points {
            let count = count as f64;
            values.push(value);
            before.push(sums);
            for (sum, term) in sums.iter_mut().zip([count, count * value, count * value * value]) {
                *sum += term;
            }
        }
        before.push(sums);
        Distribution { values, before }
    }

    /// The largest magnitude; 0 without values.
    pub fn largest(&self) -> f64 {
        [self.values.first(), self.values.last()]
            .into_iter()
            .flatten()
            .fold(0.0, |largest, value| f64::max(largest, value.abs()))
    }

    /// Number of values.
    pub fn count(&self) -> f64 {
        self.before[self.values.len()][0]
    }

    /// Σ value².
    pub fn square_sum(&self) -> f64 {
        self.before[self.values.len()][2]
    }

    /// The smallest magnitude that `percent` of the values do not exceed.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut magnitudes: Vec<(f64, f64)> = (0..self.values.len())
            .map(|at| (self.values[at].abs(), self.before[at + 1][0] - self.before[at][0]))
            .collect();
        magnitudes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = magnitudes.iter().map(|(_, count)| count).sum();
        // Rounded to a count, so that 99.9 % of 1000 is exactly 999.
        let wanted = (total * percent / 100.0 - 1e-9).ceil();
        let mut seen = 0.0;
        for (magnitude, count) in magnitudes {
            seen += count;
            if seen >= wanted {
                return magnitude;
            }
        }
        self.largest()
    }

    /// Σ (quantized − value)².
    pub fn squared_error(&self, grid: Grid, step: f64) -> f64 {
        let mut error = 0.0;
        let mut start = 0;
        for level in grid.lowest..=grid.highest {
            let end = if level == grid.highest {
                self.values.len()
            } else {
                // Halfway between two levels, both have the same error.
                let edge = (f64::from(level) + 0.5) * step;
                start + self.values[start..].partition_point(|&value| value <= edge)
            };
            let [count, sum, squares] =
                [0, 1, 2].map(|term| self.before[end][term] - self.before[start][term]);
            let value = f64::from(level) * step;
            error += squares - 2.0 * value * sum + value * value * count;
            start = end;
        }
        error.max(0.0)
    }

    /// The clipping threshold, highest · step of `grid`, that `calibration` selects; 1 if all
    /// values are 0, where any threshold is right.
    pub fn clip(&self, grid: Grid, calibration: Calibration) -> f64 {
        let largest = self.largest();
        if largest == 0.0 {
            return 1.0;
        }
        match calibration {
            Calibration::MinMax => largest,
            Calibration::Percentile(percent) => {
                Some(self.percentile(percent)).filter(|&clip| clip > 0.0).unwrap_or(largest)
            }
            Calibration::Mse => {
                let highest = f64::from(grid.highest);
                best_clip(largest, |clip| self.squared_error(grid, clip / highest))
            }
        }
    }

    /// The step and zero point of `highest` + 1 levels, 0 among them, that `calibration` chooses: a
    /// range from the least to the largest value (and 0), or of those within a percentile of the
    /// magnitudes, or that of least squared error between. Any is right where all values are 0.
    pub fn offset_range(&self, highest: u32, calibration: Calibration) -> OffsetRange {
        let levels = f64::from(highest);
        let [mut low, mut high] =
            [self.values.first(), self.values.last()].map(|end| end.copied().unwrap_or(0.0));
        if let Calibration::Percentile(percent) = calibration {
            let clip = self.percentile(percent);
            if clip > 0.0 {
                (low, high) = (low.max(-clip), high.min(clip));
            }
        }
        (low, high) = (low.min(0.0), high.max(0.0));
        let width = if high > low { high - low } else { 1.0 };
        let mut zero = (-low / width * levels).round_ties_even();
        let grid = |zero: f64| Grid { lowest: -(zero as i32), highest: (levels - zero) as i32 };
        let mut best = width;
        if calibration == Calibration::Mse && high > low {
            let error = |width: f64, zero: f64| self.squared_error(grid(zero), width / levels);
            best = best_clip(width, |width| error(width, zero));
            // A few far values on one side are another range's centre.
            if low < 0.0 && high > 0.0 {
                let tries = (0..=highest).map(|zero| (error(best, f64::from(zero)), zero));
                let least = tries.min_by(|a, b| a.0.total_cmp(&b.0));
                zero = least.map_or(zero, |(_, zero)| f64::from(zero));
                best = best_clip(width, |width| error(width, zero));
            }
        }
        OffsetRange { step: ((best / levels) as f32).max(STEP_FLOOR), zero_point: zero as u32 }
    }
}

/// The threshold in (0, `largest`] of least `error`: the best of an even grid, then of two finer
/// ones around the best so far.
fn best_clip(largest: f64, error: impl Fn(f64) -> f64) -> f64 {
    let mut best = (error(largest), largest);
    let mut spacing = largest / f64::from(COARSE);
    let mut tries: Vec<f64> = (1..COARSE).map(|index| spacing * f64::from(index)).collect();
    for _ in 0..3 {
        for clip in tries {
            let own = error(clip);
            if own < best.0 {
                best = (own, clip);
            }
        }
        let (low, high) = ((best.1 - spacing).max(0.0), (best.1 + spacing).min(largest));
        spacing = (high - low) / f64::from(FINE);
        tries = (1..FINE).map(|index| low + spacing * f64::from(index)).collect();
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn activations(pact: PactKind, bits: u32) -> Grid {
        Grid::activations(ActivationQuantizer::Pact, pact, bits)
    }

    /// `count` numbers, roughly normal, with some outliers.
    fn bell(count: u32, seed: u64, outlier: f32) -> Vec<f32> {
        let key = random::random_key(seed, 0, 77);
        let mut values: Vec<f32> = (0..count)
            .map(|index| {
                random::random_bits(key, index, 0, 0).map(random::uniform01).iter().sum::<f32>()
                    - 2.0
            })
            .collect();
        values[0] = outlier;
        values
    }

    fn plain_error(values: &[f32], grid: Grid, step: f64) -> f64 {
        values
            .iter()
            .map(|&value| (grid.quantize(f64::from(value), step) - f64::from(value)).powi(2))
            .sum()
    }

    #[test]
    fn the_error_is_the_sum_of_squares() {
        let values = bell(500, 1, 3.7);
        let distribution = Distribution::of_values(&values);
        for bits in 2..=8 {
            for grid in [Grid::weights(bits), activations(PactKind::Unsigned, bits)] {
                for clip in [0.1, 0.75, 2.0, 3.7] {
                    let step = clip / f64::from(grid.highest);
                    let (own, plain) =
                        (distribution.squared_error(grid, step), plain_error(&values, grid, step));
                    assert!(
                        (own - plain).abs() <= 1e-10 * plain.max(1.0),
                        "{bits} bits, {clip}: {own} {plain}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_best_clip_is_the_one_of_a_brute_force_search() {
        for (seed, outlier) in [(1, 0.5), (2, 9.0), (3, -40.0)] {
            let values = bell(400, seed, outlier);
            let rectified: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
            for bits in [2, 3, 4, 8] {
                for (values, grid) in [
                    (&values, Grid::weights(bits)),
                    (&rectified, activations(PactKind::Unsigned, bits)),
                    (&rectified, activations(PactKind::SignedAfterRelu, bits)),
                ] {
                    let exact = Distribution::of_values(values);
                    let error =
                        |clip: f64| plain_error(values, grid, clip / f64::from(grid.highest));
                    let tries = 20_000;
                    let brute = (1..=tries)
                        .map(|index| error(exact.largest() * f64::from(index) / f64::from(tries)))
                        .fold(f64::INFINITY, f64::min);
                    let found = error(exact.clip(grid, Calibration::Mse));
                    assert!(found <= brute * 1.01, "seed {seed}, {bits} bits: {found} {brute}");
                    assert!(found <= error(exact.clip(grid, Calibration::MinMax)));
                    // Binning adds only a small error.
                    let binned = error(
                        Distribution::of_histogram(&Histogram::of(values))
                            .clip(grid, Calibration::Mse),
                    );
                    assert!(
                        binned <= brute * 1.02,
                        "seed {seed}, {bits} bits, histogram: {binned} {brute}"
                    );
                }
            }
        }
    }

    #[test]
    fn percentiles_count_magnitudes() {
        let values: Vec<f32> = (1..=1000)
            .map(|value| if value % 2 == 0 { value as f32 } else { -value as f32 })
            .collect();
        let distribution = Distribution::of_values(&values);
        let percentiles = [0.05, 50.0, 99.9, 100.0].map(|percent| distribution.percentile(percent));
        assert_eq!(percentiles, [1.0, 500.0, 999.0, 1000.0]);
        let histogram = Distribution::of_histogram(&Histogram::of(&values));
        assert!((histogram.percentile(99.9) - 999.0).abs() < 1.0);
    }

    #[test]
    fn degenerate_distributions_have_a_clip() {
        for calibration in [Calibration::MinMax, Calibration::Percentile(99.9), Calibration::Mse] {
            let clip = |values: &[f32], bits| {
                Distribution::of_values(values).clip(Grid::weights(bits), calibration)
            };
            assert_eq!(clip(&[], 4), 1.0);
            assert_eq!(clip(&[0.0; 9], 4), 1.0);
            // Constant tensors are represented exactly.
            assert_eq!(clip(&[0.3; 9], 2), f64::from(0.3f32));
            let constant = Distribution::of_values(&[1e-30; 9]);
            assert!(
                constant.squared_error(
                    Grid::weights(8),
                    constant.clip(Grid::weights(8), calibration) / 127.0
                ) < 1e-65
            );
            // Mostly zeros: a percentile of 0 does not clip everything to 0.
            let mut sparse = vec![0.0; 5000];
            sparse[7] = 2.0;
            assert_eq!(clip(&sparse, 2), 2.0);
        }
    }

    /// Against every range of a fine grid.
    #[test]
    fn ranges_with_an_offset_are_of_least_squared_error() {
        let mut shifted = bell(2000, 3, 4.0);
        shifted.iter_mut().for_each(|value| *value += 0.7);
        let rectified: Vec<f32> = shifted.iter().map(|value| value.max(0.0)).collect();
        let below: Vec<f32> = shifted.iter().map(|value| -value.abs() - 0.1).collect();
        for bits in [1, 2, 4] {
            let highest = (1u32 << bits) - 1;
            for (values, zeros) in
                [(&shifted, 0..=highest), (&rectified, 0..=0), (&below, highest..=highest)]
            {
                let distribution = Distribution::of_values(values);
                let found = distribution.offset_range(highest, Calibration::Mse);
                assert!(zeros.contains(&found.zero_point), "{bits}: {found:?}");
                let error = |zero: u32, step: f64| {
                    let grid = Grid { lowest: -(zero as i32), highest: (highest - zero) as i32 };
                    plain_error(values, grid, step)
                };
                let own = error(found.zero_point, f64::from(found.step));
                for (zero, at) in (0..=highest).flat_map(|zero| (1..150).map(move |at| (zero, at)))
                {
                    let least = error(zero, 7.0 / f64::from(highest) * f64::from(at) / 150.0);
                    assert!(own <= 1.03 * least, "{bits}: {own} {least} {zero} {at} {found:?}");
                }
                assert_eq!((-found.offset() / found.step).round(), found.zero_point as f32);
            }
        }
    }

    #[test]
    fn ranges_with_an_offset_reach_the_ends_or_a_percentile() {
        let values: Vec<f32> = (-20..=80).map(|value| value as f32 / 10.0).collect();
        let distribution = Distribution::of_values(&values);
        let range = |calibration| distribution.offset_range(10, calibration);
        let expected = |step: f32, zero_point| OffsetRange { step, zero_point };
        assert_eq!(range(Calibration::MinMax), expected(1.0, 2));
        // Half the magnitudes are at most 3.
        assert_eq!(range(Calibration::Percentile(50.0)), expected(0.5, 4));
        let zeros = Distribution::of_values(&[0.0; 3]);
        for calibration in [Calibration::Mse, Calibration::MinMax, Calibration::Percentile(9.0)] {
            assert_eq!(zeros.offset_range(4, calibration), expected(0.25, 0));
        }
    }
}
