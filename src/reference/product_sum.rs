//! The gradient of a factor with one pixel.

/// Σ left · right over the `pixels` pixels of every channel, NCHW.
pub fn product_sum(left: &[f64], right: &[f64], pixels: usize) -> Vec<f64> {
    let products: Vec<f64> = left.iter().zip(right).map(|(left, right)| left * right).collect();
    products.chunks_exact(pixels).map(|plane| plane.iter().sum()).collect()
}
