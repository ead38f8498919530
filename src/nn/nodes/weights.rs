//! Where a layer's weights are, and the copies of them that its kernels read.

use crate::{
    Error, Result,
    gpu::{Buffer, Gpu},
    kernels::{BackwardLayout, WeightShape},
    layout::padded,
    nn::slices::WeightSlices,
    quant::WeightQuantizerPlan,
};

/// Weights of a convolution or fully connected layer.
pub(in crate::nn) struct Weights {
    pub shape: WeightShape,
    pub quantizer: WeightQuantizerPlan,
    /// [tap, in channel (padded where not grouped), out channel (padded)].
    pub forward: Buffer,
    /// In channels contiguous, where the input's gradient wants a copy of its own.
    pub backward: Option<(Buffer, BackwardLayout)>,
    /// `forward` and `backward` in slices, where the kernel wants them.
    pub forward_slices: Option<WeightSlices>,
    pub backward_slices: Option<WeightSlices>,
    /// [out channel (padded)]; zeros in layers without one.
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
        shape: WeightShape,
        backward: Option<BackwardLayout>,
        step_index: Option<u32>,
        quantizer: WeightQuantizerPlan,
    ) -> Result<Self> {
        let [inputs, outputs] = [shape.stored_inputs(), padded(shape.out_channels)].map(u64::from);
        let bytes = u64::from(shape.taps) * inputs * outputs * 4;
        let copy =
            |layout| Ok::<_, Error>((gpu.buffer("weights for the input gradient", bytes)?, layout));
        Ok(Weights {
            shape,
            quantizer,
            step_index,
            forward: gpu.buffer("weights", bytes)?,
            backward: backward.map(copy).transpose()?,
            forward_slices: None,
            backward_slices: None,
            bias: gpu.buffer("bias", outputs * 4)?,
            statistics: gpu.buffer("weight statistics", outputs * 16)?,
            constants: gpu.buffer("weight quantizer constants", outputs * 16)?,
            parts: None,
            step_terms: None,
            folded: None,
        })
    }

    /// The flat array whose weights are quantized, where the network's is `parameters`.
    pub fn source<'a>(&'a self, parameters: &'a Buffer) -> &'a Buffer {
        self.folded.as_ref().unwrap_or(parameters)
    }

    /// Bytes of one part of the weight gradient.
    pub fn part_bytes(&self) -> u64 {
        let [inputs, outputs] =
            [self.shape.stored_inputs(), padded(self.shape.out_channels)].map(u64::from);
        (u64::from(self.shape.taps) * inputs + 1) * outputs * 4
    }

    /// Bytes of two copies in the layouts of kernels, of slices of them, and of constants.
    pub fn copies_bytes(&self) -> u64 {
        let slices: u64 = [&self.forward_slices, &self.backward_slices]
            .into_iter()
            .flatten()
            .map(WeightSlices::bytes)
            .sum();
        let rest = [&self.bias, &self.statistics, &self.constants].map(Buffer::size);
        slices + 2 * self.forward.size() + rest.iter().sum::<u64>()
    }

    /// Bytes of the summands of the learned steps' gradient; 0 where there are no steps.
    pub fn step_term_bytes(&self) -> u64 {
        if self.step_index.is_some() { u64::from(self.shape.count()) * 4 } else { 0 }
    }
}
