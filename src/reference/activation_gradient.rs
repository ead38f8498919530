//! Derivatives of activations by the straight-through estimator (paper eq. (2)): those of the clip,
//! without its rounding. ∂y/∂x = 1 inside the range, else 0 (0 at 0 for a ReLU and at ±α); PACT's
//! ∂y/∂α = 1 where x ≥ α, −1 where x ≤ −α (signed), else 0 (the published rule). LSQ's ∂y/∂s =
//! round(x/s) − x/s inside, ±levels outside (0 below an unsigned range), but for its scale
//! 1/√(N·Q_p).

use super::{activation::Activation, learned_step_gradient::step_derivative};
use crate::config::PactKind;

/// ∂y/∂x at the activation's input `x`.
pub fn derivative(activation: Activation, x: f64) -> f64 {
    let (low, high) = activation.range();
    if x > low && x < high { 1.0 } else { 0.0 }
}

/// ∂y/∂α or ∂y/∂s at the activation's input `x`; 0 where nothing is learned.
pub fn learned_derivative(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Pact { alpha, .. } if x >= alpha => 1.0,
        Activation::Pact { kind: PactKind::Signed, alpha, .. } if x <= -alpha => -1.0,
        Activation::Lsq { kind: PactKind::Signed, step, levels } => {
            step_derivative(x, step, (-levels, levels))
        }
        Activation::Lsq { step, levels, .. } => step_derivative(x, step, (0.0, levels)),
        _ => 0.0,
    }
}

/// (∂L/∂x, ∂L/∂α or ∂L/∂s before its scale) of activated values with gradients `gradient` at inputs
/// `x`.
pub fn activation_gradient(activation: Activation, x: &[f64], gradient: &[f64]) -> (Vec<f64>, f64) {
    let input = x.iter().zip(gradient).map(|(&x, g)| g * derivative(activation, x)).collect();
    let learned = x.iter().zip(gradient).map(|(&x, g)| g * learned_derivative(activation, x)).sum();
    (input, learned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::activation::activation;

    /// Away from the range's ends the derivatives are central differences of the unrounded clip.
    #[test]
    fn derivatives_are_those_of_the_unrounded_clip() {
        let step = 1e-3;
        for kind in [PactKind::Unsigned, PactKind::Signed, PactKind::SignedAfterRelu] {
            for x in [-2.0, -1.31, -0.5, 0.2, 0.9, 1.29, 1.31, 4.0] {
                let of = |alpha| Activation::Pact { kind, alpha, levels: None };
                let by_x =
                    (activation(of(1.3), x + step) - activation(of(1.3), x - step)) / (2.0 * step);
                let by_alpha =
                    (activation(of(1.3 + step), x) - activation(of(1.3 - step), x)) / (2.0 * step);
                assert!((derivative(of(1.3), x) - by_x).abs() < 1e-9, "{kind:?} {x}");
                assert!((learned_derivative(of(1.3), x) - by_alpha).abs() < 1e-9, "{kind:?} {x}");
            }
        }
        assert_eq!(derivative(Activation::Relu, 0.0), 0.0);
    }
}
