//! The lines of `metrics.jsonl`.

use crate::quant::QuantizerState;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One step: values before its update, as means over the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLine {
    /// Number of the step, from 1.
    pub step: u64,
    /// ce + λ·kl + the weighted terms of a teacher.
    pub loss: f64,
    /// Cross entropy.
    pub ce: f64,
    /// D_KL(p(X) ‖ p(X̃)); 0 without SGT.
    pub kl: f64,
    /// D_KL(teacher's predictions ‖ the network's), where it has a weight.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub distill: Option<f64>,
    /// 1 − cosine of the gradient maps of the network and the teacher, where it has a weight.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub align: Option<f64>,
    /// Share of the batch classified correctly, 0..=1.
    pub accuracy: f64,
    /// Learning rate.
    pub lr: f64,
    /// State of the quantizers, at some of the steps: at most of the early ones, and at about a
    /// hundred of a long run.
    #[serde(flatten, default)]
    pub quantizers: QuantizerState,
}

/// One epoch: means over its training images, and the results on the test set after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// Number of the epoch, from 1.
    pub epoch: u64,
    /// Steps taken so far.
    pub step: u64,
    /// train_ce + λ·train_kl + the weighted terms of a teacher.
    pub train_loss: f64,
    /// Mean cross entropy.
    pub train_ce: f64,
    /// Mean KL term.
    pub train_kl: f64,
    /// Mean divergence from the teacher's predictions, where it has a weight.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_distill: Option<f64>,
    /// Mean distance of the gradient maps from the teacher's, where it has a weight.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_align: Option<f64>,
    /// Share of training images classified correctly during the epoch.
    pub train_accuracy: f64,
    /// Share of the test images classified correctly after the epoch.
    pub test_accuracy: f64,
    /// Mean cross entropy on them.
    pub test_loss: f64,
    /// Share of the validation images classified correctly, if there is a validation set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation_accuracy: Option<f64>,
    /// Mean cross entropy on the validation images.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub validation_loss: Option<f64>,
    /// Share of the images of every batch to be masked, before rounding to whole images, if the SGT
    /// variant adapts it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub masked_share: Option<f64>,
    /// PACT's α after the epoch, by activation.
    pub alpha: BTreeMap<String, f32>,
    /// Learned steps (LSQ) after the epoch, by layer or activation; for one step per output
    /// channel, their mean.
    #[serde(default)]
    pub step_size: BTreeMap<String, f32>,
    /// LSQ+'s offset after the epoch, by activation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub offset: BTreeMap<String, f32>,
    /// Lowest and highest quantized weight of every quantized layer after the epoch; for one range
    /// per output channel, the widest.
    #[serde(default)]
    pub weight_range: BTreeMap<String, [f32; 2]>,
    /// Names of the α's and learned steps that are at their lower bound. With one step per output
    /// channel, the name appears if any of them is.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub at_floor: Vec<String>,
    /// Layers whose weights and biases all had a gradient of exactly 0 in the epoch's last step. It
    /// is not in the file, because a run that was stopped between that step and the line does not
    /// know it.
    #[serde(skip)]
    pub without_gradient: Vec<String>,
    /// Training time of the epoch in seconds, without evaluation.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
}

/// A step that did not count because its numbers were NaN or infinite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct SkippedLine {
    /// Number of the step, from 1.
    pub step: u64,
    /// The number that was not finite, and where it occurred.
    pub reason: String,
    /// Learning rate of the skipped step.
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
