//! Σg and Σg·x̂ of every channel over some rows of a batch, g = ∂L/∂y.

use super::batch_norm::{Coefficients, for_each_value};
use crate::config::Shape;

/// [Σg, Σg·x̂] of `gradient` and `z` (NCHW) over `rows`, a channel each.
pub fn batch_norm_gradient_sums(
    z: &[f64],
    gradient: &[f64],
    shape: Shape,
    coefficients: &[Coefficients],
    rows: std::ops::Range<usize>,
) -> Vec<[f64; 2]> {
    let mut sums = vec![[0.0; 2]; shape.channels as usize];
    for_each_value(shape, rows, |channel, at| {
        let Coefficients { center, normalize, .. } = coefficients[channel];
        sums[channel][0] += gradient[at];
        sums[channel][1] += gradient[at] * (z[at] - center) * normalize;
    });
    sums
}
