//! A model without what only training needs.

use super::{ActivationGrid, DeployableActivation, WeightLevels};
use crate::{
    Result,
    config::{LayerConfig, PixelNormalization, Shape},
    model::{Model, fold_batch_norm},
    quant::WeightQuantizerPlan,
};

/// A sequential network for inference. The function is that of the model in inference: batch norms are folded into the layers in front of them,
/// dropouts are gone.
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
    /// First to last.
    pub layers: Vec<DeployableLayer>,
}

/// A layer with the shapes it works on.
#[derive(Clone, Debug, PartialEq)]
pub struct DeployableLayer {
    /// Name as in the model file (letters, digits, underscores), e.g. `conv1`; `pool3` for a max-pool that is the third layer, batch norms not counted.
    pub name: String,
    /// Shape of what goes in.
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
        /// Step between windows.
        stride: u32,
    },
}

impl Operation {
    /// Weights and bias, where there are some.
    pub fn weights(&self) -> Option<&DeployableWeights> {
        match self {
            Operation::Convolution { weights, .. } | Operation::FullyConnected { weights } => Some(weights),
            Operation::Activation(_) | Operation::MaxPool { .. } => None,
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
        self.levels.as_ref().map_or_else(|| self.latent.clone(), |levels| levels.dequantize(self.channels()))
    }
}

impl DeployableModel {
    /// What `model` is in inference.
    ///
    /// # Errors
    /// As [`Model::require_alphas`] and [`Model::normalization`]; [`crate::Error::Model`] for scales that are not finite.
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
    /// The layers of a model without batch norms, however its pixels are normalised.
    pub(super) fn all(folded: &Model) -> Result<Vec<DeployableLayer>> {
        folded.require_alphas()?;
        let (network, quantization) = (&folded.config.network, &folded.config.quantization);
        let values = |name: &str, suffix: &str| folded.layout.values(&format!("{name}.{suffix}"), &folded.parameters);
        let mut layers = Vec::new();
        let mut weighted = 0;
        let mut input = network.input;
        for (index, (layer, output)) in network.layers.iter().zip(network.shapes()?).enumerate() {
            let mut weights = |name: &str, shape: Vec<usize>| -> Result<DeployableWeights> {
                let bits = quantization.layer_bits(weighted);
                weighted += 1;
                let (latent, bias) = (values(name, "weight")?.to_vec(), values(name, "bias")?.to_vec());
                let only = |is_there: bool, suffix: &str| if is_there { values(name, suffix) } else { Ok(&[][..]) };
                let levels = match (bits.quantizes_weights(), quantization.weights_are_levels) {
                    (false, _) => None,
                    (true, false) => {
                        let steps = only(WeightQuantizerPlan::new(quantization, bits)?.learns_step(), "weight_step")?;
                        Some(WeightLevels::new(quantization, bits.weight, &latent, bias.len(), steps)?)
                    }
                    (true, true) => {
                        let zero_points = only(quantization.weight_quant.has_zero_point(), "weight_zero_point")?;
                        let stored = [values(name, "weight_scale")?, zero_points];
                        Some(WeightLevels::of_values(quantization, bits.weight, &latent, bias.len(), stored)?)
                    }
                };
                Ok(DeployableWeights { shape, latent, levels, bias })
            };
            let (name, operation) = match layer {
                LayerConfig::Conv { name, out_channels, kernel, stride, padding } => {
                    let shape = [*out_channels, input.channels, *kernel, *kernel].map(|size| size as usize).to_vec();
                    let weights = weights(name, shape)?;
                    (name.clone(), Operation::Convolution { weights, kernel: *kernel, stride: *stride, padding: *padding })
                }
                LayerConfig::Linear { name, out_features } => {
                    let shape = vec![*out_features as usize, input.elements() as usize];
                    (name.clone(), Operation::FullyConnected { weights: weights(name, shape)? })
                }
                LayerConfig::Activation { name } => {
                    // An activation has the bits of the last layer with weights.
                    let bits = weighted.checked_sub(1).map(|last| quantization.layer_bits(last));
                    let activation = match bits.filter(|bits| bits.quantizes_activations()) {
                        Some(bits) => {
                            let place = folded.layout.require_learned(name, quantization.act_quant)?.offset as usize;
                            let learned = folded.parameters[place];
                            let grid = ActivationGrid::new(quantization.act_quant, quantization.pact, bits.activation, learned)?;
                            DeployableActivation::Quantized(grid)
                        }
                        None => DeployableActivation::Relu,
                    };
                    (name.clone(), Operation::Activation(activation))
                }
                LayerConfig::MaxPool { kernel, stride } => {
                    (layer.label(index + 1), Operation::MaxPool { kernel: *kernel, stride: *stride })
                }
                LayerConfig::Dropout { .. } | LayerConfig::BatchNorm { .. } => continue,
            };
            layers.push(DeployableLayer { name, input, output, operation });
            input = output;
        }
        Ok(layers)
    }
}
