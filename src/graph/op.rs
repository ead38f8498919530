//! What a network consists of: operations with their attributes.

use super::{
    ids::{OpId, ValueId},
    parameters::ParameterId,
};
use crate::{
    config::{
        ActivationFunction, ActivationQuantizer, AveragePool, LayerBits, MaxPool, PactKind, Window,
    },
    quant::{ActivationPlan, WeightQuantizerPlan},
};

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Its place.
    pub id: OpId,
    /// Name in files, labels and errors: `conv1`; for an operation without parameters what it is
    /// and its place among the layers, counted from 1: `pool5`.
    pub name: String,
    /// What it computes.
    pub kind: OpKind,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it makes.
    pub output: ValueId,
}

/// What an operation computes, with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum OpKind {
    /// 2-D convolution (cross-correlation) with zero padding.
    Convolution {
        /// The window, with padding by side.
        window: Window,
        /// Groups of channels that are convolved on their own: a divisor of input and output
        /// channels.
        groups: u32,
        /// Weights and bias.
        weights: Weights,
    },
    /// Fully connected layer; its input is flattened in C, H, W order.
    Linear {
        /// Weights and bias.
        weights: Weights,
    },
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// A function of every value, or a quantizer of its values or in its place.
    Activation(Activation),
    /// x, or below 0 a learned slope · x.
    Prelu(Prelu),
    /// Maxima over windows; ties go to the first element in row-major order.
    MaxPool(MaxPool),
    /// Means over windows.
    AveragePool(AveragePool),
    /// Inverted dropout, only while training.
    Dropout {
        /// Probability of zeroing an element.
        rate: f32,
        /// Number of its random stream.
        stream: u32,
    },
    /// The sum of all inputs.
    Add,
    /// The product of two inputs, one of which may have one pixel that meets all of the other's.
    Multiply,
    /// The channels of all inputs, one input's after another's.
    Concat,
    /// Nothing: a linear layer behind takes values as a row.
    Flatten,
}

impl OpKind {
    /// Whether its output has shape and format of what it reads, so that it, or the gradient on the
    /// way back, can take that one's place.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(
            self,
            OpKind::BatchNorm(_)
                | OpKind::Activation(_)
                | OpKind::Prelu(_)
                | OpKind::Dropout { .. }
                | OpKind::Flatten
        )
    }

    /// Weights, where there are some.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            OpKind::Convolution { weights, .. } | OpKind::Linear { weights } => Some(weights),
            _ => None,
        }
    }

    /// As [`Self::weights`].
    pub(super) fn weights_mut(&mut self) -> Option<&mut Weights> {
        match self {
            OpKind::Convolution { weights, .. } | OpKind::Linear { weights } => Some(weights),
            _ => None,
        }
    }

    /// All its parameters.
    pub(super) fn parameters_mut(&mut self) -> impl Iterator<Item = &mut ParameterId> {
        let all = match self {
            OpKind::Convolution { weights, .. } | OpKind::Linear { weights } => {
                let Weights { weight, bias, step, level_scale, level_zero_point, .. } = weights;
                let optional = [bias, step, level_scale, level_zero_point].into_iter().flatten();
                [weight].into_iter().chain(optional).collect()
            }
            OpKind::BatchNorm(BatchNorm { scale, shift, mean, variance, count, .. }) => {
                vec![scale, shift, mean, variance, count]
            }
            OpKind::Activation(Activation { learned, offset, .. }) => {
                learned.iter_mut().chain(offset).collect()
            }
            OpKind::Prelu(Prelu { slope }) => vec![slope],
            OpKind::MaxPool(_)
            | OpKind::AveragePool(_)
            | OpKind::Dropout { .. }
            | OpKind::Add
            | OpKind::Multiply
            | OpKind::Concat
            | OpKind::Flatten => Vec::new(),
        };
        all.into_iter()
    }
}

/// Weights and bias of a convolution or fully connected layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Bits of the weights and of the layer's activations.
    pub bits: LayerBits,
    /// How the weights are quantized.
    pub quantizer: WeightQuantizerPlan,
    /// Filter taps: those of the window, or the pixels that a fully connected layer sees.
    pub taps: u32,
    /// `[out, in / groups, height, width]` or `[out, in]`.
    pub weight: ParameterId,
    /// `[out]`; absent in layers without one.
    pub bias: Option<ParameterId>,
    /// Learned steps of the weights (LSQ).
    pub step: Option<ParameterId>,
    /// Scale of weights that are on their levels already.
    pub level_scale: Option<ParameterId>,
    /// Zero point of weights that are on their levels already.
    pub level_zero_point: Option<ParameterId>,
    /// The batch norm right behind, the only reader, which scales the weights where they are
    /// quantized.
    pub norm: Option<OpId>,
    /// The first activation between this layer and the next one with weights.
    pub activation: Option<OpId>,
}

/// Parameters of a batch norm, `[channels]` each but the count.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// γ.
    pub scale: ParameterId,
    /// β.
    pub shift: ParameterId,
    /// Running mean.
    pub mean: ParameterId,
    /// Running variance.
    pub variance: ParameterId,
    /// Batches seen, a scalar.
    pub count: ParameterId,
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of a batch's statistics in the running ones.
    pub momentum: f32,
}

/// A PReLU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prelu {
    /// `[channels]`, or `[1]` of all.
    pub slope: ParameterId,
}

/// What an activation computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Bits of its output: 32 for a function alone.
    pub bits: u32,
    /// The function that was asked for.
    pub function: ActivationFunction,
    /// What quantizes its values below 32 bits.
    pub quantizer: ActivationQuantizer,
    /// What kernels know of it.
    pub plan: ActivationPlan,
    /// PACT's α or LSQ's step; absent for a function alone.
    pub learned: Option<ParameterId>,
    /// LSQ+'s offset.
    pub offset: Option<ParameterId>,
}

impl Activation {
    /// The kind of its grid where signed grids are asked for as `pact`: of functions in whose place
    /// no clip can stand there is one with levels to both sides of 0.
    pub fn grid_kind(&self, pact: PactKind) -> PactKind {
        if self.function.is_rectifier() { pact } else { PactKind::Signed }
    }
}
