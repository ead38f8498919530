//! Adadelta, torch.optim.Adadelta.

use super::parameters::ParameterRules;

/// One step. Both averages start at 0.
pub fn optimizer_adadelta(
    rules: &ParameterRules,
    [rho, epsilon]: [f64; 2],
    rate: f64,
    parameters: &mut [f64],
    gradients: &[f64],
    [square, delta]: [&mut [f64]; 2],
) {
    for index in 0..parameters.len() {
        let gradient = gradients[index] + rules.decay(index) * parameters[index];
        square[index] = rho * square[index] + (1.0 - rho) * gradient * gradient;
        let change = (delta[index] + epsilon).sqrt() / (square[index] + epsilon).sqrt() * gradient;
        delta[index] = rho * delta[index] + (1.0 - rho) * change * change;
        parameters[index] =
            rules.floored(index, parameters[index] - rules.rate(index, rate) * change);
    }
}
