//! Launcher of `shaders/learned_step.wgsl`.

use super::common::ELEMENTWISE;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    quant::WeightQuantizerPlan,
    shaders::Specialization,
};

/// Constants of a quantizer whose steps are parameters (LSQ).
#[derive(Clone, Copy, Debug)]
pub struct LearnedStep<'a> {
    /// The flat parameters with the steps.
    pub parameters: &'a Buffer,
    /// One vec4 of constants per output channel.
    pub quantizer: &'a Buffer,
    /// Output channels.
    pub channels: u32,
    /// Where the steps begin.
    pub step_index: u32,
    /// The quantizer.
    pub plan: WeightQuantizerPlan,
}

impl Launcher for LearnedStep<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .constant("OUT_CHANNELS", self.channels)
            .constant("PER_CHANNEL", u32::from(self.plan.is_per_channel()))
            .constant("LEVELS", self.plan.levels())
            .constant("STEP_INDEX", self.step_index);
        Launch::new("learned_step", specialization)
            .bind("parameters", self.parameters)
            .bind("quantizer", self.quantizer)
            .over([self.channels.div_ceil(ELEMENTWISE), 1, 1])
    }
}
