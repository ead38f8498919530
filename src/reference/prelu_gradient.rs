//! What comes back through a PReLU, by the rules of other functions.

use super::prelu::{prelu_of, slope_of};

/// The derivative at `x`: at 0 the slope, as PyTorch has it.
pub fn derivative(x: f64, slope: f64) -> f64 {
    if x > 0.0 { 1.0 } else { slope }
}

/// DeepLIFT's factor at `x` with the baseline `base`.
pub fn rescaled(x: f64, base: f64, slope: f64) -> f64 {
    match x - base {
        difference if difference.abs() < 1e-10 => derivative(x, slope),
        difference => (prelu_of(x, slope) - prelu_of(base, slope)) / difference,
    }
}

/// ∂L/∂x from ∂L/∂y of NCHW values with `pixels` pixels a channel.
pub fn prelu_gradient(x: &[f64], slopes: &[f64], pixels: usize, gradient: &[f64]) -> Vec<f64> {
    let factor =
        |(at, &x): (usize, &f64)| derivative(x, slopes[slope_of(slopes.len(), pixels, at)]);
    x.iter().enumerate().map(factor).zip(gradient).map(|(own, gradient)| own * gradient).collect()
}
