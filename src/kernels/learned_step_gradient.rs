//! Launcher of `shaders/learned_step_gradient.wgsl`.

use super::common::ImageRange;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    quant::WeightQuantizerPlan,
    shaders::Specialization,
};

/// Invocations that a step's terms are summed with.
const WORKGROUP: u32 = 256;

/// The gradient of every learned step (LSQ), from the terms of its weights.
#[derive(Clone, Copy, Debug)]
pub struct LearnedStepGradient<'a> {
    /// Whose gradients they are.
    pub images: ImageRange<'a>,
    /// A number a weight, of [`super::ReduceWeightGradient`].
    pub terms: &'a Buffer,
    /// The flat array of gradients.
    pub gradients: &'a Buffer,
    /// Number of steps.
    pub steps: u32,
    /// Weights that a step quantizes.
    pub elements: u32,
    /// Where the steps' gradients begin.
    pub step_index: u32,
    /// The quantizer.
    pub plan: WeightQuantizerPlan,
}

impl Launcher for LearnedStepGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let scale = f64::from(self.elements) * f64::from(self.plan.highest_level());
        let specialization = Specialization::new()
            .tile("WORKGROUP", WORKGROUP)
            .constant("ELEMENTS", self.elements)
            .constant("STEP_INDEX", self.step_index)
            .constant("SCALE", 1.0 / scale.sqrt());
        Launch::new("learned_step_gradient", specialization)
            .bind("images", self.images)
            .bind("terms", self.terms)
            .bind("gradients", self.gradients)
            .over([self.steps, 1, 1])
    }
}
