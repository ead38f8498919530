//! Common parts of the launchers of optimisers (shaders/common/optimizer.wgsl).

use super::flat_workgroups;
use crate::{
    gpu::{Buffer, Launch},
    shaders::Specialization,
};

/// The ranges of the kinds of parameters in the flat array, with their settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterRules {
    /// Number of parameters that are trained.
    pub length: u32,
    /// Index of the first learned step.
    pub step_first: u32,
    /// Index of the first α.
    pub alpha_first: u32,
    /// Where offsets of LSQ+ begin, which are treated as steps but have no floor.
    pub offset_first: u32,
    /// L2 penalty of weights and biases.
    pub weight_decay: f32,
    /// L2 penalty of α's.
    pub alpha_decay: f32,
    /// Factor on the rate of steps.
    pub step_lr_factor: f32,
    /// Factor on the rate of α's.
    pub alpha_lr_factor: f32,
    /// Lower bound of learned steps.
    pub step_floor: f32,
    /// Lower bound of α's.
    pub alpha_floor: f32,
}

/// Buffers and settings of every optimiser.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// The current step's record: learning rate and momentum.
    pub current: &'a Buffer,
    /// The flat parameters.
    pub parameters: &'a Buffer,
    /// Their gradients.
    pub gradients: &'a Buffer,
    /// State of the step's numbers, and whether the update is made (shaders/common/health.wgsl).
    pub health: &'a Buffer,
    /// Only check whether the update would give numbers that are not finite; only `health` changes.
    pub probe: bool,
    /// The rules.
    pub rules: ParameterRules,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl<'a> Update<'a> {
    /// The dispatch of the optimiser `kernel`; `more` adds its constants, and its states are bound
    /// after these buffers.
    pub(in crate::kernels) fn launch(
        self,
        kernel: &'static str,
        more: impl FnOnce(Specialization) -> Specialization,
    ) -> Launch<'a> {
        let rules = self.rules;
        let specialization = Specialization::new()
            .feature("probe", self.probe)
            .tile("LANES", self.lanes)
            .constant("LENGTH", rules.length)
            .constant("STEP_FIRST", rules.step_first)
            .constant("ALPHA_FIRST", rules.alpha_first)
            .constant("OFFSET_FIRST", rules.offset_first)
            .constant("WEIGHT_DECAY", rules.weight_decay)
            .constant("STEP_LR_FACTOR", rules.step_lr_factor)
            .constant("ALPHA_DECAY", rules.alpha_decay)
            .constant("ALPHA_LR_FACTOR", rules.alpha_lr_factor);
        // Lower bounds apply only to stored values.
        let specialization = match self.probe {
            true => specialization,
            false => specialization
                .constant("STEP_FLOOR", rules.step_floor)
                .constant("ALPHA_FLOOR", rules.alpha_floor),
        };
        Launch::new(kernel, more(specialization))
            .bind("current", self.current)
            .bind("parameters", self.parameters)
            .bind("gradients", self.gradients)
            .bind("health", self.health)
            .over(flat_workgroups(u64::from(rules.length.div_ceil(4)), self.lanes))
    }
}
