//! A model without what only training needs.

use super::{DeployableActivation, WeightLevels};
use crate::{
    Result,
    config::{ActivationFunction, AveragePool, MaxPool, PixelNormalization, Shape, Window},
    graph::{BatchNorm, OpKind, Weights},
    model::{Model, fold_batch_norm},
};

/// A network for inference. The function is that of the model in inference: batch norms
/// are folded into the layers in front of them or a factor for every channel, dropouts are gone.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployableModel {
    /// Shape of an image.
    pub input: Shape,
    /// Number of classes: the last layer's outputs.
    pub classes: u32,
    /// A pixel p ∈ 0..255 goes in as (p/255 − mean)/deviation.
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
    /// Name as in the model file (letters, digits, underscores, points), e.g. `conv1`. A function
    /// with a quantizer behind it, which has that name, is called the same and `/function`.
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
        /// [out, in / groups, kernel height, kernel width].
        weights: DeployableWeights,
        /// The window, with padding by side.
        window: Window,
        /// Groups of channels that are convolved on their own.
        groups: u32,
    },
    /// Fully connected; its input is flattened in C, H, W order.
    FullyConnected {
        /// [out, in].
        weights: DeployableWeights,
    },
    /// In place of or behind a layer's output.
    Activation(DeployableActivation),
    /// x, or below 0 a slope · x: one slope, or one a channel.
    Prelu {
        /// The slopes.
        slopes: Vec<f32>,
    },
    /// Maximum over windows; padded pixels are never one.
    MaxPool(MaxPool),
    /// Means over windows. Padded pixels are 0 after normalisation.
    AveragePool(AveragePool),
    /// The sum of what it reads, two values or more.
    Add,
    /// The product of the two values that it reads, one of which may have a single pixel, which
    /// meets all of the other's.
    Multiply,
    /// The channels of all values that it reads, one value's after another's.
    Concat,
}

