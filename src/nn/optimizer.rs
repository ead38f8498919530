//! Update rules: one kernel over the flat parameters.

use super::Network;
use crate::{
    Error, Result,
    config::{OptimizerConfig, OptimizerKind, QuantizationConfig},
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{
        KeepStatistics, LANES, Momentum, OptimizerAdadelta, OptimizerAdam, OptimizerSgd,
        ParameterRules, Update,
    },
    quant::STEP_FLOOR,
};

/// α never falls below this: the clipping range stays non-empty.
pub const ALPHA_FLOOR: f32 = 1e-3;

/// An update rule with its state.
pub struct Optimizer {
    config: OptimizerConfig,
    /// Moment arrays in the order of the kernel's bindings, flat like the parameters.
    pub states: Vec<Buffer>,
    /// What is known of a step's numbers, and whether its update is made
    /// (`shaders/common/health.wgsl`).
    pub health: Buffer,
    /// Running statistics of batch norms after the last step that counted, where there are any.
    kept: Option<Buffer>,
    /// What plain SGD binds in the place of a velocity, which it does not touch.
    no_velocity: Option<Buffer>,
    alpha_decay: f32,
    alpha_lr_factor: f32,
    step_lr_factor: f32,
}

impl Optimizer {
    /// The rule of `config` for `network`; states start at zero.
    pub fn new(
        gpu: &Gpu,
        network: &Network,
        config: &OptimizerConfig,
        quantization: &QuantizationConfig,
    ) -> Result<Optimizer> {
        let bytes = u64::from(network.graph.layout.padded_length()) * 4;
        let count = match config.kind {
            OptimizerKind::Sgd => 0,
            OptimizerKind::Momentum => 1,
            OptimizerKind::Adam | OptimizerKind::Adamw | OptimizerKind::Adadelta => 2,
        };
        let statistics = network.graph.layout.stored - network.graph.layout.length;
        Ok(Optimizer {
            config: config.clone(),
            states: (0..count)
                .map(|_| gpu.buffer("optimizer state", bytes))
                .collect::<Result<_>>()?,
            health: gpu.upload("health", &healthy(1.0))?,
            kept: (statistics > 0)
                .then(|| gpu.buffer("kept statistics", u64::from(statistics) * 4))
                .transpose()?,
            no_velocity: (count == 0).then(|| gpu.buffer("no velocity", 16)).transpose()?,
            alpha_decay: quantization.alpha_decay,
            alpha_lr_factor: quantization.alpha_lr_factor,
            step_lr_factor: quantization.step_lr_factor,
        })
    }

    /// Writes `parameters` (flat), from which training begins or goes on, with `rate_factor` on the
    /// learning rates.
    pub fn begin(&self, gpu: &Gpu, network: &Network, parameters: &[f32], rate_factor: f32) {
        gpu.write(network.parameters(), 0, parameters);
        gpu.write(&self.health, 0, &healthy(rate_factor));
        if let Some(kept) = &self.kept {
            gpu.write(
                kept,
                0,
                &parameters
                    [network.graph.layout.length as usize..network.graph.layout.stored as usize],
            );
        }
    }

    /// Adds looking for what [`Self::record`] would not leave finite, and for gradients that are
    /// not: nothing is changed but [`Self::health`].
    pub fn record_probe(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        network: &Network,
        step: &Buffer,
    ) -> Result<()> {
        self.record_rule(gpu, recording, network, step, true)
    }

    /// Adds θ ← θ − τ·∂L/∂θ (or the rule's own form) with the rate of `step`, if [`Self::health`]
    /// says that the step counts.
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        network: &Network,
        step: &Buffer,
    ) -> Result<()> {
        self.record_rule(gpu, recording, network, step, false)?;
        let Some(kept) = &self.kept else { return Ok(()) };
        let (first, end) = (network.graph.layout.length, network.graph.layout.stored);
        KeepStatistics {
            health: &self.health,
            parameters: network.parameters(),
            kept,
            first,
            count: end - first,
            lanes: LANES,
        }
        .record(gpu, recording, "keep statistics")
    }

    fn record_rule(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        network: &Network,
        current: &Buffer,
        probe: bool,
    ) -> Result<()> {
        let (config, layout) = (&self.config, &network.graph.layout);
        let update = Update {
            current,
            parameters: network.parameters(),
            gradients: network.gradients(),
            health: &self.health,
            probe,
            rules: ParameterRules {
                length: layout.length,
                step_first: layout.step_first,
                alpha_first: layout.alpha_first,
                offset_first: layout.offset_first,
                weight_decay: config.weight_decay,
                alpha_decay: self.alpha_decay,
                step_lr_factor: self.step_lr_factor,
                alpha_lr_factor: self.alpha_lr_factor,
                step_floor: STEP_FLOOR,
                alpha_floor: ALPHA_FLOOR,
            },
            lanes: LANES,
        };
        let label = if probe { "check update" } else { "update" };
        let states: Vec<&Buffer> = self.no_velocity.iter().chain(&self.states).collect();
        match (config.kind, states.as_slice()) {
            (OptimizerKind::Sgd, [velocity]) => {
                OptimizerSgd { update, velocity, momentum: Momentum::None }
                    .record(gpu, recording, label)
            }
            (OptimizerKind::Momentum, [velocity]) => {
                let momentum = if config.nesterov { Momentum::Nesterov } else { Momentum::Plain };
                OptimizerSgd { update, velocity, momentum }.record(gpu, recording, label)
            }
            (OptimizerKind::Adam | OptimizerKind::Adamw, [first_moment, second_moment]) => {
                OptimizerAdam {
                    update,
                    first_moment,
                    second_moment,
                    betas: config.betas,
                    epsilon: config.epsilon.unwrap_or(1e-8),
                    decoupled: config.kind == OptimizerKind::Adamw,
                }
                .record(gpu, recording, label)
            }
            (OptimizerKind::Adadelta, [square_average, delta_average]) => OptimizerAdadelta {
                update,
                square_average,
                delta_average,
                rho: config.rho,
                epsilon: config.epsilon.unwrap_or(1e-6),
            }
            .record(gpu, recording, label),
            (kind, states) => {
                let count = states.len();
                Err(Error::Gpu(format!("{kind:?} does not have {count} states")))
            }
        }
    }
}

/// The words of [`Optimizer::health`] before a step: nothing found, the update to be made, not
/// halted, the factor on the rate.
fn healthy(rate_factor: f32) -> [u32; 8] {
    [u32::MAX, u32::MAX, 1, 0, rate_factor.to_bits(), 0, 0, 0]
}
