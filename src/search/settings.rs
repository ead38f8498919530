//! Settings of a search.

use serde::Serialize;

use super::{costs::Budget, probe::Measured};
use crate::{config::QuantizationConfig, post_training::Calibration};

/// What the bits are chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The right class.
    Accuracy,
    /// The float network's maps.
    Explanation,
    /// The sum of accuracy and rank correlation.
    #[default]
    Both,
}

impl Objective {
    /// Shares of alignment in the predicted damage that candidates are drawn by, the main one
    /// first; the rest is loss.
    pub fn shares(self) -> &'static [f64] {
        match self {
            Objective::Accuracy => &[0.0, 0.25],
            Objective::Explanation => &[1.0, 0.75],
            Objective::Both => &[0.5, 0.25, 0.75],
        }
    }

    /// What a measured candidate is worth; more is better. Of equal accuracies the lower loss is.
    pub fn score(self, measured: &Measured) -> f64 {
        let accuracy = measured.accuracy - 1e-3 * measured.loss.min(1e3);
        match self {
            Objective::Accuracy => accuracy,
            Objective::Explanation => measured.alignment,
            Objective::Both => accuracy + measured.alignment,
        }
    }
}

/// Settings of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchSettings {
    /// The widths to choose from.
    pub widths: Vec<u32>,
    /// One width for weights and activations of a layer.
    pub tied: bool,
    /// The most that the chosen bits may cost.
    pub budget: Budget,
    /// What they are chosen for.
    pub objective: Objective,
    /// Quantizers; the bits are not read.
    pub quantization: QuantizationConfig,
    /// How clipping thresholds are found.
    pub calibration: Calibration,
    /// Training images for losses and accuracies.
    pub images: u32,
    /// The first of them, whose maps are compared.
    pub map_images: u32,
    /// The first of them, on which activations of candidates are calibrated.
    pub calibration_images: u32,
    /// Most candidates that are measured for a budget.
    pub candidates: usize,
    /// Budgets of the frontier in each unit, beside the one that is asked for.
    pub levels: usize,
    /// Random assignments at the budget that is asked for.
    pub random: usize,
    /// Seed of these.
    pub seed: u64,
}
