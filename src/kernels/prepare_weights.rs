//! Launcher of `shaders/prepare_weights.wgsl`.

use super::common::{ELEMENTWISE, WeightShape, grid, quantized_levels};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    layout::padded,
    quant::WeightQuantizerPlan,
};

/// How the copy for the input gradient lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackwardLayout {
    /// [tap, out channel (padded), in channel (padded)]: of convolutions.
    TapsFirst,
    /// [out channel (padded), tap, in channel (padded)]: of fully connected layers.
    OutputsFirst,
}

/// Fake-quantizes weights and writes them in the layouts that the passes read.
#[derive(Clone, Copy, Debug)]
pub struct PrepareWeights<'a> {
    /// The flat array whose weights are quantized.
    pub parameters: &'a Buffer,
    /// A vec4 of constants an output channel, of [`super::WeightScale`] or [`super::LearnedStep`].
    pub quantizer: &'a Buffer,
    /// [tap, in channel (padded where not grouped), out channel (padded)].
    pub forward_weight: &'a Buffer,
    /// [out channel (padded)]; as it is in layers without a bias.
    pub bias: &'a Buffer,
    /// Sizes and indices.
    pub shape: WeightShape,
    /// A second copy, and its layout, where the input's gradient wants one.
    pub backward: Option<(&'a Buffer, BackwardLayout)>,
    /// The quantizer.
    pub plan: WeightQuantizerPlan,
}

impl Launcher for PrepareWeights<'_> {
    fn launch(&self) -> Launch<'_> {
        let [inputs, outputs] = [self.shape.stored_inputs(), padded(self.shape.out_channels)];
        let mut specialization = quantized_levels(self.shape.constants(), self.plan);
        if let Some((_, layout)) = self.backward {
            let [tap, out] = match layout {
                BackwardLayout::TapsFirst => [outputs * inputs, inputs],
                BackwardLayout::OutputsFirst => [inputs, self.shape.taps * inputs],
            };
            specialization = specialization
                .feature("backward", true)
                .constant("BACKWARD_TAP", tap)
                .constant("BACKWARD_OUT", out);
        }
        Launch::new("prepare_weights", specialization)
            .bind("parameters", self.parameters)
            .bind("quantizer", self.quantizer)
            .bind("forward_weight", self.forward_weight)
            .bind_some("bias", self.shape.bias_index.map(|_| self.bias))
            .bind_some("backward_weight", self.backward.map(|(buffer, _)| buffer))
            .over(grid(self.shape.count().div_ceil(ELEMENTWISE)))
    }
}