impl Operation {
    /// Weights and bias, where there are some.
    pub fn weights(&self) -> Option<&DeployableWeights> {
        match self {
            Operation::Convolution { weights, .. } | Operation::FullyConnected { weights } => {
                Some(weights)
            }
            Operation::Activation(_)
            | Operation::Prelu { .. }
            | Operation::MaxPool(_)
            | Operation::AveragePool(_)
            | Operation::Add
            | Operation::Multiply
            | Operation::Concat => None,
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
    /// `[out]`; with batch norm folded, never quantized; zeros where the layer has none.
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

    /// The same with every PReLU as max(x, 0) + (−slope)·max(−x, 0), of which one is 0: what
    /// follows steps on integers has these operations anyway.
    pub(super) fn without_prelus(&self) -> DeployableModel {
        let mut layers: Vec<DeployableLayer> = Vec::with_capacity(self.layers.len());
        let mut places: Vec<usize> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let reads = layer.reads.iter().map(|read| read.map(|read| places[read])).collect();
            let layer = DeployableLayer { reads, ..layer.clone() };
            if let Operation::Prelu { slopes } = &layer.operation {
                layers.extend(split_prelu(&layer, slopes, layers.len()));
            } else {
                layers.push(layer);
            }
            places.push(layers.len() - 1);
        }
        DeployableModel { layers, ..self.clone() }
    }

    /// What `model` is in inference.
    ///
    /// # Errors
    /// As [`Model::require_alphas`] and [`Model::normalization`]; [`crate::Error::Model`] for
    /// scales that are not finite.
    pub fn new(model: &Model) -> Result<Self> {
        let folded = fold_batch_norm(model)?;
        Ok(DeployableModel {
            input: folded.config.network.input,
            classes: folded.config.network.classes,
            normalization: folded.normalization()?,
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
        let graph = &folded.graph;
        let mut layers: Vec<DeployableLayer> = Vec::new();
        // The layer that makes each value; none for the image.
        let mut made: Vec<Option<usize>> = vec![None; graph.values.len()];
        for op in &graph.ops {
            let mut reads: Vec<_> = op.inputs.iter().map(|id| made[id.index()]).collect();
            let (input, output) = (graph.input_of(op), graph.output_of(op));
            let operations = match &op.kind {
                OpKind::Convolution { window, groups, weights } => {
                    let weights = DeployableWeights::new(folded, weights)?;
                    vec![Operation::Convolution { weights, window: *window, groups: *groups }]
                }
                OpKind::Linear { weights } => {
                    let weights = DeployableWeights::new(folded, weights)?;
                    vec![Operation::FullyConnected { weights }]
                }
                OpKind::BatchNorm(norm) => vec![channel_scale(folded, norm)?],
                OpKind::Activation(activation) => {
                    let activations = DeployableActivation::all(folded, activation)?;
                    activations.into_iter().map(Operation::Activation).collect()
                }
                OpKind::Prelu(own) => {
                    let slopes = graph.values_of(own.slope, &folded.parameters)?.to_vec();
                    vec![Operation::Prelu { slopes }]
                }
                &OpKind::MaxPool(pool) => vec![Operation::MaxPool(pool)],
                &OpKind::AveragePool(pool) => vec![Operation::AveragePool(pool)],
                OpKind::Add => vec![Operation::Add],
                OpKind::Multiply => vec![Operation::Multiply],
                OpKind::Concat => vec![Operation::Concat],
                // These do nothing in inference.
                OpKind::Dropout { .. } | OpKind::Flatten => Vec::new(),
            };
            let last = operations.len().saturating_sub(1);
            for (number, operation) in operations.into_iter().enumerate() {
                // No layer of a model has a stroke in its name.
                let name = match number == last {
                    true => op.name.clone(),
                    false => format!("{}/function", op.name),
                };
                let own = std::mem::replace(&mut reads, vec![Some(layers.len())]);
                layers.push(DeployableLayer { name, reads: own, input, output, operation });
            }
            made[op.output.index()] = reads[0];
        }
        Ok(layers)
    }
}

impl DeployableWeights {
    /// Weights and bias of a layer of `folded`.
    fn new(folded: &Model, weights: &Weights) -> Result<DeployableWeights> {
        let (graph, quantization) = (&folded.graph, &folded.config.quantization);
        let values = |id| graph.values_of(id, &folded.parameters);
        let optional = |id: Option<_>| id.map_or(Ok(&[][..]), values);
        let (shape, latent) =
            (graph.parameter(weights.weight).shape.clone(), values(weights.weight)?.to_vec());
        let (bits, channels) = (weights.bits, shape[0]);
        let bias = weights
            .bias
            .map_or_else(|| Ok(vec![0.0; channels]), |bias| values(bias).map(<[f32]>::to_vec))?;
        let stored = [optional(weights.level_scale)?, optional(weights.level_zero_point)?];
        let levels = match (bits.quantizes_weights(), quantization.weights_are_levels) {
            (false, _) => None,
            (true, false) => {
                let steps = optional(weights.step)?;
                Some(WeightLevels::new(quantization, bits.weight, &latent, channels, steps)?)
            }
            (true, true) => {
                Some(WeightLevels::of_values(quantization, bits.weight, &latent, channels, stored)?)
            }
        };
        Ok(DeployableWeights { shape, latent, levels, bias })
    }
}

/// The layers that make what the PReLU `layer` makes, of which the first has number `first`.
fn split_prelu(layer: &DeployableLayer, slopes: &[f32], first: usize) -> Vec<DeployableLayer> {
    let channels = layer.output.channels as usize;
    let scaled = |factor: &dyn Fn(usize) -> f32| Operation::Convolution {
        weights: DeployableWeights {
            shape: vec![channels, 1, 1, 1],
            latent: (0..channels).map(factor).collect(),
            levels: None,
            bias: vec![0.0; channels],
        },
        window: [1, 1, 0].into(),
        groups: channels as u32,
    };
    let relu = || {
        let function = ActivationFunction::Relu;
        Operation::Activation(DeployableActivation::Function(function))
    };
    let read = layer.reads[0];
    let parts = [
        ("/positive", vec![read], relu()),
        ("/negated", vec![read], scaled(&|_| -1.0)),
        ("/negative", vec![Some(first + 1)], relu()),
        ("/slopes", vec![Some(first + 2)], scaled(&|at| -slopes[at % slopes.len()])),
        ("", vec![Some(first), Some(first + 3)], Operation::Add),
    ];
    let part = |(suffix, reads, operation)| DeployableLayer {
        // No layer of a model has a stroke in its name.
        name: format!("{}{suffix}", layer.name),
        reads,
        input: layer.input,
        output: layer.output,
        operation,
    };
    parts.into_iter().map(part).collect()
}

/// A batch norm with its running statistics that no layer in front could take up: a factor and a
/// sum for every channel, y = s·x + (β − s·μ) with s = γ/√(σ² + ε), as a convolution by one tap.
fn channel_scale(folded: &Model, norm: &BatchNorm) -> Result<Operation> {
    let values = |id| folded.graph.values_of(id, &folded.parameters);
    let [scale, shift, mean, variance] =
        [values(norm.scale)?, values(norm.shift)?, values(norm.mean)?, values(norm.variance)?];
    let (mut latent, mut bias) = (Vec::new(), Vec::new());
    for channel in 0..scale.len() {
        let of = |values: &[f32]| f64::from(values[channel]);
        let factor = of(scale) / (of(variance) + f64::from(norm.epsilon)).sqrt();
        latent.push(factor as f32);
        bias.push((of(shift) - factor * of(mean)) as f32);
    }
    let shape = vec![scale.len(), 1, 1, 1];
    let groups = scale.len() as u32;
    let weights = DeployableWeights { shape, latent, levels: None, bias };
    Ok(Operation::Convolution { weights, window: [1, 1, 0].into(), groups })
}
