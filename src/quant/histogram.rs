//! A histogram of a stream of values, in bounded memory.

/// Bins on each side of 0.
const HALF: usize = 2048;

/// Counts and sums of values in bins of equal width. The width is a power of two and doubles,
/// neighbours merging, when a value falls outside: the result does not depend on how the stream is
/// cut, and at least a quarter of the bins on one side is in use. Exact zeros, of which a ReLU
/// makes many, are counted apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Bin i holds the values v with floor(v / width) = i − HALF.
    bins: Vec<(u64, f64)>,
    width: f64,
    zeros: u64,
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            bins: vec![(0, 0.0); 2 * HALF],
            width: f64::from(f32::MIN_POSITIVE),
            zeros: 0,
            not_finite: 0,
        }
    }
}

impl Histogram {
    /// The histogram of `values`.
    pub fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.add(values);
        histogram
    }

    /// Counts `values`; NaN and infinities only as such.
    pub fn add(&mut self, values: &[f32]) {
        let largest = values
            .iter()
            .filter(|value| value.is_finite())
            .fold(0f32, |largest, value| largest.max(value.abs()));
        while f64::from(largest) >= self.width * HALF as f64 {
            self.widen();
        }
        for &value in values {
            if value == 0.0 {
                self.zeros += 1;
            } else if value.is_finite() {
                let value = f64::from(value);
                let bin = (value / self.width).floor() + HALF as f64;
                // −width · HALF itself is the lowest bin's edge; f32's range keeps everything else
                // inside.
                let (count, sum) = &mut self.bins[(bin as usize).min(2 * HALF - 1)];
                *count += 1;
                *sum += value;
            } else {
                self.not_finite += 1;
            }
        }
    }

    /// Doubles the width.
    fn widen(&mut self) {
        let half = HALF as i64;
        let mut merged = vec![(0, 0.0); 2 * HALF];
        for (index, &(count, sum)) in self.bins.iter().enumerate() {
            let target = (index as i64 - half).div_euclid(2) + half;
            let (total, total_sum) = &mut merged[target as usize];
            *total += count;
            *total_sum += sum;
        }
        self.bins = merged;
        self.width *= 2.0;
    }

    /// Values counted, zeros among them, those not finite left out.
    pub fn count(&self) -> u64 {
        self.zeros + self.bins.iter().map(|(count, _)| count).sum::<u64>()
    }

    /// Exact zeros.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Values that were NaN or infinite.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// (mean of the values, their number) of every bin in use, ascending, zeros among them.
    pub fn points(&self) -> Vec<(f64, u64)> {
        let filled = |bins: &[(u64, f64)]| -> Vec<(f64, u64)> {
            bins.iter()
                .filter(|(count, _)| *count > 0)
                .map(|&(count, sum)| (sum / count as f64, count))
                .collect()
        };
        let mut points = filled(&self.bins[..HALF]);
        points.extend((self.zeros > 0).then_some((0.0, self.zeros)));
        points.extend(filled(&self.bins[HALF..]));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_the_stream_changes_nothing() {
        let values: Vec<f32> = (0..5000)
            .map(|i| ((i * 7919 % 1000) as f32 - 300.0) * (1.0 + i as f32 / 100.0) / 64.0)
            .collect();
        let whole = Histogram::of(&values);
        let mut parts = Histogram::default();
        values.chunks(37).for_each(|part| parts.add(part));
        let counts =
            |histogram: &Histogram| histogram.bins.iter().map(|bin| bin.0).collect::<Vec<_>>();
        assert_eq!(
            (counts(&whole), whole.width, whole.zeros),
            (counts(&parts), parts.width, parts.zeros)
        );
        assert_eq!((whole.count(), whole.zeros()), (5000, 5));
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        assert!(
            f64::from(largest) < whole.width * HALF as f64
                && f64::from(largest) >= whole.width * HALF as f64 / 2.0
        );
        // A bin's point is the mean of its values: the sum stays.
        let sum: f64 = whole.points().iter().map(|&(value, count)| value * count as f64).sum();
        let expected: f64 = values.iter().map(|&value| f64::from(value)).sum();
        assert!((sum - expected).abs() < 1e-6 * expected.abs());
        assert!(whole.points().windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn every_kind_of_float_is_counted() {
        let odd = [
            0.0,
            -0.0,
            f32::NAN,
            f32::INFINITY,
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            -1.0,
            f32::from_bits(1),
        ];
        let histogram = Histogram::of(&odd);
        assert_eq!((histogram.count(), histogram.zeros(), histogram.not_finite()), (7, 2, 2));
        assert_eq!(Histogram::default().points(), []);
        assert_eq!(Histogram::of(&[-2.0, 1.0, 1.0, 0.0]).points(), [(-2.0, 1), (0.0, 1), (1.0, 2)]);
    }
}
