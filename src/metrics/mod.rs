//! The quality of a model (accuracy, loss, confusion matrix, per-class figures over a whole split)
//! and its cost.

mod cost;
#[cfg(feature = "gpu")]
mod evaluation;

pub use cost::{Cost, LayerCost, LayerKind, PaperCost, PaperLayerCost};
#[cfg(feature = "gpu")]
pub use evaluation::{ClassReport, Classifier, Evaluation, Evaluator, Prediction};
