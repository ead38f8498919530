//! How good a model is (accuracy, loss, confusion matrix, per-class figures over a whole split) and
//! what it costs.

mod cost;
#[cfg(feature = "gpu")]
mod evaluation;

pub use cost::{Cost, LayerCost, LayerKind, PaperCost, PaperLayerCost};
#[cfg(feature = "gpu")]
pub use evaluation::{ClassReport, Classifier, Evaluation, Evaluator, Prediction};
