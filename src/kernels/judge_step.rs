//! Launcher of `shaders/judge_step.wgsl`.

use crate::{
    config::OnNonFinite,
    gpu::{Buffer, Launch, Launcher},
    shaders::{Specialization, kinds::policy},
};

/// Decides whether a step's update is made.
#[derive(Clone, Copy, Debug)]
pub struct JudgeStep<'a> {
    /// The current step's record, which gives the slot.
    pub current: &'a Buffer,
    /// `[slot]` (Σ cross entropy, Σ D_KL, Σ correct, images).
    pub metrics: &'a Buffer,
    /// `[slot]` words: 1 if a loss was not finite.
    pub flags: &'a Buffer,
    /// Result of the optimiser's probe, and the decision on the update
    /// (shaders/common/health.wgsl).
    pub health: &'a Buffer,
    /// `[slot]` (cause, index) words.
    pub verdicts: &'a Buffer,
    /// The policy for a step that does not count.
    pub policy: OnNonFinite,
    /// Mean cross entropy above which a step does not count.
    pub exploded: f64,
}

/// POLICY of the kernel.
fn number(choice: OnNonFinite) -> u32 {
    match choice {
        OnNonFinite::Stop => policy::STOP,
        OnNonFinite::Skip => policy::SKIP,
        OnNonFinite::LowerLr => policy::LOWER_RATE,
    }
}

impl Launcher for JudgeStep<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .constant("POLICY", number(self.policy))
            .constant("EXPLODED", self.exploded);
        Launch::new("judge_step", specialization)
            .bind("current", self.current)
            .bind("metrics", self.metrics)
            .bind("flags", self.flags)
            .bind("health", self.health)
            .bind("verdicts", self.verdicts)
    }
}
