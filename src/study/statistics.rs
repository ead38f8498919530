//! Means with 95 % intervals, and whether two models differ.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{
    judgement::{Interval, RESAMPLES, bootstrap},
    random,
};

/// Seed of all resampling: the same results give the same report.
const SEED: u64 = 0;
/// Relabellings of a permutation test.
const PERMUTATIONS: u32 = 1999;
/// 97.5th percentile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Mean over seeds with Student's 95 % interval; of a single value, only the mean is known.
pub fn over_seeds(values: &[f64]) -> Interval {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    if count < 2 {
        return Interval::unknown(mean);
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    let quantile = StudentsT::new(0.0, 1.0, (count - 1) as f64).map_or(f64::NAN, |student| student.inverse_cdf(0.975));
    let half = quantile * (variance / count as f64).sqrt();
    Interval { mean, low: mean - half, high: mean + half }
}

/// Accuracy over seeds; of one seed, with Wilson's interval for the share of `images` test images that were classified correctly.
pub fn accuracy(values: &[f64], images: u64) -> Interval {
    match values {
        &[share] => wilson(share, images),
        _ => over_seeds(values),
    }
}

/// Wilson's score interval of a share of `count`.
pub fn wilson(share: f64, count: u64) -> Interval {
    let n = count.max(1) as f64;
    let z2 = NORMAL * NORMAL;
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = NORMAL / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Interval { mean: share, low: (center - half).max(0.0).min(share), high: (center + half).min(1.0).max(share) }
}

/// Mean of a figure that every image has, `values[seed][image]`: Student's interval over the means of the seeds, of one seed the
/// bootstrap over its images.
pub fn over_images(values: &[&[f64]]) -> Interval {
    let finite = |values: &[f64]| values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<f64>>();
    match values {
        [] => Interval::unknown(f64::NAN),
        [one] => bootstrap(one, RESAMPLES, SEED),
        many => {
            let means: Vec<f64> = many
                .iter()
                .map(|values| finite(values))
                .filter(|values| !values.is_empty())
                .map(|values| values.iter().sum::<f64>() / values.len() as f64)
                .collect();
            over_seeds(&means)
        }
    }
}

/// The difference of a figure between two models on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Mean of the differences with its bootstrap interval.
    pub mean: Interval,
    /// Two-sided probability of a mean as far from 0 if signs were chance (sign-flip permutation test).
    pub p: f64,
}

impl Difference {
    /// Whether chance is an unlikely explanation (p < 0.05).
    pub fn is_significant(self) -> bool {
        self.p < 0.05
    }
}

/// Compares `a[i]` with `b[i]`; pairs with a value that is not finite do not count. `None` without any pair.
pub fn paired(a: &[f64], b: &[f64]) -> Option<Difference> {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).filter(|difference| difference.is_finite()).collect();
    if differences.is_empty() {
        return None;
    }
    let mean = bootstrap(&differences, RESAMPLES, SEED);
    let observed = mean.mean.abs();
    // What does not differ adds nothing to any sum.
    let count = differences.len() as f64;
    let differences: Vec<f64> = differences.into_iter().filter(|difference| *difference != 0.0).collect();
    let key = random::random_key(SEED, 1, random::BOOTSTRAP);
    let as_far = (0..PERMUTATIONS)
        .filter(|&permutation| {
            let flipped: f64 = differences
                .chunks(128)
                .zip(0..)
                .map(|(chunk, block)| {
                    let bits = random::random_bits(key, permutation, block, 0);
                    let sign = |index: usize| if bits[index / 32] >> (index % 32) & 1 == 0 { 1.0 } else { -1.0 };
                    chunk.iter().enumerate().map(|(index, difference)| sign(index) * difference).sum::<f64>()
                })
                .sum();
            (flipped / count).abs() >= observed * (1.0 - 1e-12)
        })
        .count();
    Some(Difference { mean, p: (as_far + 1) as f64 / f64::from(PERMUTATIONS + 1) })
}

/// Half the width of a cautious 95 % interval for the difference of two mean accuracies over one curve each, of `images` images: as if
/// all points of a curve were one.
pub fn margin_of_areas(a: f64, b: f64, images: u32) -> f64 {
    NORMAL * ((a * (1.0 - a) + b * (1.0 - b)).max(0.0) / f64::from(images.max(1))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_known_samples() {
        // Student's 97.5th percentile with 2 degrees of freedom is 4.302653.
        let three = over_seeds(&[1.0, 2.0, 3.0]);
        assert!((three.high - 2.0 - 4.302_653 / 3f64.sqrt()).abs() < 1e-5, "{three:?}");
        assert!(over_seeds(&[1.0]).low.is_nan());
        // 81 of 263: Wilson's interval 0.2553 to 0.3662 (Newcombe 1998).
        let share = wilson(81.0 / 263.0, 263);
        assert!((share.low - 0.2553).abs() < 5e-5 && (share.high - 0.3662).abs() < 5e-5, "{share:?}");
        assert_eq!(wilson(1.0, 10).high, 1.0);
        assert_eq!(accuracy(&[0.5, 0.5], 7), Interval { mean: 0.5, low: 0.5, high: 0.5 });
    }

    #[test]
    fn differences_that_are_and_that_are_not() {
        let noise: Vec<f64> = (0..200).map(|i| f64::from(i * 7919 % 200) / 200.0 - 0.4975).collect();
        let zero = vec![0.0; 200];
        assert!(!paired(&noise, &zero).unwrap().is_significant());
        let shifted: Vec<f64> = noise.iter().map(|value| value + 0.2).collect();
        let found = paired(&shifted, &zero).unwrap();
        assert!(found.is_significant() && found.mean.low > 0.0, "{found:?}");
        assert_eq!(paired(&shifted, &zero), Some(found));
        assert!(paired(&[f64::NAN], &[0.0]).is_none());
        // Nothing differs: every relabelling is as far.
        assert_eq!(paired(&zero, &zero).unwrap().p, 1.0);
    }
}
