//! What the quantizers of a network are at one moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the quantizers of a network are at one moment; empty without any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QuantizerState {
    /// PACT's α, by activation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub alpha: BTreeMap<String, f32>,
    /// Learned steps (LSQ), by layer or activation; the mean over output channels that have their
    /// own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub step_size: BTreeMap<String, f32>,
    /// LSQ+'s offset, by activation.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub offset: BTreeMap<String, f32>,
    /// Lowest and highest quantized weight of every quantized layer; the widest of output channels
    /// that have their own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub weight_range: BTreeMap<String, [f32; 2]>,
}
