//! Nodes of a network: a layer with the activation that its kernel applies, and the buffers it owns.

use super::{ActivationPlan, groups, padded};
use crate::{
    Result,
    config::Shape,
    gpu::{Buffer, Gpu},
    quant::WeightQuantizerPlan,
};

/// Where a weighted layer's parameters are and how they are laid out for its kernels.
pub(super) struct Weights {
    pub weight_index: u32,
    pub bias_index: u32,
    /// Filter taps: kernel², or the pixels a fully connected layer sees.
    pub taps: u32,
    pub quantizer: WeightQuantizerPlan,
    /// [tap, in channel (padded), out channel (padded)].
    pub forward: Buffer,
    /// In channels contiguous, for the input gradient.
    pub backward: Buffer,
    /// [out channel (padded)].
    pub bias: Buffer,
    /// Where its learned steps are in the parameters, if it has any.
    pub step_index: Option<u32>,
    /// A vec4 of statistics an output channel.
    pub statistics: Buffer,
    /// A vec4 of quantizer constants an output channel.
    pub constants: Buffer,
    /// Partial sums of the weight gradient, and their number; absent in networks that do not train.
    pub parts: Option<(Buffer, u32)>,
    /// Summands of the learned steps' gradients, a weight each; absent without steps and in networks that do not train.
    pub step_terms: Option<Buffer>,
}

impl Weights {
    pub fn new(
        gpu: &Gpu,
        input: Shape,
        output: Shape,
        taps: u32,
        indices: [u32; 2],
        step_index: Option<u32>,
        quantizer: WeightQuantizerPlan,
    ) -> Result<Self> {
        let elements = u64::from(taps) * u64::from(padded(input.channels)) * u64::from(padded(output.channels));
        let channels = u64::from(padded(output.channels));
        Ok(Weights {
            weight_index: indices[0],
            bias_index: indices[1],
            taps,
            quantizer,
            step_index,
            forward: gpu.buffer("weights", elements * 4)?,
            backward: gpu.buffer("weights for the input gradient", elements * 4)?,
            bias: gpu.buffer("bias", channels * 4)?,
            statistics: gpu.buffer("weight statistics", channels * 16)?,
            constants: gpu.buffer("weight quantizer constants", channels * 16)?,
            parts: None,
            step_terms: None,
        })
    }

    /// Makes room for the partial sums of the gradients.
    pub fn allocate_parts(&mut self, gpu: &Gpu, input: Shape, output: Shape, parts: u32) -> Result<()> {
        let stride = (u64::from(self.taps) * u64::from(padded(input.channels)) + 1) * u64::from(padded(output.channels));
        self.parts = Some((gpu.buffer("partial weight gradients", stride * u64::from(parts) * 4)?, parts));
        if self.step_index.is_some() {
            let weights = u64::from(self.taps) * u64::from(input.channels) * u64::from(output.channels);
            self.step_terms = Some(gpu.buffer("terms of the step's gradient", weights * 4)?);
        }
        Ok(())
    }
}

/// What a node computes.
pub(super) enum NodeKind {
    Convolution { weights: Weights, kernel: u32, stride: u32, padding: u32 },
    FullyConnected { weights: Weights },
    Activation,
    MaxPool { kernel: u32, stride: u32, choice: Buffer },
    Dropout { rate: f32, layer: u32 },
}

/// A layer with its activation and its output.
pub(super) struct Node {
    pub name: String,
    pub activation_name: Option<String>,
    pub kind: NodeKind,
    pub input: Shape,
    pub output: Shape,
    /// Applied by the node's own kernel.
    pub activation: ActivationPlan,
    /// [image, row, column, channel / 4] vec4; shared with the node before for dropout, which works in place.
    pub value: Buffer,
    /// The activation's input, kept for PACT.
    pub pre_activation: Option<Buffer>,
    /// The backward pass of `activation` is done by the max-pool behind it.
    pub gradient_by_pool: bool,
}

impl Node {
    /// What the activation's derivative is computed from.
    pub fn state(&self) -> &Buffer {
        self.pre_activation.as_ref().unwrap_or(&self.value)
    }

    /// Groups of 4 values an image in its output.
    pub fn output_elements(&self) -> u32 {
        self.output.pixels() * groups(self.output.channels)
    }

    /// Groups of 4 values an image in its input.
    pub fn input_elements(&self) -> u32 {
        self.input.pixels() * groups(self.input.channels)
    }
}
