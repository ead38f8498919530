//! The properties that distinguish the models of a study.

use serde::{Deserialize, Serialize};

/// How a model is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Trained without quantization.
    Float,
    /// A float model that is trained for as many further steps as the quantized models, with the
    /// same settings but without quantization: their control.
    FloatContinued,
    /// Trained with fake quantization.
    QuantizationAware,
    /// A float model that is quantized after its training.
    PostTraining,
}

/// The properties that distinguish the models of a study, except the seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Variant {
    /// Data set by name.
    pub dataset: String,
    /// Whether it is trained with Saliency Guided Training.
    pub sgt: bool,
    /// How the model is made.
    pub stage: Stage,
    /// `32`, or the bits in the format of `--bits`.
    pub bits: String,
}

impl Variant {
    /// The model's name in a table: `float`, `float continued`, `(4,2)`, `(4,2) PTQ`.
    pub fn label(&self) -> String {
        match self.stage {
            Stage::Float => "float".into(),
            Stage::FloatContinued => "float continued".into(),
            Stage::QuantizationAware => format!("({})", self.bits),
            Stage::PostTraining => format!("({}) PTQ", self.bits),
        }
    }

    /// As [`Self::label`], with the kind of training.
    pub fn full_label(&self) -> String {
        format!("{}{}", self.label(), if self.sgt { ", SGT" } else { ", plain" })
    }

    /// Whether all layers are float.
    pub fn is_float(&self) -> bool {
        matches!(self.stage, Stage::Float | Stage::FloatContinued)
    }
}
