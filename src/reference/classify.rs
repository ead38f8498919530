//! Evaluation of one image.

use super::logits::{log_softmax, predicted_class};

/// (cross entropy, predicted class as a number, its probability, the label's probability).
pub fn classify(logits: &[f64], label: usize) -> [f64; 4] {
    let log_p = log_softmax(logits);
    let predicted = predicted_class(logits);
    [-log_p[label], predicted as f64, log_p[predicted].exp(), log_p[label].exp()]
}
