//! The judgements by name, and their means with intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Interval, RESAMPLES, bootstrap};

/// A judgement with one number per image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Rank correlation with the reference map.
    Spearman,
    /// Correlation with the reference map.
    Pearson,
    /// Cosine similarity with the reference map.
    Cosine,
    /// Structural similarity with the reference map.
    Ssim,
    /// Intersection over union of the most salient tenth of the pixels with that of the reference
    /// map.
    TopOverlap,
    /// Earth mover's distance of |φ| to that of the reference map, in pixels.
    EarthMover,
    /// Largest relative change of the map under small noise.
    MaxSensitivity,
    /// Gini coefficient of |φ|.
    Gini,
    /// Entropy of |φ|, in nats.
    Entropy,
    /// Mean squared error of the map's prediction of the effect of noise on the logit.
    Infidelity,
    /// Area under the deletion curve.
    Deletion,
    /// Area under the insertion curve.
    Insertion,
    /// Whether the most relevant pixel is in the mask.
    PointingGame,
    /// Share of the relevance in the mask.
    RelevanceMass,
    /// Share of the most relevant pixels, as many as the mask has, that is in the mask.
    RelevanceRank,
    /// Intersection over union of the most relevant pixels, as many as the mask has, and the mask.
    MaskOverlap,
}

/// The values that a judgement can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// −1 to 1.
    Similarity,
    /// 0 to 1.
    Share,
    /// 0 or more, in a unit.
    Magnitude(&'static str),
}

