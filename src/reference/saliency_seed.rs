//! Where back-propagation to the input starts (algorithm 1, step 1).

use super::logits::{log_softmax, predicted_class};

/// The scalar whose gradient is taken; the value of the pipeline constant TARGET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// log softmax at the label.
    LogSoftmaxLabel = 0,
    /// The logit at the label.
    LogitLabel = 1,
    /// The logit at the predicted class.
    LogitPredicted = 2,
    /// log softmax at the predicted class.
    LogSoftmaxPredicted = 3,
}

/// Gradient of `target` with respect to one image's logits.
pub fn saliency_seed(target: Target, logits: &[f64], label: usize) -> Vec<f64> {
    let class = match target {
        Target::LogSoftmaxLabel | Target::LogitLabel => label,
        Target::LogitPredicted | Target::LogSoftmaxPredicted => predicted_class(logits),
    };
    let log_p = log_softmax(logits);
    (0..logits.len())
        .map(|c| {
            let hit = f64::from(u8::from(c == class));
            match target {
                Target::LogitLabel | Target::LogitPredicted => hit,
                Target::LogSoftmaxLabel | Target::LogSoftmaxPredicted => hit - log_p[c].exp(),
            }
        })
        .collect()
}
