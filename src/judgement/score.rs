//! The judgements by name, and their means with intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Interval, RESAMPLES, bootstrap};

/// A judgement that gives a number an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Rank correlation with the reference's map.
    Spearman,
    /// Correlation with the reference's map.
    Pearson,
    /// Cosine of the angle to the reference's map.
    Cosine,
    /// Structural similarity to the reference's map.
    Ssim,
    /// Intersection over union of the most salient tenth with the reference's.
    TopOverlap,
    /// Earth mover's distance of |φ| to the reference's, in pixels.
    EarthMover,
    /// Largest relative change of the map under small noise.
    MaxSensitivity,
    /// Gini coefficient of |φ|.
    Gini,
    /// Entropy of |φ|, in nats.
    Entropy,
    /// Mean squared error of what the map says noise does to the logit.
    Infidelity,
    /// Area under the deletion curve.
    Deletion,
    /// Area under the insertion curve.
    Insertion,
}

impl Metric {
    /// All, in the order of tables.
    pub const ALL: [Metric; 12] = [
        Metric::Spearman,
        Metric::Pearson,
        Metric::Cosine,
        Metric::Ssim,
        Metric::TopOverlap,
        Metric::EarthMover,
        Metric::MaxSensitivity,
        Metric::Gini,
        Metric::Entropy,
        Metric::Infidelity,
        Metric::Deletion,
        Metric::Insertion,
    ];

    /// The name in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Spearman => "spearman",
            Metric::Pearson => "pearson",
            Metric::Cosine => "cosine",
            Metric::Ssim => "ssim",
            Metric::TopOverlap => "top-overlap",
            Metric::EarthMover => "earth-mover",
            Metric::MaxSensitivity => "max-sensitivity",
            Metric::Gini => "gini",
            Metric::Entropy => "entropy",
            Metric::Infidelity => "infidelity",
            Metric::Deletion => "deletion",
            Metric::Insertion => "insertion",
        }
    }

    /// Whether more of it is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Metric::EarthMover | Metric::MaxSensitivity | Metric::Entropy | Metric::Infidelity | Metric::Deletion)
    }
}

/// Means over the images with their 95 % intervals, by judgement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scores(pub BTreeMap<Metric, Interval>);

impl Scores {
    /// Adds a judgement's values, one an image.
    pub fn add(&mut self, metric: Metric, values: impl IntoIterator<Item = f64>, seed: u64) {
        let values: Vec<f64> = values.into_iter().collect();
        self.0.insert(metric, bootstrap(&values, RESAMPLES, seed));
    }

    /// A judgement's mean and interval.
    pub fn get(&self, metric: Metric) -> Option<Interval> {
        self.0.get(&metric).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for metric in Metric::ALL {
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("\"{}\"", metric.name()));
        }
    }
}