impl Metric {
    /// All judgements, in the order of tables.
    pub const ALL: [Metric; 16] = [
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
        Metric::PointingGame,
        Metric::RelevanceMass,
        Metric::RelevanceRank,
        Metric::MaskOverlap,
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
            Metric::PointingGame => "pointing-game",
            Metric::RelevanceMass => "relevance-mass",
            Metric::RelevanceRank => "relevance-rank",
            Metric::MaskOverlap => "mask-overlap",
        }
    }

    /// The title in tables and charts.
    pub fn title(self) -> &'static str {
        match self {
            Metric::Spearman => "Rank correlation (Spearman)",
            Metric::Pearson => "Correlation (Pearson)",
            Metric::Cosine => "Cosine similarity",
            Metric::Ssim => "Structural similarity (SSIM)",
            Metric::TopOverlap => "Top-10 % overlap",
            Metric::EarthMover => "Earth mover's distance",
            Metric::MaxSensitivity => "Max-sensitivity",
            Metric::Gini => "Gini coefficient",
            Metric::Entropy => "Entropy (complexity)",
            Metric::Infidelity => "Infidelity",
            Metric::Deletion => "Deletion",
            Metric::Insertion => "Insertion",
            Metric::PointingGame => "Pointing game",
            Metric::RelevanceMass => "Relevance mass in the mask",
            Metric::RelevanceRank => "Relevance rank in the mask",
            Metric::MaskOverlap => "Overlap with the mask (IoU)",
        }
    }

    /// Its range, and its unit where it has one.
    pub fn scale(self) -> Scale {
        match self {
            Metric::Spearman | Metric::Pearson | Metric::Cosine | Metric::Ssim => Scale::Similarity,
            Metric::TopOverlap
            | Metric::Gini
            | Metric::Deletion
            | Metric::Insertion
            | Metric::PointingGame
            | Metric::RelevanceMass
            | Metric::RelevanceRank
            | Metric::MaskOverlap => Scale::Share,
            Metric::EarthMover => Scale::Magnitude("pixels"),
            Metric::MaxSensitivity => Scale::Magnitude("relative change, 0 or more"),
            Metric::Entropy => Scale::Magnitude("nats, 0 or more"),
            Metric::Infidelity => Scale::Magnitude("squared logits, 0 or more"),
        }
    }

    /// Its unit and range, for axes and headings.
    pub fn unit(self) -> &'static str {
        match self.scale() {
            Scale::Similarity => "−1 to 1",
            Scale::Share => "0 to 1",
            Scale::Magnitude(unit) => unit,
        }
    }

    /// An explanation for a first-time reader: what the judgement measures, its range, and the good
    /// direction.
    pub fn explanation(self) -> &'static str {
        match self {
            Metric::Spearman => {
                "whether both maps put the pixels in the same order: 1 the same order, 0 \
                 unrelated, −1 the reverse; higher is nearer to the reference"
            }
            Metric::Pearson => {
                "whether the maps' values rise and fall together: 1 in proportion, 0 unrelated, −1 \
                 opposite; higher is nearer to the reference"
            }
            Metric::Cosine => {
                "the cosine of the angle between the maps taken as vectors: 1 the same direction, \
                 0 at right angles, −1 opposite; higher is nearer to the reference"
            }
            Metric::Ssim => {
                "how alike the maps look in small windows (brightness, contrast, structure): 1 \
                 equal, about 0 unrelated, at least −1; higher is nearer to the reference"
            }
            Metric::TopOverlap => {
                "of the pixels among the most salient 10 % of one map or of both, the share that \
                 is among them in both: 0 none, 1 all; 0.05 is chance; higher is nearer to the \
                 reference"
            }
            Metric::EarthMover => {
                "how many pixels the saliency has to move on average to turn one map into the \
                 other: 0 equal, no upper limit; lower is nearer to the reference"
            }
            Metric::MaxSensitivity => {
                "by what share of its own size a map changes at most when the image gets noise too \
                 weak to see (±0.02 after normalisation): 0 not at all, 1 as much as the map \
                 itself, no upper limit; lower is more stable"
            }
            Metric::Gini => {
                "how concentrated a map is: 0 all pixels count alike, towards 1 a single pixel has \
                 everything; higher is clearer"
            }
            Metric::Entropy => {
                "how spread out a map is, in nats: 0 a single pixel has everything, ln(number of \
                 pixels) all count alike (6.66 for 28 × 28); lower is clearer"
            }
            Metric::Infidelity => {
                "the mean squared error, in squared logits, of the change of the logit that the \
                 map predicts for noise in the image: 0 exact, no upper limit; lower is more \
                 faithful"
            }
            Metric::Deletion => {
                "the mean probability of the class while the most salient pixels are taken away \
                 first: 0 to 1; lower is more faithful"
            }
            Metric::Insertion => {
                "the mean probability of the class while the most salient pixels are put back \
                 first: 0 to 1; higher is more faithful"
            }
            Metric::PointingGame => {
                "the share of images whose most relevant pixel is in the mask: 0 to 1, the mask's \
                 share of the pixels is chance; higher is better placed"
            }
            Metric::RelevanceMass => {
                "the share of the relevance, |φ|, that is in the mask: 0 to 1, the mask's share of \
                 the pixels is chance; higher is better placed"
            }
            Metric::RelevanceRank => {
                "of as many of the most relevant pixels as the mask has, the share that is in it: \
                 0 to 1, the mask's share of the pixels is chance; higher is better placed"
            }
            Metric::MaskOverlap => {
                "intersection over union of the mask and as many of the most relevant pixels: 0 \
                 none in common, 1 the same; higher is better placed"
            }
        }
    }

    /// Whether it compares a map with a reference map.
    pub fn is_alignment(self) -> bool {
        use Metric::{Cosine, EarthMover, Pearson, Spearman, Ssim, TopOverlap};
        matches!(self, Spearman | Pearson | Cosine | Ssim | TopOverlap | EarthMover)
    }

    /// Whether a higher value is better.
    pub fn higher_is_better(self) -> bool {
        !matches!(
            self,
            Metric::EarthMover
                | Metric::MaxSensitivity
                | Metric::Entropy
                | Metric::Infidelity
                | Metric::Deletion
        )
    }
}

/// Means over the images with their 95 % intervals, by judgement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scores(pub BTreeMap<Metric, Interval>);

impl Scores {
    /// Adds a judgement's values, one per image.
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

    #[test]
    fn every_judgement_says_which_direction_is_good() {
        for metric in Metric::ALL {
            let direction = metric.explanation().rsplit("; ").next().unwrap();
            assert!(
                direction.starts_with(if metric.higher_is_better() {
                    "higher is "
                } else {
                    "lower is "
                }),
                "{direction}"
            );
            assert!(!metric.unit().is_empty() && !metric.title().is_empty());
        }
    }
}
