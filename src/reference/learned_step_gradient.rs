//! Gradient of LSQ's step (Esser et al. 2020), by the published rule: ∂ŵ/∂s = round(w/s) − w/s
//! inside the levels −Q_n … Q_p, −Q_n or Q_p at their ends and beyond; summed over the N weights of
//! a step and scaled by 1/√(N·Q_p).

/// ∂q(x)/∂s for levels from `low` to `high`.
pub fn step_derivative(x: f64, step: f64, (low, high): (f64, f64)) -> f64 {
    let position = x / step;
    if position <= low {
        low
    } else if position >= high {
        high
    } else {
        position.round_ties_even() - position
    }
}

/// The factor on the gradient of a step that `count` values share.
pub fn step_gradient_scale(count: usize, highest: f64) -> f64 {
    1.0 / (count as f64 * highest).sqrt()
}

/// ∂L/∂s from `gradient` = ∂L/∂ŵ, for each of `steps`, which divide the weights evenly.
pub fn learned_step_gradient(
    gradient: &[f64],
    weight: &[f64],
    steps: &[f64],
    range: (f64, f64),
) -> Vec<f64> {
    let count = weight.len() / steps.len();
    let of = |(index, &step): (usize, &f64)| {
        let own = index * count..(index + 1) * count;
        let terms = gradient[own.clone()]
            .iter()
            .zip(&weight[own])
            .map(|(g, &w)| g * step_derivative(w, step, range));
        terms.sum::<f64>() * step_gradient_scale(count, range.1)
    };
    steps.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{prepare_weights::quantize, weight_scale::WeightScale};

    /// Beyond the levels the rule is the true derivative; inside, it and the value's share ŵ/s of
    /// it differ by w/s, which straight-through estimation of the rounding adds.
    #[test]
    fn the_rule_is_the_derivative_with_rounding_passed_through() {
        let difference = 1e-6;
        for w in [-3.0, -1.1, -0.76, -0.31, 0.13, 0.24, 0.55, 2.0] {
            let value = |step| quantize(WeightScale::Lsq { step }, 7.0, w);
            let by_step = (value(0.2 + difference) - value(0.2 - difference)) / (2.0 * difference);
            let inside = w / 0.2 > -4.0 && w / 0.2 < 3.0;
            let expected = by_step - if inside { w / 0.2 } else { 0.0 };
            assert!((step_derivative(w, 0.2, (-4.0, 3.0)) - expected).abs() < 1e-6, "{w}");
        }
    }
}
