//! A model without what only training needs.

use super::{ActivationGrid, DeployableActivation, WeightLevels};
use crate::{
    Result,
    config::{LayerConfig, PixelNormalization, Shape},
    model::{Model, fold_batch_norm},
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
    /// As [`Model::require_alphas`]; [`crate::Error::Model`] for scales that are not finite.
    pub fn new(model: &Model) -> Result<Self> {
        model.require_alphas()?;
        let folded = fold_batch_norm(model)?;
        let (network, quantization) = (&folded.config.network, &folded.config.quantization);
        let values = |name: &str, suffix: &str| {
            let found = folded.layout.find(&format!("{name}.{suffix}"));
            found.map_or(&[][..], |parameter| &folded.parameters[parameter.range()])
        };
        let mut layers = Vec::new();
        let mut weighted = 0;
        let mut input = network.input;
        for (index, (layer, output)) in network.layers.iter().zip(network.shapes()?).enumerate() {
            let mut weights = |name: &str, shape: Vec<usize>| -> Result<DeployableWeights> {
                let bits = quantization.layer_bits(weighted);
                weighted += 1;
                let (latent, bias) = (values(name, "weight").to_vec(), values(name, "bias").to_vec());
                let steps = values(name, "weight_step");
                let stored = [values(name, "weight_scale"), values(name, "weight_zero_point")];
                let levels = match (bits.quantizes_weights(), quantization.weights_are_levels) {
                    (false, _) => None,
                    (true, false) => Some(WeightLevels::new(quantization, bits.weight, &latent, bias.len(), steps)?),
                    (true, true) => Some(WeightLevels::of_values(quantization, bits.weight, &latent, bias.len(), stored)?),
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
                    let learned = [values(name, "alpha"), values(name, "step")].concat();
                    let activation = match learned[..] {
                        [learned] => {
                            let bits = quantization.layer_bits(weighted.max(1) - 1).activation;
                            let grid = ActivationGrid::new(quantization.act_quant, quantization.pact, bits, learned)?;
                            DeployableActivation::Quantized(grid)
                        }
                        _ => DeployableActivation::Relu,
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
        Ok(DeployableModel {
            input: network.input,
            classes: network.classes,
            normalization: folded.config.normalize,
            class_names: folded.config.class_names.clone(),
            dataset: folded.config.dataset.clone(),
            layers,
        })
    }
}
