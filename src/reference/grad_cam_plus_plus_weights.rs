//! Grad-CAM++'s weights of a layer's channels.

/// `[channel]`: Σ α·max(g, 0) over the pixels with α = g² / (2 g² + Σ A · g³), 0 where that divides
/// by 0, of one image's `layer` A and its `gradients` g, [channel, pixel].
pub fn grad_cam_plus_plus_weights(layer: &[f64], gradients: &[f64], pixels: usize) -> Vec<f64> {
    let weight = |(values, gradients): (&[f64], &[f64])| {
        let total: f64 = values.iter().sum();
        let term = |&gradient: &f64| {
            let denominator = 2.0 * gradient.powi(2) + total * gradient.powi(3);
            let alpha = if denominator == 0.0 { 0.0 } else { gradient.powi(2) / denominator };
            alpha * gradient.max(0.0)
        };
        gradients.iter().map(term).sum()
    };
    layer.chunks_exact(pixels).zip(gradients.chunks_exact(pixels)).map(weight).collect()
}
