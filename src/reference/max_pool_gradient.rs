//! Gradient of max-pooling: every output's gradient goes to the one input it was taken from;
//! overlapping windows add up. The derivative of an activation in front of the pool, which the
//! kernel applies as well, is [`super::activation_gradient`].

/// ∂L/∂input, as long as the input (`elements`); `from` is what [`super::max_pool::max_pool`]
/// returned.
pub fn max_pool_gradient(elements: usize, from: &[usize], output_gradient: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; elements];
    for (&at, value) in from.iter().zip(output_gradient) {
        gradient[at] += value;
    }
    gradient
}
