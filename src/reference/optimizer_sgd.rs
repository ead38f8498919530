//! Stochastic gradient descent, torch.optim.SGD.

use super::parameters::ParameterRules;

/// One step. `momentum` is absent for plain descent; `velocity` starts at 0.
pub fn optimizer_sgd(
    rules: &ParameterRules,
    rate: f64,
    momentum: Option<f64>,
    nesterov: bool,
    parameters: &mut [f64],
    gradients: &[f64],
    velocity: &mut [f64],
) {
    for index in 0..parameters.len() {
        let gradient = gradients[index] + rules.decay(index) * parameters[index];
        let direction = match momentum {
            None => gradient,
            Some(momentum) => {
                velocity[index] = momentum * velocity[index] + gradient;
                if nesterov { gradient + momentum * velocity[index] } else { velocity[index] }
            }
        };
        parameters[index] =
            rules.floored(index, parameters[index] - rules.rate(index, rate) * direction);
    }
}
