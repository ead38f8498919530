//! How good a model is: accuracy, loss, confusion matrix, per-class figures, over a whole split.

mod evaluation;

pub use evaluation::{ClassReport, Evaluation, Evaluator, Prediction};
