//! Mean over the pixels of every channel.

/// `[channel]` of one image's `values`, [channel, pixel].
pub fn channel_means(values: &[f64], pixels: usize) -> Vec<f64> {
    values.chunks_exact(pixels).map(|channel| channel.iter().sum::<f64>() / pixels as f64).collect()
}
