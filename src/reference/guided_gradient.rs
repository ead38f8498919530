//! Guided back-propagation through an activation.

use super::{activation::Activation, activation_gradient::derivative};

/// What comes out at the activation's input `x` where `gradient` comes in.
pub fn guided_gradient(activation: Activation, x: f64, gradient: f64) -> f64 {
    (derivative(activation, x) * gradient).max(0.0)
}
