//! A model without what only training needs.

use super::{ActivationGrid, DeployableActivation, WeightLevels};
use crate::{
    Error, Result,
    config::{ActivationFunction, ActivationQuantizer, AveragePool, PixelNormalization, Shape},
    graph::{Activation, OpKind, Weights},
    model::{Model, fold_batch_norm},
};

/// A network for inference. The function is that of the model in inference: batch norms
/// are folded into the layers in front of them, dropouts are gone.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployableModel {
    /// Shape of an image.
    pub input: Shape,
    /// Number of classes: the last layer's outputs.
    pub classes: u32,
    /// A pixel p ∈ 0..255 goes in as (p/255 − mean)/deviation, in every channel alike.
    pub normalization: PixelNormalization,
    /// Names of the classes in order; empty where none are known. They may hold any characters.
    pub class_names: Vec<String>,
    /// Name of the data set it was trained on; any characters.
    pub dataset: String,
    /// In an order in which they can be computed.
    pub layers: Vec<DeployableLayer>,
}

/// A layer with the shapes it works on.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployableLayer {
    /// Name as in the model file (letters, digits, underscores), e.g. `conv1`; `pool3` for a
    /// pool that is the third layer, batch norms not counted.
    pub name: String,
    /// The layers that it reads, by number; none for the image.
    pub reads: Vec<Option<usize>>,
    /// Shape of what goes in first.
    pub input: Shape,
    /// Shape of what comes out.
    pub output: Shape,
    /// What it computes.
    pub operation: Operation,
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Cross-correlation with zero padding. Zero is 0 after normalisation.
    Convolution {
        /// [out, in, kernel, kernel].
        weights: DeployableWeights,
        /// Height and width of a filter.
        kernel: u32,
        /// Step between outputs.
        stride: u32,
        /// Zero rows and columns on each side.
        padding: u32,
    },
    /// Fully connected; its input is flattened in C, H, W order.
    FullyConnected {
        /// [out, in].
        weights: DeployableWeights,
    },
    /// In place of or behind a layer's output.
    Activation(DeployableActivation),
    /// Maximum over windows, without padding.
    MaxPool {
        /// Height and width of a window.
        kernel: u32,
        /// Stride between windows.
        stride: u32,
    },
    /// Means over windows. Padded pixels are 0 after normalisation.
    AveragePool(AveragePool),
    /// The sum of what it reads, two values or more.
    Add,
}

impl Operation {
    /// Weights and bias, where there are some.
    pub fn weights(&self) -> Option<&DeployableWeights> {
        match self {
            Operation::Convolution { weights, .. } | Operation::FullyConnected { weights } => {
                Some(weights)
            }
            Operation::Activation(_)
            | Operation::MaxPool { .. }
            | Operation::AveragePool(_)
            | Operation::Add => None,
        }
    }
}

/// Weights and bias of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployableWeights {
    /// PyTorch's shape of the weights.
    pub shape: Vec<usize>,
    /// Latent float weights with batch norm folded: what [`Self::levels`] were made of.
    pub latent: Vec<f32>,
    /// The integer levels, where the weights are quantized.
    pub levels: Option<WeightLevels>,
    /// `[out]`; with batch norm folded, never quantized.
    pub bias: Vec<f32>,
}

impl DeployableWeights {
    /// Output channels.
    pub fn channels(&self) -> usize {
        self.bias.len()
    }

    /// The weights that the network computes with: dequantized levels, or the float weights.
    pub fn values(&self) -> Vec<f32> {
        self.levels
            .as_ref()
            .map_or_else(|| self.latent.clone(), |levels| levels.dequantize(self.channels()))
    }
}

impl DeployableModel {
    /// The only layer that reads what layer `index` makes, where there is only one.
    pub(super) fn behind(&self, index: usize) -> Option<usize> {
        let reads = |other: &usize| self.layers[*other].reads.contains(&Some(index));
        let mut readers = (0..self.layers.len()).filter(reads);
        readers.next().filter(|_| readers.next().is_none())
    }

    /// What `model` is in inference.
    ///
    /// # Errors
    /// As [`Model::require_alphas`] and [`Model::normalization`]; [`crate::Error::Model`] for
    /// scales that are not finite.
    pub fn new(model: &Model) -> Result<Self> {
        let folded = fold_batch_norm(model)?;
        let (mean, deviation) = folded.normalization()?;
        Ok(DeployableModel {
            input: folded.config.network.input,
            classes: folded.config.network.classes,
            normalization: PixelNormalization { mean, deviation },
            class_names: folded.config.class_names.clone(),
            dataset: folded.config.dataset.clone(),
            layers: DeployableLayer::all(&folded)?,
        })
    }
}

