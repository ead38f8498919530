//! Confidence intervals of shares of images, such as accuracies.

use super::Interval;

/// 97.5th percentile of the normal distribution.
const NORMAL: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % score interval (Wilson 1927) of a share of `count` images, 0..=1, with the share
/// as mean. Without images the interval is 0 to 1.
pub fn wilson(share: f64, count: u64) -> Interval {
    if count == 0 {
        return Interval { mean: share, low: 0.0, high: 1.0 };
    }
    let n = count as f64;
    let z2 = NORMAL * NORMAL;
    let center = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = NORMAL / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Interval {
        mean: share,
        low: (center - half).max(0.0).min(share),
        high: (center + half).min(1.0).max(share),
    }
}

/// The mean of the shares of several training runs on the same `count` images, with an interval
/// from the lowest of their Wilson limits to the highest. For one run it is Wilson's interval. NaN
/// without any run.
pub fn wilson_of_all(shares: &[f64], count: u64) -> Interval {
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let start = Interval { mean, low: mean, high: mean };
    shares.iter().map(|&share| wilson(share, count)).fold(start, |all, one| Interval {
        mean,
        low: all.low.min(one.low),
        high: all.high.max(one.high),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_limits_and_extremes() {
        // 81 of 263: Wilson's interval 0.2553 to 0.3662 (Newcombe 1998).
        let share = wilson(81.0 / 263.0, 263);
        assert!(
            (share.low - 0.2553).abs() < 5e-5 && (share.high - 0.3662).abs() < 5e-5,
            "{share:?}"
        );
        // 10 of 10: the lower limit is n / (n + z²).
        let all = wilson(1.0, 10);
        assert!(
            (all.low - 10.0 / (10.0 + NORMAL * NORMAL)).abs() < 1e-12 && all.high == 1.0,
            "{all:?}"
        );
        assert_eq!((wilson(0.0, 10).low, wilson(0.5, 0).high), (0.0, 1.0));
    }

    #[test]
    fn several_trainings_reach_from_the_lowest_limit_to_the_highest() {
        let all = wilson_of_all(&[0.25, 0.75], 100);
        assert_eq!(
            all,
            Interval { mean: 0.5, low: wilson(0.25, 100).low, high: wilson(0.75, 100).high }
        );
        assert_eq!(wilson_of_all(&[0.25], 100), wilson(0.25, 100));
        assert!(wilson_of_all(&[], 100).mean.is_nan());
    }
}
