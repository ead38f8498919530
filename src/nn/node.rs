//! Nodes of a network: a layer with the activation that its kernel applies, and the buffers it
//! owns.

use super::{batch_norm::BatchNorm, slices::WeightSlices};
use crate::{
    Result,
    config::Shape,
    gpu::{Buffer, Gpu},
    layout::{groups, padded},
    quant::{ActivationPlan, WeightQuantizerPlan},
    storage::Storage,
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
    /// `forward` and `backward` in slices, where the kernel wants them.
    pub forward_slices: Option<WeightSlices>,
    pub backward_slices: Option<WeightSlices>,
    /// [out channel (padded)].
    pub bias: Buffer,
    /// Where its learned steps are in the parameters, if it has any.
    pub step_index: Option<u32>,
    /// A vec4 of statistics an output channel.
    pub statistics: Buffer,
    /// A vec4 of quantizer constants an output channel.
    pub constants: Buffer,
    /// Partial sums of the weight gradient, in a buffer that all layers share, and their number;
    /// absent in networks that do not train.
    pub parts: Option<(Buffer, u32)>,
    /// Summands of the learned steps' gradients, a weight each, in a buffer that all layers share;
    /// absent without steps and in networks that do not train.
    pub step_terms: Option<Buffer>,
    /// A flat array like the parameters, with the weights and bias scaled by the batch norm behind
    /// the layer: quantized in their place.
    pub folded: Option<Buffer>,
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
        let elements = u64::from(taps)
            * u64::from(padded(input.channels))
            * u64::from(padded(output.channels));
        let channels = u64::from(padded(output.channels));
        Ok(Weights {
            weight_index: indices[0],
            bias_index: indices[1],
            taps,
            quantizer,
            step_index,
            forward: gpu.buffer("weights", elements * 4)?,
            backward: gpu.buffer("weights for the input gradient", elements * 4)?,
            forward_slices: None,
            backward_slices: None,
            bias: gpu.buffer("bias", channels * 4)?,
            statistics: gpu.buffer("weight statistics", channels * 16)?,
            constants: gpu.buffer("weight quantizer constants", channels * 16)?,
            parts: None,
            step_terms: None,
            folded: None,
        })
    }

    /// The flat array whose weights are quantized, where the network's is `parameters`.
    pub fn source<'a>(&'a self, parameters: &'a Buffer) -> &'a Buffer {
        self.folded.as_ref().unwrap_or(parameters)
    }

    /// Bytes of one part of the weight gradient of `node`.
    pub fn part_bytes(&self, node: &Node) -> u64 {
        (u64::from(self.taps) * u64::from(padded(node.input.channels)) + 1)
            * u64::from(padded(node.output.channels))
            * 4
    }

    /// Bytes of the copies that the kernels read.
    pub fn copies_bytes(&self) -> u64 {
        let slices: u64 = [&self.forward_slices, &self.backward_slices]
            .into_iter()
            .flatten()
            .map(WeightSlices::bytes)
            .sum();
        slices
            + [&self.forward, &self.backward, &self.bias, &self.statistics, &self.constants]
                .map(Buffer::size)
                .iter()
                .sum::<u64>()
    }

    /// Bytes of the summands of the gradient of `node`'s learned steps; 0 where it has none.
    pub fn step_term_bytes(&self, node: &Node) -> u64 {
        let weights =
            u64::from(self.taps) * u64::from(node.input.channels) * u64::from(node.output.channels);
        if self.step_index.is_some() { weights * 4 } else { 0 }
    }
}

/// A max-pool of 2 × 2 windows that is part of the convolution in front of it: the node's output is
/// the windows'.
pub(super) struct JoinedPool {
    /// What the convolution puts out, which is not kept.
    pub map: Shape,
    /// Positions of the maxima, as `max_pool` keeps them.
    pub choice: Buffer,
}

/// What a node computes.
pub(super) enum NodeKind {
    Convolution {
        weights: Weights,
        kernel: u32,
        stride: u32,
        padding: u32,
        pool: Option<JoinedPool>,
    },
    FullyConnected {
        weights: Weights,
    },
    BatchNorm(BatchNorm),
    Activation,
    MaxPool {
        kernel: u32,
        stride: u32,
        choice: Buffer,
    },
    Dropout {
        rate: f32,
        layer: u32,
    },
}

/// A layer with its activation and its output.
pub(super) struct Node {
    pub name: String,
    pub activation_name: Option<String>,
    pub kind: NodeKind,
    pub input: Shape,
    pub output: Shape,
    /// Formats of the values that go in and come out, and of [`Self::state`]; gradients have their
    /// companions.
    pub storage: Storage,
    /// Applied by the node's own kernel.
    pub activation: ActivationPlan,
    /// [image, row, column, channel / 4] vec4; shared with the node before for dropout, which works
    /// in place.
    pub value: Buffer,
    /// The activation whose values the node reads, as they are; [`ActivationPlan::NONE`] where
    /// something else is in between, or images.
    pub input_activation: ActivationPlan,
    /// The activation's input, kept for PACT.
    pub pre_activation: Option<Buffer>,
    /// The backward pass of `activation` is done by the max-pool behind it.
    pub gradient_by_pool: bool,
}

impl Node {
    /// The weights, where there are some.
    pub fn weights(&self) -> Option<&Weights> {
        match &self.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some(weights)
            }
            _ => None,
        }
    }

    /// As [`Self::weights`].
    pub fn weights_mut(&mut self) -> Option<&mut Weights> {
        match &mut self.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some(weights)
            }
            _ => None,
        }
    }

    /// The max-pool that is part of the node.
    pub fn joined_pool(&self) -> Option<&JoinedPool> {
        match &self.kind {
            NodeKind::Convolution { pool, .. } => pool.as_ref(),
            _ => None,
        }
    }

    /// What its activation is applied to.
    pub fn activated(&self) -> Shape {
        self.joined_pool().map_or(self.output, |pool| pool.map)
    }

    /// Whether the gradient of its input replaces that of its output.
    pub fn is_in_place(&self) -> bool {
        matches!(
            self.kind,
            NodeKind::BatchNorm(_) | NodeKind::Activation | NodeKind::Dropout { .. }
        )
    }

    /// What the activation's derivative is computed from.
    pub fn state(&self) -> &Buffer {
        self.pre_activation.as_ref().unwrap_or(&self.value)
    }

    /// Formats of the values that a forward kernel reads and writes.
    pub fn value_storage(&self) -> Storage {
        Storage::new(self.storage.input, self.storage.output)
    }

    /// Formats of the gradients with respect to the node's input and output, where its kernel
    /// passes them on.
    pub fn gradient_storage(&self) -> Storage {
        self.value_storage().of_gradients()
    }

    /// Groups of 4 values an image in its output.
    pub fn output_elements(&self) -> u32 {
        self.output.pixels() * groups(self.output.channels)
    }

    /// Bytes an image of the gradient with respect to its input.
    pub fn input_gradient_bytes(&self) -> u64 {
        u64::from(self.input_elements()) * self.gradient_storage().input.group_bytes()
    }

    /// Groups of 4 values an image in its input.
    pub fn input_elements(&self) -> u32 {
        self.input.pixels() * groups(self.input.channels)
    }
}
