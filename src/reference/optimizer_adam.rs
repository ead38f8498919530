//! Adam and AdamW, torch.optim.Adam and torch.optim.AdamW.

use super::parameters::ParameterRules;

/// Constants of Adam.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// β₁ and β₂.
    pub betas: [f64; 2],
    /// ε, outside the root.
    pub epsilon: f64,
    /// AdamW's decay of weights, apart from the gradient.
    pub decoupled: bool,
}

/// Step number `step` (from 1). Both moments start at 0.
pub fn optimizer_adam(
    rules: &ParameterRules,
    adam: &Adam,
    rate: f64,
    step: u32,
    parameters: &mut [f64],
    gradients: &[f64],
    [first, second]: [&mut [f64]; 2],
) {
    let [beta1, beta2] = adam.betas;
    let correction = |beta: f64| 1.0 - beta.powf(f64::from(step));
    for index in 0..parameters.len() {
        let rate = rules.rate(index, rate);
        let mut gradient = gradients[index];
        if adam.decoupled && !rules.is_alpha(index) {
            parameters[index] *= 1.0 - rate * rules.decay(index);
        } else {
            gradient += rules.decay(index) * parameters[index];
        }
        first[index] = beta1 * first[index] + (1.0 - beta1) * gradient;
        second[index] = beta2 * second[index] + (1.0 - beta2) * gradient * gradient;
        let denominator = (second[index] / correction(beta2)).sqrt() + adam.epsilon;
        let updated = parameters[index] - rate * (first[index] / correction(beta1)) / denominator;
        parameters[index] = rules.floored(index, updated);
    }
}
