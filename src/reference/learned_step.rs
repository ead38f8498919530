//! LSQ's step per output channel (Esser et al. 2020), from one for the tensor or one a channel.

use super::weight_scale::WeightScale;

/// The quantizers of `channels` output channels with learned `steps`.
pub fn learned_step(steps: &[f64], channels: usize) -> Vec<WeightScale> {
    let of = |channel: usize| WeightScale::Lsq { step: steps[channel % steps.len()] };
    (0..channels).map(of).collect()
}
