//! The state of the quantizers during training: α's, learned steps, offsets and ranges of weights,
//! at some of the steps. They are stored on the device and read back with the metrics, so that no
//! step waits for them.

use std::{collections::BTreeMap, ops::Range};

use crate::{
    Result,
    gpu::{Buffer, Gpu},
    graph::ParameterLayout,
    nn::Network,
    quant::QuantizerState,
};

/// Number of samples that fit. When all are unread, metrics must be read.
const CAPACITY: u64 = 64;
/// Number of samples between two consecutive powers of two. Quantizers change fastest at the
/// beginning. The choice must not depend on the length of the run, which a later `--resume` can
/// change.
const SAMPLES_PER_DOUBLING: u64 = 8;

/// The quantizer state for `learned`, all learned steps, α's and offsets of `layout` in its order,
/// and for ranges of weights.
pub(super) fn quantizer_state<'a>(
    layout: &ParameterLayout,
    learned: &[f32],
    ranges: impl Iterator<Item = (&'a str, [f32; 2])>,
) -> QuantizerState {
    let own = |range: Range<usize>| {
        &learned[range.start - layout.step_first as usize..range.end - layout.step_first as usize]
    };
    let mean = |steps: &[f32]| steps.iter().sum::<f32>() / steps.len() as f32;
    let steps = layout.steps().chain(layout.activation_steps());
    QuantizerState {
        alpha: layout
            .alphas()
            .map(|alpha| (alpha.layer().to_string(), own(alpha.range())[0]))
            .collect(),
        step_size: steps.map(|step| (step.layer().to_string(), mean(own(step.range())))).collect(),
        offset: layout
            .offsets()
            .map(|offset| (offset.layer().to_string(), own(offset.range())[0]))
            .collect(),
        weight_range: ranges.map(|(name, range)| (name.to_string(), range)).collect(),
    }
}

/// Whether the state at `step` is stored.
fn is_sampled(step: u64, log_every: u64) -> bool {
    if log_every == 0 || !step.is_multiple_of(log_every) {
        return false;
    }
    let number = step / log_every;
    number.is_multiple_of((number.next_power_of_two() / 2 / SAMPLES_PER_DOUBLING).max(1))
}

/// The samples that are not read back yet. Each has the learned values before its step, and the
/// constants of the weight quantizers in the step.
pub(super) struct QuantizerHistory {
    log_every: u64,
    /// [`CAPACITY`] samples; `None` for a network without quantizers.
    samples: Option<Buffer>,
    /// Number of learned values of a sample.
    learned: u64,
    /// Number of values of a sample.
    length: u64,
    steps: Vec<u64>,
}

impl QuantizerHistory {
    /// Buffers for the samples of `network`, which are some of the steps that `log_every` divides.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn new(gpu: &Gpu, network: &Network, log_every: u32) -> Result<QuantizerHistory> {
        let learned = u64::from(network.graph.layout.length - network.graph.layout.step_first);
        let constants: u64 = network.weight_quantizers().map(|own| 4 * own.channels).sum();
        let length = learned + constants;
        let samples = (length > 0)
            .then(|| gpu.buffer("quantizers while training", CAPACITY * length * 4))
            .transpose()?;
        Ok(QuantizerHistory {
            log_every: u64::from(log_every),
            samples,
            learned,
            length,
            steps: Vec::new(),
        })
    }

    /// Stores the learned values if the next step, `step`, is a sample.
    pub fn before_step(&mut self, gpu: &Gpu, network: &Network, step: u64) -> Result<()> {
        let Some(samples) = self.samples.as_ref().filter(|_| is_sampled(step, self.log_every))
        else {
            return Ok(());
        };
        let place = self.steps.len() as u64 * self.length * 4;
        self.steps.push(step);
        let mut encoder = gpu.encoder();
        let first = u64::from(network.graph.layout.step_first) * 4;
        gpu.copy(&mut encoder, [network.parameters(), samples], [first, place], self.learned * 4);
        gpu.submit(encoder)
    }

    /// Stores the constants of the weight quantizers if `step`, which was just submitted, is a
    /// sample.
    pub fn after_step(&self, gpu: &Gpu, network: &Network, step: u64) -> Result<()> {
        let Some(samples) = self.samples.as_ref().filter(|_| self.steps.last() == Some(&step))
        else {
            return Ok(());
        };
        let mut place = ((self.steps.len() as u64 - 1) * self.length + self.learned) * 4;
        let mut encoder = gpu.encoder();
        for own in network.weight_quantizers() {
            gpu.copy(&mut encoder, [own.constants, samples], [0, place], 16 * own.channels);
            place += 16 * own.channels;
        }
        gpu.submit(encoder)
    }

    /// Whether there is no room for another sample.
    pub fn is_full(&self) -> bool {
        self.steps.len() as u64 >= CAPACITY
    }

    /// The steps of the samples since the last call, and the buffer that holds them until the next
    /// sample, with its size in bytes.
    pub fn take(&mut self) -> (Vec<u64>, Option<(Buffer, u64)>) {
        let steps = std::mem::take(&mut self.steps);
        let bytes = 4 * self.values(steps.len()) as u64;
        (steps, self.samples.clone().filter(|_| bytes > 0).map(|samples| (samples, bytes)))
    }

    /// Number of values in `count` samples.
    pub fn values(&self, count: usize) -> usize {
        count * self.length as usize
    }

    /// The samples of `steps` in `values`, by step.
    pub fn states(
        &self,
        network: &Network,
        steps: &[u64],
        values: &[f32],
    ) -> BTreeMap<u64, QuantizerState> {
        let state = |sample: &[f32]| {
            let (learned, mut constants) = sample.split_at(self.learned as usize);
            let ranges = network.weight_quantizers().map(|quantizer| {
                let (own, rest) = constants.split_at(4 * quantizer.channels as usize);
                constants = rest;
                (quantizer.layer, quantizer.quantizer.widest_range(bytemuck::cast_slice(own)))
            });
            quantizer_state(&network.graph.layout, learned, ranges)
        };
        steps
            .iter()
            .copied()
            .zip(values.chunks_exact(self.length.max(1) as usize).map(state))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_dense_at_first_and_few_in_the_end() {
        let sampled = |last: u64, log_every| {
            (1..=last).filter(|&step| is_sampled(step, log_every)).collect::<Vec<_>>()
        };
        assert_eq!(sampled(20, 1), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20]);
        assert_eq!(sampled(12, 3), [3, 6, 9, 12]);
        assert!(sampled(100, 0).is_empty());
        assert!(sampled(24_000, 1).len() < 120, "{}", sampled(24_000, 1).len());
    }
}
