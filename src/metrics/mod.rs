//! How good a model is: accuracy, loss, confusion matrix, per-class figures, over a whole split.

mod cost;
mod evaluation;

pub use cost::{Cost, LayerCost};
pub use evaluation::{ClassReport, Evaluation, Evaluator, Prediction};
