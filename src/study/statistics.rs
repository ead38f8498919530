//! Means with 95 % intervals, and tests whether two models differ.

use serde::Serialize;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

use crate::{
    judgement::{Interval, RESAMPLES, bootstrap, wilson, wilson_of_all},
    report::Quantity,
};

/// Seed of all resampling, so that the same results give the same report.
const SEED: u64 = 0;
/// Significance level.
const LEVEL: f64 = 0.05;
/// 97.5th percentile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Cuts `interval` to the range of `quantity`, because Student's interval of a few seeds can exceed
/// it.
pub fn within(interval: Interval, quantity: Quantity) -> Interval {
    let (lowest, highest) = quantity.bounds();
    let Interval { mean, low, high } = interval;
    Interval { mean, low: low.clamp(lowest, highest), high: high.clamp(lowest, highest) }
}

/// An interval of width 0 would claim that the mean is known exactly, which a sample cannot show.
/// Only the mean is kept.
pub fn informative(interval: Interval) -> Interval {
    if interval.low == interval.high { Interval::unknown(interval.mean) } else { interval }
}

/// Mean over seeds with Student's 95 % interval; for a single value, the mean alone.
pub fn over_seeds(values: &[f64]) -> Interval {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    if count < 2 {
        return Interval::unknown(mean);
    }
    let variance =
        values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    let half = student_quantile((count - 1) as f64) * (variance / count as f64).sqrt();
    Interval { mean, low: mean - half, high: mean + half }
}

/// 97.5th percentile of Student's distribution.
fn student_quantile(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::NAN, |student| student.inverse_cdf(0.975))
}

/// Accuracy over seeds; for one seed, with Wilson's interval for the share of `images` test images
/// classified correctly.
pub fn accuracy(values: &[f64], images: u64) -> Interval {
    match values {
        &[share] => wilson(share, images),
        _ => {
            let student = within(over_seeds(values), Quantity::Share);
            // If all seeds have the same accuracy, the interval is the one of their images.
            if student.low == student.high { wilson_of_all(values, images) } else { student }
        }
    }
}

/// Mean of a figure that every image has, `values[seed][image]`. The interval is Student's over the
/// means of the seeds, or for one seed the bootstrap's over its images. It is cut to the range of
/// `quantity`. There is no interval for one image, or if all images are alike.
pub fn over_images(values: &[&[f64]], quantity: Quantity) -> Interval {
    let finite = |values: &[f64]| {
        values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<f64>>()
    };
    let interval = match values {
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
    };
    within(informative(interval), quantity)
}

/// As [`over_images`], for areas under curves of accuracies, 0 to 1. If that gives no interval, the
/// interval is the one of a share of the images.
pub fn areas(values: &[&[f64]]) -> Interval {
    let interval = over_images(values, Quantity::Share);
    let images = values
        .iter()
        .map(|own| own.iter().filter(|area| area.is_finite()).count())
        .min()
        .unwrap_or(0);
    if interval.low.is_finite() || images < 2 {
        interval
    } else {
        wilson(interval.mean, images as u64)
    }
}

/// The difference of a figure between two models on the same images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Mean of the differences with its 95 % interval: for one seed the bootstrap's over images,
    /// else Student's over seeds.
    pub mean: Interval,
    /// Two-sided p value of this test alone: the probability that chance gives a mean this far from
    /// 0.
    pub p: f64,
    /// The p value adjusted by Holm's method for all tests of the family; `p` if it has no family.
    pub adjusted_p: f64,
}

impl Difference {
    fn new(mean: Interval, p: f64) -> Difference {
        Difference { mean, p, adjusted_p: p }
    }

    /// Cuts the interval to the range of `quantity`.
    pub fn within(self, quantity: Quantity) -> Difference {
        Difference { mean: within(self.mean, quantity), ..self }
    }

    /// Whether the difference is significant (adjusted p < 0.05).
    pub fn is_significant(self) -> bool {
        self.adjusted_p < LEVEL
    }
}

/// Two-sided p value of Student's t for `mean` with standard error `error`.
fn student_p(mean: f64, error: f64, freedom: f64) -> f64 {
    match (mean / error).abs() {
        // Nothing varies: the value is 0 / 0 if the models do not differ.
        t if t.is_nan() => 1.0,
        t if t.is_infinite() => 0.0,
        t => StudentsT::new(0.0, 1.0, freedom).map_or(1.0, |student| 2.0 * student.cdf(-t)),
    }
}

/// p value of McNemar's exact test: the probability that `more` + `less` differing pairs are
/// divided at least as unequally as this.
fn mcnemar_p(more: u64, less: u64) -> f64 {
    Binomial::new(0.5, more + less).map_or(1.0, |coin| (2.0 * coin.cdf(more.min(less))).min(1.0))
}

fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

/// Compares the figures of two models image by image; `seeds[seed]` = (those of one model, those of
/// the other). Pairs with a value that is not finite are left out. `None` if there is nothing to
/// compare.
///
/// For one seed, the test is McNemar's exact test for values that are right or wrong, else
/// Student's paired t over the images. It says nothing about other training runs. For several seeds
/// it is Student's paired t over the seeds, with the larger of the standard errors over seeds and
/// over images, because a few seeds can agree by chance more closely than their images allow.
pub fn paired(seeds: &[(Vec<f64>, Vec<f64>)]) -> Option<Difference> {
    let differences = |(a, b): &(Vec<f64>, Vec<f64>)| -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a - b).filter(|difference| difference.is_finite()).collect()
    };
    let by_seed: Vec<Vec<f64>> =
        seeds.iter().map(differences).filter(|own| !own.is_empty()).collect();
    match by_seed.as_slice() {
        [] => None,
        [own] => {
            let mean = informative(bootstrap(own, RESAMPLES, SEED));
            let count = |sign: f64| own.iter().filter(|difference| **difference == sign).count();
            let (more, less, same) = (count(1.0), count(-1.0), count(0.0));
            if more + less + same == own.len() {
                return Some(Difference::new(mean, mcnemar_p(more as u64, less as u64)));
            }
            let (average, error) = mean_and_error(own);
            (own.len() > 1)
                .then(|| Difference::new(mean, student_p(average, error, own.len() as f64 - 1.0)))
        }
        many => {
            let means: Vec<f64> =
                many.iter().map(|own| own.iter().sum::<f64>() / own.len() as f64).collect();
            let (mean, over_seeds) = mean_and_error(&means);
            let images = many.iter().map(Vec::len).min().unwrap_or(0);
            let of_image =
                |image: usize| many.iter().map(|own| own[image]).sum::<f64>() / many.len() as f64;
            let over_images = match images {
                0 | 1 => 0.0,
                _ => mean_and_error(&(0..images).map(of_image).collect::<Vec<_>>()).1,
            };
            let (error, freedom) = (over_seeds.max(over_images), many.len() as f64 - 1.0);
            let half = student_quantile(freedom) * error;
            let interval = informative(Interval { mean, low: mean - half, high: mean + half });
            Some(Difference::new(interval, student_p(mean, error, freedom)))
        }
    }
}

/// Holm's step-down adjustment of the p values of a family of tests. The probability that all of
/// those below 0.05 are true differences is 95 %, whatever the dependence between the tests (S.
/// Holm, A simple sequentially rejective multiple test procedure, 1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0_f64;
    for (place, &test) in order.iter().enumerate() {
        least = least.max(p[test] * (p.len() - place) as f64).min(1.0);
        adjusted[test] = least;
    }
    adjusted
}

