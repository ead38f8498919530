//! What tells one model of a study from another.

use serde::{Deserialize, Serialize};

/// How a model comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Trained without quantization.
    Float,
    /// A float model, trained on as long as the quantized ones are and by the same settings,
    /// without quantization: their control.
    FloatContinued,
    /// Trained with fake quantization.
    QuantizationAware,
    /// A float model, quantized after its training.
    PostTraining,
}

/// What tells one model of a study from another, its seed apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// Data set by name.
    pub dataset: String,
    /// Trained with Saliency Guided Training.
    pub sgt: bool,
    /// How it came to be.
    pub stage: Stage,
    /// `32`, or the widths as `--bits` takes them.
    pub bits: String,
}

impl Variant {
    /// The model as a table names it: `float`, `float continued`, `(4,2)`, `(4,2) PTQ`.
    pub fn label(&self) -> String {
        match self.stage {
            Stage::Float => "float".into(),
            Stage::FloatContinued => "float continued".into(),
            Stage::QuantizationAware => format!("({})", self.bits),
            Stage::PostTraining => format!("({}) PTQ", self.bits),
        }
    }

    /// As [`Self::label`], saying how it was trained.
    pub fn full_label(&self) -> String {
        format!("{}{}", self.label(), if self.sgt { ", SGT" } else { ", plain" })
    }

    /// Whether all its layers are float.
    pub fn is_float(&self) -> bool {
        matches!(self.stage, Stage::Float | Stage::FloatContinued)
    }
}
