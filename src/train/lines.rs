//! The lines of `metrics.jsonl`.

use crate::quant::QuantizerState;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One step: values before its update, means over the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// From 1.
    pub step: u64,
    /// ce + λ·kl.
    pub loss: f64,
    /// Cross entropy.
    pub ce: f64,
    /// D_KL(p(X) ‖ p(X̃)); 0 without SGT.
    pub kl: f64,
    /// Share of the batch classified correctly, 0..=1.
    pub accuracy: f64,
    /// Learning rate.
    pub lr: f64,
    /// What the quantizers are, at some of the steps: more of the early ones, about a hundred of a
    /// long run.
    #[serde(flatten, default)]
    pub quantizers: QuantizerState,
}

/// One epoch: means over its training images, and the test set after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// From 1.
    pub epoch: u64,
    /// Steps taken so far.
    pub step: u64,
    /// train_ce + λ·train_kl.
    pub train_loss: f64,
    /// Mean cross entropy.
    pub train_ce: f64,
    /// Mean KL term.
    pub train_kl: f64,
    /// Share classified correctly while training.
    pub train_accuracy: f64,
    /// Share of the test images classified correctly after the epoch.
    pub test_accuracy: f64,
    /// Mean cross entropy on them.
    pub test_loss: f64,
    /// The same on the held-out part of the training set, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation_accuracy: Option<f64>,
    /// Mean cross entropy on it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation_loss: Option<f64>,
    /// Share of every batch's images that is to be masked, where the SGT variant adapts it: before
    /// it is rounded to whole images.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub masked_share: Option<f64>,
    /// PACT's α after the epoch, by activation.
    pub alpha: BTreeMap<String, f32>,
    /// Learned steps (LSQ) after the epoch, by layer or activation; the mean over output channels
    /// that have their own.
    #[serde(default)]
    pub step_size: BTreeMap<String, f32>,
    /// LSQ+'s offset after the epoch, by activation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub offset: BTreeMap<String, f32>,
    /// Lowest and highest quantized weight of every quantized layer after the epoch; the widest of
    /// output channels that have their own.
    #[serde(default)]
    pub weight_range: BTreeMap<String, [f32; 2]>,
    /// α's and learned steps that are at the floor under which none falls, by parameter; of steps
    /// an output channel, one that is.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub at_floor: Vec<String>,
    /// Layers whose weights and biases all had a gradient of exactly 0 in the epoch's last step.
    /// Not in the file: a run that was stopped between that step and the line does not know it.
    #[serde(skip)]
    pub without_gradient: Vec<String>,
    /// Training time of the epoch, evaluation apart.
    pub seconds: f64,
    /// Training images a second.
    pub images_per_second: f64,
}

/// A step that did not count: its numbers were NaN or infinite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SkippedLine {
    /// From 1.
    pub step: u64,
    /// What was not a finite number, and where.
    pub reason: String,
    /// Learning rate that it would have had.
    pub lr: f64,
}

/// A line with its kind.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(super) enum Line<'a> {
    Step(&'a StepLine),
    Epoch(&'a EpochLine),
    Skipped(&'a SkippedLine),
}
