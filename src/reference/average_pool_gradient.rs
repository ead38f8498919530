//! Gradient of average-pooling: every output's gradient goes to its window's pixels in equal
//! shares; overlapping windows add up.

use super::average_pool::windows;
use crate::config::{AveragePool, Shape};

/// ∂L/∂input of `images` images of `shape`, [images, channels, height, width].
pub fn average_pool_gradient(
    images: usize,
    shape: Shape,
    pool: AveragePool,
    output_gradient: &[f64],
) -> Vec<f64> {
    let mut gradient = vec![0.0; images * shape.elements() as usize];
    for ((window, averaged), value) in windows(images, shape, pool).iter().zip(output_gradient) {
        window.iter().for_each(|&at| gradient[at] += value / averaged);
    }
    gradient
}
