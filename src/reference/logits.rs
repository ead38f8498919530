//! Softmax of one image's logits.

/// log softmax of `logits`.
pub fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = logits.iter().map(|z| (z - highest).exp()).sum::<f64>().ln();
    logits.iter().map(|z| z - highest - log_sum).collect()
}

/// The class of the highest logit, the first of equals.
pub fn predicted_class(logits: &[f64]) -> usize {
    (0..logits.len()).fold(0, |best, class| if logits[class] > logits[best] { class } else { best })
}