/// Half the width of a conservative 95 % interval for the difference of two mean accuracies over
/// curves of `images` images. It treats all points of a curve as fully dependent.
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
        let two = accuracy(&[0.9, 0.99], 7);
        assert!(two.high == 1.0 && two.low > 0.0 && two.low < 0.9, "{two:?}");
        assert_eq!(accuracy(&[0.5, 0.5], 7), wilson(0.5, 7));
        // 0 of 8: the upper limit is z² / (n + z²).
        let none = accuracy(&[0.0, 0.0], 8);
        assert!(none.low == 0.0 && (none.high - 0.3244).abs() < 1e-4, "{none:?}");
    }

    #[test]
    fn intervals_end_where_the_quantity_does() {
        let seeds: [&[f64]; 2] = [&[0.2, 0.4], &[0.9, 1.0]];
        for (quantity, ends) in [
            (Quantity::Share, (0.0, 1.0)),
            (Quantity::Correlation, (-1.0, 1.0)),
            (Quantity::Percent, (0.0, 4.754_517)),
        ] {
            let own = over_images(&seeds, quantity);
            assert!((own.low - ends.0).abs() < 1e-5 && (own.high - ends.1).abs() < 1e-5, "{own:?}");
        }
        assert_eq!(over_images(&seeds, Quantity::Magnitude).low, 0.0);
        assert_eq!(areas(&seeds).high, 1.0);
        let difference =
            paired(&[(vec![1.0, 1.0], vec![0.0, 0.1]), (vec![0.1, 0.2], vec![0.0, 0.1])]).unwrap();
        assert_eq!(difference.within(Quantity::Correlation).mean.high, 1.0);
    }

    #[test]
    fn no_interval_is_without_width() {
        // There is no interval for one image, or for images that are all alike; areas then have the
        // interval of a share.
        assert!(
            over_images(&[&[0.3]], Quantity::Share).low.is_nan() && areas(&[&[0.3]]).low.is_nan()
        );
        assert!(over_images(&[&[0.3; 9]], Quantity::Share).high.is_nan());
        assert_eq!(areas(&[&[0.0; 8]]), wilson(0.0, 8));
        let same = one(&[1.0; 20], &[1.0; 20]).unwrap();
        assert!(same.mean.mean == 0.0 && same.mean.low.is_nan() && same.p == 1.0, "{same:?}");
        let pair = || (vec![1.0; 20], vec![1.0; 20]);
        assert!(paired(&[pair(), pair()]).unwrap().mean.high.is_nan());
    }

    fn one(a: &[f64], b: &[f64]) -> Option<Difference> {
        paired(&[(a.to_vec(), b.to_vec())])
    }

    #[test]
    fn differences_that_are_and_that_are_not() {
        let noise: Vec<f64> =
            (0..200).map(|i| f64::from(i * 7919 % 200) / 200.0 - 0.4975).collect();
        let zero = vec![0.0; 200];
        assert!(!one(&noise, &zero).unwrap().is_significant());
        let shifted: Vec<f64> = noise.iter().map(|value| value + 0.2).collect();
        let found = one(&shifted, &zero).unwrap();
        assert!(found.is_significant() && found.mean.low > 0.0, "{found:?}");
        assert_eq!(one(&shifted, &zero), Some(found));
        assert!(one(&[f64::NAN], &[0.0]).is_none() && one(&[0.3], &[0.1]).is_none());
        assert_eq!(one(&zero, &zero).unwrap().p, 1.0);
        // Differences 1, 2, 3, 4: t = 2.5 / (1.290994 / 2) = 3.872983 with 3 degrees of freedom, p
        // = 0.030466.
        let small = one(&[1.5, 2.5, 3.5, 4.5], &[0.5; 4]).unwrap();
        assert!((small.p - 0.030_466).abs() < 1e-6, "{small:?}");
    }

    #[test]
    fn right_and_wrong_are_compared_by_mcnemar() {
        // 10 pairs differ, 8 to 2: 2 · (1 + 10 + 45) / 1024.
        let a = [vec![1.0; 8], vec![0.0; 2], vec![1.0; 90]].concat();
        let b = [vec![0.0; 8], vec![1.0; 2], vec![1.0; 90]].concat();
        let found = one(&a, &b).unwrap();
        assert!(
            (found.p - 112.0 / 1024.0).abs() < 1e-12 && (found.mean.mean - 0.06).abs() < 1e-12,
            "{found:?}"
        );
        assert!(
            (mcnemar_p(3, 3) - 1.0).abs() < 1e-12 && (mcnemar_p(0, 6) - 2.0 / 64.0).abs() < 1e-12
        );
    }

    #[test]
    fn seeds_are_what_several_seeds_are_tested_over() {
        let images = |mean: f64| -> (Vec<f64>, Vec<f64>) {
            (
                (0..100).map(|image| mean + if image % 2 == 0 { 0.01 } else { -0.01 }).collect(),
                vec![0.0; 100],
            )
        };
        // Means 1, 2, 3: t = 2 / (1 / √3) with 2 degrees of freedom, p = 0.074180. The 300 images
        // do not count as 300 training runs.
        let found = paired(&[images(1.0), images(2.0), images(3.0)]).unwrap();
        assert!((found.p - 0.074_180).abs() < 1e-6 && !found.is_significant(), "{found:?}");
        assert!((found.mean.high - 2.0 - 4.302_653 / 3f64.sqrt()).abs() < 1e-5, "{found:?}");
        // If two seeds have the same accuracy, the interval is that of their images: one of 40
        // differs.
        let same = || ([vec![1.0], vec![0.0; 39]].concat(), vec![0.0; 40]);
        let found = paired(&[same(), same()]).unwrap();
        assert!(found.p > 0.4 && found.mean.low < 0.0, "{found:?}");
    }

    #[test]
    fn holm_adjusts_for_the_number_of_tests() {
        // Example of Wright 1992 and of textbooks: 0.01, 0.02, 0.03, 0.04 become 0.04, 0.06, 0.06,
        // 0.06.
        let adjusted = holm(&[0.04, 0.01, 0.03, 0.02]);
        for (own, expected) in adjusted.iter().zip([0.06, 0.04, 0.06, 0.06]) {
            assert!((own - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.7, 0.9]), [1.0, 1.0]);
        assert_eq!(holm(&[0.03]), [0.03]);
        assert!(holm(&[]).is_empty());
    }
}
