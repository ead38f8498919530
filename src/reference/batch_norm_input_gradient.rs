//! ∂L/∂z = scale·(g − Σg/N − x̂·Σg·x̂/N); with running statistics both means are 0.

use super::batch_norm::Coefficients;
use crate::config::Shape;

/// ∂L/∂z from `gradient` = ∂L/∂y and `z`, NCHW.
pub fn batch_norm_input_gradient(
    z: &[f64],
    gradient: &[f64],
    shape: Shape,
    coefficients: &[Coefficients],
    means: &[[f64; 2]],
) -> Vec<f64> {
    let channel = |index: usize| index / shape.pixels() as usize % shape.channels as usize;
    let of = |index: usize| {
        let Coefficients { center, normalize, scale, .. } = coefficients[channel(index)];
        let [mean, product] = means[channel(index)];
        scale * (gradient[index] - mean - (z[index] - center) * normalize * product)
    };
    (0..z.len()).map(of).collect()
}
