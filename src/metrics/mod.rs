//! How good a model is (accuracy, loss, confusion matrix, per-class figures over a whole split) and
//! what it costs.

mod cost;
mod evaluation;

pub use cost::{Cost, LayerCost, LayerKind, PaperCost, PaperLayerCost};
pub use evaluation::{ClassReport, Classifier, Evaluation, Evaluator, Prediction};
