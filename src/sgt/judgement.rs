//! Decides whether a training step counts.

use super::Metrics;
use crate::{
    Result,
    config::OnNonFinite,
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::JudgeStep,
    nn::Optimizer,
    shaders::kinds::cause,
};

/// A mean cross entropy above this ends a run: e^−100,000 is not a meaningful probability.
const EXPLODED: f64 = 1e5;

/// Why a step does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cause {
    /// A loss is NaN or infinite.
    Loss = cause::LOSS,
    /// The mean cross entropy is too large.
    Exploded = cause::EXPLODED,
    /// A gradient is NaN or infinite.
    Gradient = cause::GRADIENT,
    /// The update would make a parameter or a state NaN or infinite.
    Update = cause::UPDATE,
    /// An earlier step stopped the run.
    Halted = cause::HALTED,
}

impl Cause {
    /// The cause in a verdict; `None` for a step that counts.
    pub fn of(verdict: [u32; 2]) -> Option<Cause> {
        [Cause::Loss, Cause::Exploded, Cause::Gradient, Cause::Update, Cause::Halted]
            .into_iter()
            .find(|&cause| cause as u32 == verdict[0])
    }
}

/// Adds the verdict on the current step, for the optimiser, and for the host as
/// [`Metrics::verdicts`]. The step's sums and the optimiser's probe must be recorded before it.
pub fn record_judgement(
    gpu: &Gpu,
    recording: &mut Recording,
    step: &Buffer,
    metrics: &Metrics,
    optimizer: &Optimizer,
    policy: OnNonFinite,
) -> Result<()> {
    let judgement = JudgeStep {
        current: step,
        metrics: &metrics.sums,
        flags: &metrics.flags,
        health: &optimizer.health,
        verdicts: &metrics.verdicts,
        policy,
        exploded: EXPLODED,
    };
    judgement.record(gpu, recording, "judge step")
}