impl DeployableLayer {
    /// The layers of a model with its batch norms folded, however its pixels are normalised.
    pub(super) fn all(folded: &Model) -> Result<Vec<DeployableLayer>> {
        folded.require_alphas()?;
        let quantization = &folded.config.quantization;
        let graph = &folded.graph;
        let values = |id| graph.values_of(id, &folded.parameters);
        let optional = |id: Option<_>| id.map_or(Ok(&[][..]), values);
        let weights = |weights: &Weights| -> Result<DeployableWeights> {
            let (latent, bias) =
                (values(weights.weight)?.to_vec(), optional(weights.bias)?.to_vec());
            let (bits, channels) = (weights.bits, bias.len());
            let stored = [optional(weights.level_scale)?, optional(weights.level_zero_point)?];
            let levels = match (bits.quantizes_weights(), quantization.weights_are_levels) {
                (false, _) => None,
                (true, false) => {
                    let steps = optional(weights.step)?;
                    Some(WeightLevels::new(quantization, bits.weight, &latent, channels, steps)?)
                }
                (true, true) => Some(WeightLevels::of_values(
                    quantization,
                    bits.weight,
                    &latent,
                    channels,
                    stored,
                )?),
            };
            let shape = graph.parameter(weights.weight).shape.clone();
            Ok(DeployableWeights { shape, latent, levels, bias })
        };
        let mut layers: Vec<DeployableLayer> = Vec::new();
        // The layer that makes each value; none for the image.
        let mut made: Vec<Option<usize>> = vec![None; graph.values.len()];
        for op in &graph.ops {
            let reads: Vec<_> = op.inputs.iter().map(|id| made[id.index()]).collect();
            let operation = match &op.kind {
                OpKind::Convolution { window, groups, weights: own } => {
                    let name = &op.name;
                    let unable = |what: &str| {
                        Error::Model(format!("{name}: {what} cannot be exported so far"))
                    };
                    let [kernel, stride, padding] = match (*groups, own.bias, window.square()) {
                        (1, Some(_), Some(window)) => window,
                        (2.., ..) => return Err(unable("convolutions of groups of channels")),
                        (_, _, None) => {
                            let what = "convolutions whose windows are not square, padded alike \
                                on all sides and undilated";
                            return Err(unable(what));
                        }
                        _ => return Err(unable("convolutions without a bias")),
                    };
                    Operation::Convolution { weights: weights(own)?, kernel, stride, padding }
                }
                OpKind::Linear { weights: own } => {
                    Operation::FullyConnected { weights: weights(own)? }
                }
                OpKind::Activation(activation) if !is_exportable(activation) => {
                    let (name, kind) = (&op.name, activation.function.name());
                    return Err(Error::Model(format!("{name}: {kind} cannot be exported so far")));
                }
                OpKind::Activation(activation) => Operation::Activation(match activation.learned {
                    Some(id) => {
                        let offset = optional(activation.offset)?.first().copied();
                        let learned = (values(id)?[0], offset.unwrap_or(0.0));
                        let bits = activation.bits;
                        let (act_quant, pact) = (quantization.act_quant, quantization.pact);
                        let grid = ActivationGrid::new(act_quant, pact, bits, learned)?;
                        DeployableActivation::Quantized(grid)
                    }
                    None => DeployableActivation::Relu,
                }),
                &OpKind::MaxPool(pool) if pool.is_inside() => {
                    Operation::MaxPool { kernel: pool.kernel, stride: pool.stride }
                }
                OpKind::MaxPool(_) => {
                    let name = &op.name;
                    return Err(Error::Model(format!(
                        "{name}: max-pool with padding or ceil_mode cannot be exported so far"
                    )));
                }
                &OpKind::AveragePool(pool) => Operation::AveragePool(pool),
                OpKind::Add => Operation::Add,
                OpKind::Multiply | OpKind::Concat => {
                    let kind = match &op.kind {
                        OpKind::Multiply => "products",
                        _ => "concatenations",
                    };
                    let name = &op.name;
                    return Err(Error::Model(format!("{name}: {kind} cannot be exported so far")));
                }
                OpKind::BatchNorm(_) => {
                    let name = &op.name;
                    return Err(Error::Model(format!(
                        "{name}: a batch norm that is not the only layer right behind one with \
                         weights cannot be exported so far"
                    )));
                }
                // These do nothing in inference.
                OpKind::Dropout { .. } | OpKind::Flatten => {
                    made[op.output.index()] = reads[0];
                    continue;
                }
            };
            let (name, input, output) = (op.name.clone(), graph.input_of(op), graph.output_of(op));
            made[op.output.index()] = Some(layers.len());
            layers.push(DeployableLayer { name, reads, input, output, operation });
        }
        Ok(layers)
    }
}

/// Whether it is a ReLU, or a quantizer whose clip stands in the place of a ReLU or ReLU6.
fn is_exportable(activation: &Activation) -> bool {
    let has_clip =
        activation.learned.is_some() && activation.quantizer != ActivationQuantizer::LsqPlus;
    match activation.function {
        ActivationFunction::Relu => true,
        function => function.is_rectifier() && has_clip,
    }
}
