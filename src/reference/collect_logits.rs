//! Logits of a chunk at their images' places, with the classes they predict.

use super::logits::predicted_class;

/// The class that each row of `logits`, [image, class], predicts: the first of the highest.
pub fn collect_logits(logits: &[f64], classes: usize) -> Vec<usize> {
    logits.chunks_exact(classes).map(predicted_class).collect()
}
