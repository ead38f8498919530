//! The gradient of a batch norm's scale with running statistics, where its input is a direction.

use super::batch_norm_inference::Factor;
use crate::config::Shape;

/// Σ g · z / σ over images and pixels, a channel each; `direction` z and `gradient` g are [image,
/// channel, row, column].
pub fn batch_norm_scale_gradient(
    shape: Shape,
    direction: &[f64],
    gradient: &[f64],
    factors: &[Factor],
) -> Vec<f64> {
    let (pixels, channels) = (shape.pixels() as usize, shape.channels as usize);
    let mut sums = vec![0.0; channels];
    for (at, (z, g)) in direction.iter().zip(gradient).enumerate() {
        sums[at / pixels % channels] += z * g;
    }
    sums.iter().zip(factors).map(|(sum, factor)| sum * factor.inverse_deviation).collect()
}
