//! Update rules: one kernel over the flat parameters.

use super::Network;
use crate::{
    Result,
    config::{OptimizerConfig, OptimizerKind, QuantizationConfig, decimal},
    gpu::{Binding, Buffer, Gpu, Recording},
    kernels::{LANES, flat_workgroups},
    quant::STEP_FLOOR,
    shaders::Specialization,
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
            // Plain SGD does not touch its state: a placeholder satisfies the kernel's binding.
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
            alpha_decay: quantization.alpha_decay,
            alpha_lr_factor: quantization.alpha_lr_factor,
            step_lr_factor: quantization.step_lr_factor,
        })
    }

    /// Writes `parameters` (flat), from which training begins or goes on, with `rate_factor` on the
    /// learning rates.
    pub fn begin(&self, gpu: &Gpu, network: &Network, parameters: &[f32], rate_factor: f32) {
        gpu.write(&network.parameters, 0, parameters);
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
        let specialization = Specialization::new()
            .tile("LANES", LANES)
            .constant("FIRST", first)
            .constant("COUNT", end - first);
        let kernel = gpu.kernel("keep_statistics", specialization)?;
        let bindings = [&self.health, &network.parameters, kept].map(Binding::from);
        recording.dispatch(
            gpu,
            "keep statistics",
            kernel,
            &bindings,
            [(end - first).div_ceil(LANES), 1, 1],
        )
    }

    fn record_rule(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        network: &Network,
        step: &Buffer,
        probe: bool,
    ) -> Result<()> {
        let config = &self.config;
        let specialization = Specialization::new()
            .feature("probe", probe)
            .tile("LANES", LANES)
            .constant("LENGTH", network.graph.layout.length)
            .constant("STEP_FIRST", network.graph.layout.step_first)
            .constant("ALPHA_FIRST", network.graph.layout.alpha_first)
            .constant("WEIGHT_DECAY", config.weight_decay)
            .constant("STEP_LR_FACTOR", self.step_lr_factor)
            .constant("ALPHA_DECAY", self.alpha_decay)
            .constant("ALPHA_LR_FACTOR", self.alpha_lr_factor);
        // Floors are for what is stored.
        let specialization = match probe {
            true => specialization,
            false => specialization
                .constant("STEP_FLOOR", STEP_FLOOR)
                .constant("ALPHA_FLOOR", ALPHA_FLOOR),
        };
        let (name, specialization) = match config.kind {
            OptimizerKind::Sgd => ("optimizer_sgd", specialization.constant("MOMENTUM", 0u32)),
            OptimizerKind::Momentum => (
                "optimizer_sgd",
                specialization.constant("MOMENTUM", 1 + u32::from(config.nesterov)),
            ),
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
            [step, &network.parameters, &network.gradients, &self.health].map(Binding::from).into();
        bindings.extend(self.states.iter().map(Binding::from));
        let placeholder;
        if self.states.is_empty() {
            placeholder = gpu.buffer("no optimizer state", 16)?;
            bindings.push((&placeholder).into());
        }
        let workgroups =
            flat_workgroups(u64::from(network.graph.layout.padded_length() / 4), LANES);
        recording.dispatch(
            gpu,
            if probe { "check update" } else { "update" },
            kernel,
            &bindings,
            workgroups,
        )
    }
}

/// The words of [`Optimizer::health`] before a step: nothing found, the update to be made, not
/// halted, the factor on the rate.
fn healthy(rate_factor: f32) -> [u32; 8] {
    [u32::MAX, u32::MAX, 1, 0, rate_factor.to_bits(), 0, 0, 0]
}
