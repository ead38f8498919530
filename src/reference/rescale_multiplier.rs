//! DeepLIFT's rescale rule at an activation.

use super::{activation::Activation, activation_gradient::derivative};

/// The factor of a multiplier where the activation's input is `x` and gives `y`, and the baseline's
/// is `reference[0]` and gives `reference[1]`.
pub fn rescale_multiplier(activation: Activation, [x, y]: [f64; 2], reference: [f64; 2]) -> f64 {
    if (x - reference[0]).abs() < 1e-10 {
        derivative(activation, x)
    } else {
        (y - reference[1]) / (x - reference[0])
    }
}
