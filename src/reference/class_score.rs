//! The score of a sample's class.

use super::logits::log_softmax;

/// `kind` 0: the logit of `class`, 1: its log-probability, 2: its probability.
pub fn class_score(kind: u32, logits: &[f64], class: usize) -> f64 {
    match kind {
        1 => log_softmax(logits)[class],
        2 => log_softmax(logits)[class].exp(),
        _ => logits[class],
    }
}
