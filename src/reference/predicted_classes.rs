//! Predicted classes.

use super::logits::predicted_class;

/// The class of the highest logit of every image, the first of equals.
pub fn predicted_classes(logits: &[f64], classes: usize) -> Vec<u32> {
    logits.chunks_exact(classes).map(|row| predicted_class(row) as u32).collect()
}
