//! Runs that are alike but for their seed: means with 95 % intervals.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    judgement::Interval,
    report::Quantity,
    study::statistics::{accuracy, informative, over_seeds, within},
};

/// The key over which means are taken.
pub(super) const SEED: &str = "seed";

/// A run as its settings and its figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Settings by key, as text.
    pub settings: BTreeMap<String, String>,
    /// Figures by name.
    pub metrics: BTreeMap<String, f64>,
    /// Number of test images.
    pub images: u64,
}

/// Runs that are alike but for their seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// What they have in common.
    pub settings: BTreeMap<String, String>,
    /// Number of runs that are done.
    pub runs: usize,
    /// Mean and 95 % interval of every figure; of one run only shares have one.
    pub metrics: BTreeMap<String, Interval>,
}

/// Whether more of a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// As of an accuracy.
    Higher,
    /// As of a loss, a time or a size.
    Lower,
}

impl Better {
    /// That of the figure `name`.
    pub fn of(name: &str) -> Better {
        let higher = name.contains("accuracy") || name == "images_per_second";
        if higher { Better::Higher } else { Better::Lower }
    }

    /// Whether `one` is better than `other`.
    pub fn prefers(self, one: f64, other: f64) -> bool {
        match self {
            Better::Higher => one > other,
            Better::Lower => one < other,
        }
    }
}

/// The kind of number that the figure `name` is.
pub(super) fn quantity_of(name: &str) -> Quantity {
    if name.contains("accuracy") { Quantity::Share } else { Quantity::Magnitude }
}

/// The mean of a figure over `points`, which have it.
pub(super) fn mean(name: &str, points: &[&Point]) -> Option<Interval> {
    let with: Vec<(f64, u64)> =
        points.iter().filter_map(|point| Some((*point.metrics.get(name)?, point.images))).collect();
    let values: Vec<f64> = with.iter().map(|(value, _)| *value).collect();
    let images = with.first()?.1;
    // The interval of a single share is that of its test images.
    let is_tested = name == "test_accuracy" && images > 0;
    Some(informative(match is_tested {
        true => accuracy(&values, images),
        false => within(over_seeds(&values), quantity_of(name)),
    }))
}

/// The groups of `points`, in their order. Points without figures are in none.
pub fn groups(points: &[Point]) -> Vec<Group> {
    let mut found: Vec<(BTreeMap<String, String>, Vec<&Point>)> = Vec::new();
    for point in points.iter().filter(|point| !point.metrics.is_empty()) {
        let mut settings = point.settings.clone();
        settings.remove(SEED);
        match found.iter_mut().find(|(own, _)| *own == settings) {
            Some((_, own)) => own.push(point),
            None => found.push((settings, vec![point])),
        }
    }
    found
        .into_iter()
        .map(|(settings, own)| {
            let names: std::collections::BTreeSet<&String> =
                own.iter().flat_map(|point| point.metrics.keys()).collect();
            let metrics = names
                .into_iter()
                .filter_map(|name| Some((name.clone(), mean(name, &own)?)))
                .collect();
            Group { settings, runs: own.len(), metrics }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_make_an_interval() {
        let point = |bits: &str, seed: &str, accuracy: f64| Point {
            settings: [("bits", bits), ("seed", seed)].map(|(a, b)| (a.into(), b.into())).into(),
            metrics: [("test_accuracy".to_string(), accuracy)].into(),
            images: 100,
        };
        let points =
            [point("4", "0", 0.5), point("2", "0", 0.25), point("4", "1", 0.75), Point::default()];
        let found = groups(&points);
        assert_eq!(found.len(), 2);
        let four = &found[0].metrics["test_accuracy"];
        assert_eq!((found[0].runs, four.mean), (2, 0.625));
        assert_eq!((four.low, four.high), (0.0, 1.0));
        // One seed: Wilson's interval of 25 of 100 images.
        let two = &found[1].metrics["test_accuracy"];
        assert!((two.low - 0.1755).abs() < 1e-3 && (two.high - 0.3430).abs() < 1e-3, "{two:?}");
        assert!(Better::of("test_accuracy").prefers(0.9, 0.8));
        assert!(Better::of("test_loss").prefers(0.1, 0.2));
    }
}
