//! Learning-rate schedules, computed in f64 on the host; the step's entry in the table has the
//! result.

use std::f64::consts::PI;

use crate::config::{OptimizerConfig, OptimizerKind, RunConfig, ScheduleKind, decimal};

/// OneCycleLR's defaults (torch.optim.lr_scheduler).
const ONE_CYCLE_RISE: f64 = 0.3;
const ONE_CYCLE_INITIAL: f64 = 25.0;
const ONE_CYCLE_FINAL: f64 = 1e4;
const ONE_CYCLE_MOMENTUM: [f64; 2] = [0.85, 0.95];

/// The values that the update of one step uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScheduledStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Momentum (of the optimiser `momentum`; one-cycle varies it).
    pub momentum: f64,
    /// 1 − β₁^step and 1 − β₂^step.
    pub corrections: [f64; 2],
}

/// Learning rate and momentum of every step of a run.
#[derive(Clone, Debug)]
pub struct Schedule {
    kind: ScheduleKind,
    rate: f64,
    gamma: f64,
    steps_per_drop: u64,
    warmup: u64,
    total: u64,
    optimizer: OptimizerConfig,
}

/// From `start` to `end` along half a cosine, as in OneCycleLR.
fn anneal(start: f64, end: f64, share: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * share).cos())
}

impl Schedule {
    /// The schedule of `config` for a run of `total` steps with `steps_per_epoch` steps per epoch.
    pub fn new(config: &RunConfig, steps_per_epoch: u64, total: u64) -> Schedule {
        Schedule {
            kind: config.schedule.kind,
            rate: decimal(config.learning_rate),
            gamma: decimal(config.schedule.gamma),
            steps_per_drop: (u64::from(config.schedule.step_epochs) * steps_per_epoch).max(1),
            warmup: u64::from(config.schedule.warmup_steps),
            total,
            optimizer: config.optimizer.clone(),
        }
    }

    /// The values of step `step`, counted from 1.
    pub fn step(&self, step: u64) -> ScheduledStep {
        let done = step - 1;
        let momentum = decimal(self.optimizer.momentum);
        let (learning_rate, momentum) = match done.checked_sub(self.warmup) {
            None => (self.rate * step as f64 / self.warmup as f64, momentum),
            Some(after) => {
                self.after_warmup(after, self.total.saturating_sub(self.warmup), momentum)
            }
        };
        let corrections = self.optimizer.betas.map(|beta| 1.0 - decimal(beta).powf(step as f64));
        ScheduledStep { learning_rate, momentum, corrections }
    }

    fn after_warmup(&self, done: u64, total: u64, momentum: f64) -> (f64, f64) {
        match self.kind {
            ScheduleKind::Constant => (self.rate, momentum),
            ScheduleKind::Step => {
                (self.rate * self.gamma.powi((done / self.steps_per_drop) as i32), momentum)
            }
            ScheduleKind::Cosine => {
                (anneal(self.rate, 0.0, done as f64 / total.max(1) as f64), momentum)
            }
            ScheduleKind::OneCycle => {
                let [low, high] = ONE_CYCLE_MOMENTUM;
                let initial = self.rate / ONE_CYCLE_INITIAL;
                let top = ONE_CYCLE_RISE * total as f64 - 1.0;
                let last = total as f64 - 1.0;
                let done = (done as f64).min(last);
                let (rate, cycled) = if done <= top {
                    let share = done / top.max(f64::MIN_POSITIVE);
                    (anneal(initial, self.rate, share), anneal(high, low, share))
                } else {
                    let share = (done - top) / (last - top).max(f64::MIN_POSITIVE);
                    (anneal(self.rate, initial / ONE_CYCLE_FINAL, share), anneal(low, high, share))
                };
                // Adam's β₁ is constant, as with torch's cycle_momentum=False.
                (
                    rate,
                    if self.optimizer.kind == OptimizerKind::Momentum { cycled } else { momentum },
                )
            }
        }
    }
}
