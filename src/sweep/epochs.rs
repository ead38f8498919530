//! Figures of a run's epochs, by name.

use crate::train::EpochLine;

/// Those of the last epoch, and the best ones, that results and lists of runs have alike.
pub(super) fn figures_of(
    epochs: &[EpochLine],
) -> impl Iterator<Item = (&'static str, Option<f64>)> {
    let best = epochs.iter().filter_map(|line| line.validation_accuracy).reduce(f64::max);
    let last = epochs.last().map(|last| {
        [
            ("train_loss", Some(last.train_loss)),
            ("train_kl", Some(last.train_kl)),
            ("train_distill", last.train_distill),
            ("train_align", last.train_align),
            ("train_accuracy", Some(last.train_accuracy)),
            ("validation_accuracy", last.validation_accuracy),
            ("validation_loss", last.validation_loss),
            ("best_validation_accuracy", best),
            ("images_per_second", Some(last.images_per_second)),
        ]
    });
    last.into_iter().flatten()
}

/// The figures that are numbers.
pub(super) fn finite(
    figures: impl Iterator<Item = (&'static str, Option<f64>)>,
) -> impl Iterator<Item = (String, f64)> {
    figures.filter_map(|(name, value)| Some((name.to_string(), value.filter(|v| v.is_finite())?)))
}
