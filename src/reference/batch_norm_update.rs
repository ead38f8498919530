//! Statistics of a batch as coefficients of its normalisation, and the running statistics that they
//! move on, torch.nn.BatchNorm2d's: running ← 0.9·running + 0.1·batch, with the unbiased variance.

use super::{
    batch_norm::{Coefficients, reciprocal},
    batch_norm_inference::{Factor, Norm},
    batch_norm_moments::Moments,
};

/// Coefficients of a batch with these moments of z; `norm` moves on, unless it is `frozen`: then
/// its statistics take the batch's place. A single value has no variance and moves nothing.
pub fn batch_norm_update(
    moments: &[Moments],
    factors: &[Factor],
    norm: &mut Norm,
    frozen: bool,
) -> Vec<Coefficients> {
    let counts = !frozen && moments.iter().all(|moments| moments.count > 1.0);
    if counts {
        norm.batches += 1.0;
    }
    let mut of = |channel: usize| {
        let (Moments { count, mean, squares }, Factor { factor, inverse_deviation }) =
            (moments[channel], factors[channel]);
        let inverse = reciprocal(factor);
        let (mut center, mut normalize) =
            (mean, inverse / (squares / count * inverse.powi(2) + norm.epsilon).sqrt());
        if frozen {
            (center, normalize) = (factor * norm.mean[channel], inverse * inverse_deviation);
        }
        if counts {
            let momentum = norm.momentum;
            let move_on = |running: &mut f64, value: f64| {
                *running = (1.0 - momentum) * *running + momentum * value
            };
            move_on(&mut norm.mean[channel], mean * inverse);
            move_on(&mut norm.variance[channel], squares / (count - 1.0) * inverse.powi(2));
        }
        Coefficients {
            center,
            normalize,
            scale: norm.scale[channel] * normalize,
            shift: norm.shift[channel],
        }
    };
    (0..moments.len()).map(&mut of).collect()
}
