//! Update rules: one kernel over the flat parameters.

use super::Network;
use crate::{
    Result,
    batch::{LANES, flat_workgroups},
    config::{OptimizerConfig, OptimizerKind, QuantizationConfig, decimal},
    gpu::{Binding, Buffer, Gpu, Recording, Specialization},
    quant::STEP_FLOOR,
};

/// α never falls below this: the clipping range stays non-empty.
pub const ALPHA_FLOOR: f32 = 1e-3;

/// An update rule with its state.
pub struct Optimizer {
    config: OptimizerConfig,
    /// Moment arrays in the order of the kernel's bindings, flat like the parameters.
    pub states: Vec<Buffer>,
    /// One word: bit 0 set once a weight, bit 1 once a learned step or an α was not finite.
    pub flag: Buffer,
    alpha_decay: f32,
    alpha_lr_factor: f32,
    step_lr_factor: f32,
}

impl Optimizer {
    /// The rule of `config` for `network`; states start at zero.
    pub fn new(gpu: &Gpu, network: &Network, config: &OptimizerConfig, quantization: &QuantizationConfig) -> Result<Optimizer> {
        let bytes = u64::from(network.layout.padded_length()) * 4;
        let count = match config.kind {
            // Plain SGD does not touch its state: a placeholder satisfies the kernel's binding.
            OptimizerKind::Sgd => 0,
            OptimizerKind::Momentum => 1,
            OptimizerKind::Adam | OptimizerKind::Adamw | OptimizerKind::Adadelta => 2,
        };
        Ok(Optimizer {
            config: config.clone(),
            states: (0..count).map(|_| gpu.buffer("optimizer state", bytes)).collect::<Result<_>>()?,
            flag: gpu.buffer("optimizer flag", 4)?,
            alpha_decay: quantization.alpha_decay,
            alpha_lr_factor: quantization.alpha_lr_factor,
            step_lr_factor: quantization.step_lr_factor,
        })
    }

    /// Adds θ ← θ − τ·∂L/∂θ (or the rule's own form) with the rate of `step`.
    pub fn record(&self, gpu: &Gpu, recording: &mut Recording, network: &Network, step: &Buffer) -> Result<()> {
        let config = &self.config;
        let specialization = Specialization::new()
            .tile("LANES", LANES)
            .constant("LENGTH", network.layout.length)
            .constant("STEP_FIRST", network.layout.step_first)
            .constant("ALPHA_FIRST", network.layout.alpha_first)
            .constant("WEIGHT_DECAY", config.weight_decay)
            .constant("STEP_LR_FACTOR", self.step_lr_factor)
            .constant("STEP_FLOOR", STEP_FLOOR)
            .constant("ALPHA_DECAY", self.alpha_decay)
            .constant("ALPHA_LR_FACTOR", self.alpha_lr_factor)
            .constant("ALPHA_FLOOR", ALPHA_FLOOR);
        let (name, specialization) = match config.kind {
            OptimizerKind::Sgd => ("optimizer_sgd", specialization.constant("MOMENTUM", 0u32)),
            OptimizerKind::Momentum => ("optimizer_sgd", specialization.constant("MOMENTUM", 1 + u32::from(config.nesterov))),
            OptimizerKind::Adam | OptimizerKind::Adamw => (
                "optimizer_adam",
                specialization
                    .constant("BETA1", config.betas[0])
                    .constant("BETA2", config.betas[1])
                    .constant("BETA1_REST", 1.0 - decimal(config.betas[0]))
                    .constant("BETA2_REST", 1.0 - decimal(config.betas[1]))
                    .constant("EPSILON", config.epsilon.unwrap_or(1e-8))
                    .constant("DECOUPLED", u32::from(config.kind == OptimizerKind::Adamw)),
            ),
            OptimizerKind::Adadelta => (
                "optimizer_adadelta",
                specialization
                    .constant("RHO", config.rho)
                    .constant("RHO_REST", 1.0 - decimal(config.rho))
                    .constant("EPSILON", config.epsilon.unwrap_or(1e-6)),
            ),
        };
        let kernel = gpu.kernel(name, specialization)?;
        let mut bindings: Vec<Binding<'_>> =
            [step, &network.parameters, &network.gradients, &self.flag].map(Binding::from).into();
        bindings.extend(self.states.iter().map(Binding::from));
        let placeholder;
        if self.states.is_empty() {
            placeholder = gpu.buffer("no optimizer state", 16)?;
            bindings.push((&placeholder).into());
        }
        let workgroups = flat_workgroups(u64::from(network.layout.padded_length() / 4), LANES);
        recording.dispatch(gpu, "update", kernel, &bindings, workgroups)
    }
}
