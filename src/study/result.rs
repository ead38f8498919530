//! The stored result of one model of a study.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    plan::{Plan, PlannedRun},
    timing::Timing,
    variant::Variant,
};
use crate::{
    Error, Result,
    judgement::{LayerAgreement, number},
    quant::QuantizerState,
};

/// File with the result in a run's folder.
pub const RESULT_FILE: &str = "result.json";
/// File with the reason of a failure in a run's folder.
pub const FAILURE_FILE: &str = "failure.txt";
/// The program's version, with its commit if `SALIQ_COMMIT` was set when the program was built:
/// `0.1.0 (commit 68ba53b)`.
pub fn program_version() -> String {
    let commit =
        option_env!("SALIQ_COMMIT").map_or(String::new(), |commit| format!(" (commit {commit})"));
    format!("{}{commit}", env!("CARGO_PKG_VERSION"))
}

/// Largest file of a result, in bytes.
const MAX_RESULT: u64 = 64 << 20;
/// Longest reason of a failure, in bytes.
const MAX_FAILURE: u64 = 64 << 10;

/// Figures of one model. They contain no date and no duration, so that the same plan on the same
/// adapter gives the same file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelResult {
    /// The model's variant.
    pub variant: Variant,
    /// Seed of the training.
    pub seed: u64,
    /// Name of the model's folder.
    pub folder: String,
    /// Version of the program that made the model, with its commit if known.
    pub version: String,
    /// Adapter and driver on which the model was made.
    pub adapter: String,
    /// Share of the test images classified correctly.
    pub accuracy: f64,
    /// One character per test image: `1` if it is classified correctly, else `0`.
    pub correct: String,
    /// Mean cross entropy over the test images.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// Number of test images.
    pub images: u64,
    /// Final α, by activation.
    pub alpha: BTreeMap<String, f32>,
    /// (step, D_KL between the predictions for clean and masked images) during training; empty
    /// without Saliency Guided Training.
    pub kl: Vec<(f64, f64)>,
    /// (step, state of the quantizers) at some steps of the training.
    pub quantizers: Vec<(u64, QuantizerState)>,
    /// Cost of a forward pass.
    pub cost: ModelCost,
    /// By attribution method.
    pub methods: BTreeMap<String, MethodResult>,
    /// Accuracy with features removed in random order: (share removed, accuracy).
    pub random_drop: Vec<(f64, f64)>,
    /// As [`MethodResult::drop_areas`], in random order.
    #[serde(deserialize_with = "numbers")]
    pub random_areas: Vec<f64>,
    /// As [`MethodResult::retrained`], in random order; only for float models.
    pub random_retrained: Vec<(f64, f64)>,
}

/// Cost of a forward pass of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModelCost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Σ MAC · b_w · b_a.
    pub bit_operations: u64,
    /// The paper's measure for the executed operations.
    pub weighted_operations: u64,
    /// The paper's own count; `None` for networks other than the paper's.
    pub paper_operations: Option<u64>,
    /// Bytes of the packed weights.
    pub weight_bytes: u64,
}

/// Figures of one attribution method of one model; vectors have one value per judged image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MethodResult {
    /// (share of the most salient features removed, accuracy).
    pub drop: Vec<(f64, f64)>,
    /// Area under that curve: lower is more faithful.
    pub drop_area: f64,
    /// Area under the curve of each image, which is classified correctly (1) or not (0) at each
    /// share. The mean of these areas is `drop_area`.
    #[serde(deserialize_with = "numbers")]
    pub drop_areas: Vec<f64>,
    /// Sparseness (Gini index): higher is clearer.
    #[serde(deserialize_with = "numbers")]
    pub gini: Vec<f64>,
    /// Complexity (entropy): lower is clearer.
    #[serde(deserialize_with = "numbers")]
    pub entropy: Vec<f64>,
    /// Max-sensitivity: lower is more stable.
    #[serde(deserialize_with = "numbers")]
    pub sensitivity: Vec<f64>,
    /// Spearman correlation with the control's map; empty for a model without a control.
    #[serde(deserialize_with = "numbers")]
    pub spearman: Vec<f64>,
    /// Structural similarity with the control's map.
    #[serde(deserialize_with = "numbers")]
    pub ssim: Vec<f64>,
    /// Overlap (IoU) of the top 10 % of both.
    #[serde(deserialize_with = "numbers")]
    pub overlap: Vec<f64>,
    /// Share of the maps' values that are exactly 0.
    #[serde(deserialize_with = "number")]
    pub zeros: f64,
    /// Agreement of the maps with the maps after the parameters of a layer and of all layers behind
    /// it are randomised.
    pub randomisation: Vec<LayerAgreement>,
    /// (share of the most salient features removed, accuracy of a network that was trained again
    /// without them).
    pub retrained: Vec<(f64, f64)>,
}

/// Reads numbers from JSON, where a number that is not finite is null.
fn numbers<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

impl ModelResult {
    /// Reads the result in `folder` if it belongs to `run`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Format`] for a result that cannot be read.
    pub fn read(folder: &Path, run: &PlannedRun) -> Result<Option<ModelResult>> {
        let path = folder.join(RESULT_FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = crate::files::read_bounded(&path, MAX_RESULT)?;
        let result: ModelResult = serde_json::from_slice(&bytes)
            .map_err(|error| Error::format(&path, error.to_string()))?;
        Ok((result.folder == run.folder
            && result.variant == run.variant
            && result.seed == run.seed)
            .then_some(result))
    }

    /// Writes the result into `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Error::Model(error.to_string()))?;
        crate::files::write_atomically(&folder.join(RESULT_FILE), text.as_bytes())
    }
}

/// The existing results of a study, and the runs without one.
pub struct Collected {
    /// Results in the plan's order.
    pub results: Vec<ModelResult>,
    /// Runs without a result, with the reason of a failure if there was one.
    pub missing: Vec<(PlannedRun, Option<String>)>,
    /// The first and the last day on which a result was made, in UTC; one entry if they are equal,
    /// none if they are unknown.
    pub dates: Vec<String>,
}

impl Collected {
    /// Reads all results in the study's folder `root`.
    ///
    /// # Errors
    /// As [`ModelResult::read`].
    pub fn read(root: &Path, plan: &Plan) -> Result<Collected> {
        let mut collected =
            Collected { results: Vec::new(), missing: Vec::new(), dates: Vec::new() };
        for (index, run) in plan.runs.iter().enumerate() {
            let folder = plan.folder(root, index);
            match ModelResult::read(&folder, run)? {
                Some(result) => {
                    collected.results.push(result);
                    collected.dates.extend(Timing::read(&folder).and_then(|timing| timing.date));
                }
                None => {
                    let reason =
                        crate::files::read_bounded(&folder.join(FAILURE_FILE), MAX_FAILURE).ok();
                    let line =
                        reason.map(|bytes| crate::plain(String::from_utf8_lossy(&bytes).trim()));
                    collected.missing.push((run.clone(), line));
                }
            }
        }
        collected.dates.sort();
        collected.dates.dedup();
        if collected.dates.len() > 2 {
            collected.dates.drain(1..collected.dates.len() - 1);
        }
        Ok(collected)
    }
}
