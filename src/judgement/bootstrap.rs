//! Means with 95 % intervals by the bootstrap (Efron 1979, the percentile interval).

use serde::{Deserialize, Serialize};

use crate::random;

/// Number of resamples of an interval.
pub const RESAMPLES: u32 = 1000;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Mean.
    #[serde(deserialize_with = "number")]
    pub mean: f64,
    /// 2.5th percentile of the means of the resamples.
    #[serde(deserialize_with = "number")]
    pub low: f64,
    /// 97.5th percentile of the means of the resamples.
    #[serde(deserialize_with = "number")]
    pub high: f64,
}

impl Interval {
    /// A mean without an interval.
    pub fn unknown(mean: f64) -> Interval {
        Interval { mean, low: f64::NAN, high: f64::NAN }
    }
}

/// Reads a number from JSON, where a number that is not finite is null.
pub(crate) fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Mean of `values` with the interval from `resamples` resamples, drawn with counter-based random
/// numbers. Values that are not finite are left out; without any value all three numbers are NaN.
pub fn bootstrap(values: &[f64], resamples: u32, seed: u64) -> Interval {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let count = values.len();
    if count == 0 {
        return Interval::unknown(f64::NAN);
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let key = random::random_key(seed, 0, random::BOOTSTRAP);
    let mut means: Vec<f64> = (0..resamples)
        .map(|resample| {
            let sum: f64 = (0..count)
                .step_by(4)
                .map(|first| {
                    let bits = random::random_bits(key, resample, first as u32, 0);
                    let drawn = bits.iter().take(count - first);
                    // The upper half of the product is uniform over any count below 2³².
                    drawn
                        .map(|&word| values[((u64::from(word) * count as u64) >> 32) as usize])
                        .sum::<f64>()
                })
                .sum();
            sum / count as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    // Rounding and a small number of resamples could put the mean outside.
    let at = |share: f64| {
        means.get((share * (means.len() as f64 - 1.0)).round() as usize).copied().unwrap_or(mean)
    };
    Interval { mean, low: at(0.025).min(mean), high: at(0.975).max(mean) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn interval_has_the_width_of_the_standard_error() {
        let values: Vec<f64> = (0..400)
            .map(|i| f64::from(random::uniform01(random::random_bits([1, 2, 3, 4], i, 0, 0)[0])))
            .collect();
        let mean = values.iter().sum::<f64>() / 400.0;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 399.0).sqrt();
        let interval = bootstrap(&values, RESAMPLES, 5);
        let expected = 1.96 * deviation / 20.0;
        assert_eq!(interval.mean, mean);
        assert!(
            (interval.high - mean - expected).abs() < 0.15 * expected,
            "{interval:?} {expected}"
        );
        assert!(
            (mean - interval.low - expected).abs() < 0.15 * expected,
            "{interval:?} {expected}"
        );
        assert_eq!(bootstrap(&values, RESAMPLES, 5), interval);
        assert_ne!(bootstrap(&values, RESAMPLES, 6), interval);
    }

    #[test]
    fn degenerate_values() {
        assert_eq!(bootstrap(&[2.5], 10, 0), Interval { mean: 2.5, low: 2.5, high: 2.5 });
        assert_eq!(bootstrap(&[0.5; 30], 10, 0), Interval { mean: 0.5, low: 0.5, high: 0.5 });
        assert!(bootstrap(&[f64::NAN], 10, 0).mean.is_nan() && bootstrap(&[], 10, 0).mean.is_nan());
        assert_eq!(bootstrap(&[1.0, f64::INFINITY], 10, 0).mean, 1.0);
    }

    proptest! {
        #[test]
        fn the_mean_is_inside_and_nothing_beyond_the_values(
            values in prop::collection::vec(-1e3..1e3, 1..40),
            seed: u64,
        ) {
            let interval = bootstrap(&values, 50, seed);
            prop_assert!(interval.low <= interval.mean && interval.mean <= interval.high);
            let (least, most) = values
                .iter()
                .fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
            prop_assert!(interval.low >= least - 1e-9 && interval.high <= most + 1e-9);
        }
    }
}
