//! Launcher of `shaders/reduce_weight_gradient.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, WeightShape, grid, quantized};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher},
    quant::WeightQuantizerPlan,
};

/// Sums the parts of a weight gradient, through the quantizer's derivative, into the flat array.
#[derive(Clone, Copy, Debug)]
pub struct ReduceWeightGradient<'a> {
    /// The range of images; its record says whether gradients are set or added.
    pub images: ImageRange<'a>,
    /// [part, tap · in channel (padded) + bias, out channel (padded)].
    pub parts: Binding<'a>,
    /// The flat array whose weights were quantized.
    pub parameters: &'a Buffer,
    /// One vec4 of constants per output channel.
    pub quantizer: &'a Buffer,
    /// The flat array of gradients.
    pub gradients: &'a Buffer,
    /// One number per weight for the steps' gradients, if the quantizer learns steps.
    pub terms: Option<&'a Buffer>,
    /// Number of parts.
    pub part_count: u32,
    /// Sizes and indices.
    pub shape: WeightShape,
    /// The quantizer.
    pub plan: WeightQuantizerPlan,
}

impl Launcher for ReduceWeightGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = quantized(self.shape.constants(), self.plan)
            .constant("PARTS", self.part_count)
            .feature("learned_step", self.terms.is_some());
        Launch::new("reduce_weight_gradient", specialization)
            .bind("images", self.images)
            .bind("parts", self.parts)
            .bind("parameters", self.parameters)
            .bind("quantizer", self.quantizer)
            .bind("gradients", self.gradients)
            .bind_some("terms", self.terms)
            .over(grid(self.shape.count().div_ceil(ELEMENTWISE)))
    }
}
