//! Derivatives of activations by the straight-through estimator (paper eq. (2)): those of the clip,
//! without its rounding. ∂y/∂x = 1 inside the range, else 0 (0 at 0 for a ReLU and at ±α); PACT's
//! ∂y/∂α = 1 where x ≥ α, −1 where x ≤ −α (signed), else 0 (the published rule). LSQ's ∂y/∂s =
//! round(x/s) − x/s inside, ±levels outside (0 below an unsigned range), but for its scale
//! 1/√(N·Q_p).
//!
//! LSQ+ has, of the values v of a function: ∂y/∂v = 1 inside, 0 outside; ∂y/∂s = round(v/s) − v/s
//! inside, −z below, levels − z above; ∂y/∂β = 0 inside, 1 outside; ∂y/∂s and ∂y/∂β but for the
//! same scale. On such a grid the paper's ∂y/∂s is 0 below and `levels` above, because there the
//! lowest value is β whatever s is; here it is −z·s, and z is taken as constant. Values at the
//! upper end are outside, as LSQ's; those at the lower end are inside, because a ReLU's zeros lie
//! there where z = 0, and no offset moves their level.

use super::{
    activation::{Activation, LsqPlus},
    learned_step_gradient::step_derivative,
};
use crate::config::PactKind;

/// ∂y/∂x at the activation's input `x`.
pub fn derivative(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::LsqPlus(function, own) => {
            let [by_value, ..] = derivatives(own, function.value(x));
            return by_value * function.derivative(x);
        }
        Activation::Float(function) => return function.derivative(x),
        _ => {}
    }
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
        Activation::LsqPlus(function, own) => derivatives(own, function.value(x))[1],
        _ => 0.0,
    }
}

/// ∂y/∂β at the activation's input `x`; 0 where there is no offset.
pub fn offset_derivative(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::LsqPlus(function, own) => derivatives(own, function.value(x))[2],
        _ => 0.0,
    }
}

/// LSQ+'s [∂y/∂v, ∂y/∂s, ∂y/∂β] at the value `v`.
fn derivatives(own: LsqPlus, v: f64) -> [f64; 3] {
    let (zero, (low, high)) = (own.zero_point(), own.range());
    let position = v / own.step;
    match v {
        _ if v < low => [0.0, -zero, 1.0],
        _ if v >= high => [0.0, own.levels - zero, 1.0],
        _ if own.rounding => [1.0, position.round_ties_even() - position, 0.0],
        _ => [1.0, 0.0, 0.0],
    }
}

/// (∂L/∂x, [∂L/∂α or ∂L/∂s, ∂L/∂β] before their scale) of activated values with gradients
/// `gradient` at inputs `x`.
pub fn activation_gradient(
    activation: Activation,
    x: &[f64],
    gradient: &[f64],
) -> (Vec<f64>, [f64; 2]) {
    let input = x.iter().zip(gradient).map(|(&x, g)| g * derivative(activation, x)).collect();
    let sum = |derivative: fn(Activation, f64) -> f64| {
        x.iter().zip(gradient).map(|(&x, g)| g * derivative(activation, x)).sum()
    };
    (input, [sum(learned_derivative), sum(offset_derivative)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::activation::{Function, activation};

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

    #[test]
    fn derivatives_of_functions_are_central_differences() {
        let step = 1e-6;
        for function in [
            Function::Identity,
            Function::Relu,
            Function::Relu6,
            Function::LeakyRelu(0.3),
            Function::Tanh,
            Function::Sigmoid,
            Function::Silu,
            Function::HardSwish,
        ] {
            for x in [-7.3, -2.9, -0.4, 0.1, 1.0, 2.9, 5.9, 6.1] {
                let central = (function.value(x + step) - function.value(x - step)) / (2.0 * step);
                let found = derivative(Activation::Float(function), x);
                assert!((found - central).abs() < 1e-8, "{function:?} {x}");
            }
            for &kink in function.kinks() {
                let [below, above] =
                    [-step, step].map(|step| derivative(Activation::Float(function), kink + step));
                assert!((below - above).abs() > 0.4, "{function:?} {kink}");
            }
        }
        let at = |function, x| derivative(Activation::Float(function), x);
        assert_eq!([0.0, 6.0].map(|x| at(Function::Relu6, x)), [0.0; 2]);
        assert_eq!([-3.0, 3.0].map(|x| at(Function::HardSwish, x)), [0.0, 1.0]);
        assert_eq!(at(Function::LeakyRelu(0.3), 0.0), 0.3);
    }

    /// Without rounding, LSQ+'s derivatives by x and s are those of the clip at z levels, whose
    /// number a small move of s leaves; those by β are of the paper's clip, at β and β + levels·s.
    #[test]
    fn derivatives_of_an_offset_are_those_of_the_published_clip() {
        let small = 1e-4;
        let (step, levels) = (0.4, 7.0);
        for function in [Function::Identity, Function::Relu] {
            for zero in [0.0, 2.0, 7.0] {
                // A little beside the whole level.
                let offset = -zero * step - 0.05 * (zero - 2.0);
                let of = |step| {
                    let own = LsqPlus { step, offset, levels, rounding: false };
                    assert_eq!(own.zero_point(), zero);
                    Activation::LsqPlus(function, own)
                };
                let published =
                    |x: f64, offset: f64| function.value(x).max(offset).min(offset + levels * step);
                for x in [-4.1, -1.3, -0.79, -0.3, 0.27, 1.1, 1.99, 2.79, 3.1] {
                    let central = |low: f64, high: f64| (high - low) / (2.0 * small);
                    let by_x =
                        central(activation(of(step), x - small), activation(of(step), x + small));
                    let by_s =
                        central(activation(of(step - small), x), activation(of(step + small), x));
                    let by_offset = central(
                        published(x, -zero * step - small),
                        published(x, -zero * step + small),
                    );
                    let what = format!("{function:?} {zero} {x}");
                    assert!((derivative(of(step), x) - by_x).abs() < 1e-9, "{what}");
                    assert!((learned_derivative(of(step), x) - by_s).abs() < 1e-9, "{what}");
                    // A ReLU's zeros are at an end of the range where z is 0 or all levels.
                    let ends = [-zero * step, (levels - zero) * step];
                    if !ends.contains(&function.value(x)) {
                        assert!(
                            (offset_derivative(of(step), x) - by_offset).abs() < 1e-9,
                            "{what}"
                        );
                    }
                }
            }
        }
        let own = LsqPlus { step, offset: 0.0, levels, rounding: true };
        let relu = Activation::LsqPlus(Function::Relu, own);
        assert_eq!([-1.0, 0.0, 0.3].map(|x| offset_derivative(relu, x)), [0.0; 3]);
        assert_eq!([-1.0, 0.0, 0.3].map(|x| derivative(relu, x)), [0.0, 0.0, 1.0]);
        let edge = levels * step;
        assert_eq!([derivative(relu, edge), learned_derivative(relu, edge)], [0.0, levels]);
        assert_eq!(offset_derivative(relu, edge), 1.0);
    }
}
