//! Score-CAM's weights of a layer's channels.

/// `[channel]`: the softmax of the increases of `scores` over the score of the `baseline`.
pub fn score_cam_weights(scores: &[f64], baseline: f64) -> Vec<f64> {
    let increases: Vec<f64> = scores.iter().map(|score| score - baseline).collect();
    let highest = increases.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = increases.iter().map(|increase| (increase - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
