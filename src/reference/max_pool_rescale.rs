//! DeepLIFT's rule at a max-pool.

use super::max_pool::max_pool;
use crate::config::{MaxPool, Shape};

/// Multipliers at one image's input, NCHW of `shape`, from those at the pool's output; `reference`
/// is the baseline's input.
pub fn max_pool_rescale(
    shape: Shape,
    pool: MaxPool,
    input: &[f64],
    reference: &[f64],
    multiplier: &[f64],
) -> Vec<f64> {
    let (output, chosen) = max_pool(1, shape, pool, input);
    let (of_reference, chosen_reference) = max_pool(1, shape, pool, reference);
    let (mut contribution, mut gradient) = (vec![0.0; input.len()], vec![0.0; input.len()]);
    for window in 0..output.len() {
        let difference = output[window] - of_reference[window];
        let winner = if difference >= 0.0 { chosen[window] } else { chosen_reference[window] };
        contribution[winner] += multiplier[window] * difference;
        gradient[chosen[window]] += multiplier[window];
    }
    (0..input.len())
        .map(|at| match input[at] - reference[at] {
            difference if difference.abs() < 1e-10 => gradient[at],
            difference => contribution[at] / difference,
        })
        .collect()
}
