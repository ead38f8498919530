//! A sequential CNN as data: layers, names, shapes.

use serde::{Deserialize, Serialize};

use super::misfit::Misfit;
use crate::Result;

/// ε of batch norms, as torch.nn.BatchNorm2d has it.
pub const BATCH_NORM_EPSILON: f32 = 1e-5;

/// Channels × height × width of one image or activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "[u32; 3]", from = "[u32; 3]")]
pub struct Shape {
    /// Number of channels.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Shape {
    /// A shape of `channels` × `height` × `width`.
    pub const fn new(channels: u32, height: u32, width: u32) -> Self {
        Shape { channels, height, width }
    }

    /// Rows × columns.
    pub const fn pixels(self) -> u32 {
        self.height * self.width
    }

    /// Channels × rows × columns.
    pub const fn elements(self) -> u32 {
        self.channels * self.height * self.width
    }
}

impl From<Shape> for [u32; 3] {
    fn from(shape: Shape) -> [u32; 3] {
        [shape.channels, shape.height, shape.width]
    }
}

impl From<[u32; 3]> for Shape {
    fn from([channels, height, width]: [u32; 3]) -> Shape {
        Shape { channels, height, width }
    }
}

/// One layer of a sequential network. Names of parameters follow PyTorch's (`conv1.weight`,
/// `fc1.bias`, `act1.alpha`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "a table with `type` and the layer's settings"
)]
pub enum LayerConfig {
    /// 2-D convolution (cross-correlation) with a square kernel and a bias.
    Conv {
        /// Name of its parameters, e.g. `conv1`.
        name: String,
        /// Number of filters.
        #[serde(alias = "out-channels")]
        out_channels: u32,
        /// Kernel height and width.
        kernel: u32,
        /// Step between outputs.
        #[serde(default = "one")]
        stride: u32,
        /// Zero rows and columns added on each side.
        #[serde(default)]
        padding: u32,
    },
    /// Batch normalisation right behind a convolution or linear layer, torch.nn.BatchNorm2d (or
    /// 1d): ε [`BATCH_NORM_EPSILON`], momentum 0.1.
    BatchNorm {
        /// Name of its parameters and running statistics, e.g. `bn1`.
        name: String,
    },
    /// ReLU, or PACT in its place where the preceding layer's activations are quantized.
    Activation {
        /// Name of its α, e.g. `act1`.
        name: String,
    },
    /// Max-pooling without padding; ties go to the first element in row-major order.
    MaxPool {
        /// Window height and width.
        kernel: u32,
        /// Step between windows.
        stride: u32,
    },
    /// Inverted dropout, only while training.
    Dropout {
        /// Probability of zeroing an element, 0 ≤ rate < 1.
        rate: f32,
    },
    /// Fully connected layer; flattens in C, H, W order.
    Linear {
        /// Name of its parameters, e.g. `fc1`.
        name: String,
        /// Number of outputs.
        #[serde(alias = "out-features")]
        out_features: u32,
    },
}

fn one() -> u32 {
    1
}

/// Largest number of elements of one image or activation that is believed.
const MAX_ELEMENTS: u128 = 1 << 28;

/// Channels × rows × columns, wide enough for any three numbers a file may claim.
fn size(shape: Shape) -> u128 {
    [shape.channels, shape.height, shape.width].iter().map(|&n| u128::from(n)).product()
}

/// A sequential CNN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Shape of one input image.
    pub input: Shape,
    /// Number of classes; must equal the outputs of the last layer.
    pub classes: u32,
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
}

impl LayerConfig {
    /// Its name, where layers of its type have one.
    pub fn name(&self) -> Option<&str> {
        match self {
            LayerConfig::Conv { name, .. }
            | LayerConfig::Linear { name, .. }
            | LayerConfig::BatchNorm { name }
            | LayerConfig::Activation { name } => Some(name),
            LayerConfig::MaxPool { .. } | LayerConfig::Dropout { .. } => None,
        }
    }

    /// Its name; of layers without one what they are and their place, counted from 1: `pool5`.
    pub fn label(&self, place: usize) -> String {
        match self {
            LayerConfig::Conv { name, .. }
            | LayerConfig::Linear { name, .. }
            | LayerConfig::BatchNorm { name }
            | LayerConfig::Activation { name } => name.clone(),
            LayerConfig::MaxPool { .. } => format!("pool{place}"),
            LayerConfig::Dropout { .. } => format!("dropout{place}"),
        }
    }
}

impl NetworkConfig {
    /// The network of Table I: conv 32 → act → conv 64 → act → max-pool 2 → (dropout) → fc 128 →
    /// act → (dropout) → fc `classes`. Dropout layers are there only where their rate is above 0.
    pub fn table_one(input: Shape, classes: u32, dropout: [f32; 2]) -> Self {
        let conv = |name: &str, out_channels| LayerConfig::Conv {
            name: name.into(),
            out_channels,
            kernel: 3,
            stride: 1,
            padding: 0,
        };
        let activation = |name: &str| LayerConfig::Activation { name: name.into() };
        let mut layers = vec![
            conv("conv1", 32),
            activation("act1"),
            conv("conv2", 64),
            activation("act2"),
            LayerConfig::MaxPool { kernel: 2, stride: 2 },
        ];
        layers.extend((dropout[0] > 0.0).then_some(LayerConfig::Dropout { rate: dropout[0] }));
        layers.extend([
            LayerConfig::Linear { name: "fc1".into(), out_features: 128 },
            activation("act3"),
        ]);
        layers.extend((dropout[1] > 0.0).then_some(LayerConfig::Dropout { rate: dropout[1] }));
        layers.push(LayerConfig::Linear { name: "fc2".into(), out_features: classes });
        NetworkConfig { input, classes, layers }
    }

    /// Whether this is the network of Table I, at whatever size, with or without dropout, with or
    /// without a batch norm behind every convolution.
    pub fn is_table_one(&self) -> bool {
        let plain = NetworkConfig::table_one(self.input, self.classes, [0.0; 2]);
        let is_dropout = |layer: &LayerConfig| matches!(layer, LayerConfig::Dropout { .. });
        let layers: Vec<_> = self.layers.iter().filter(|layer| !is_dropout(layer)).collect();
        [plain.clone().with_batch_norm(), plain]
            .iter()
            .any(|other| layers.iter().copied().eq(&other.layers))
    }

    /// This network with a batch norm (`bn1`, `bn2`, …) right behind every convolution.
    pub fn with_batch_norm(self) -> Self {
        let mut layers = Vec::with_capacity(2 * self.layers.len());
        let mut count = 0;
        for layer in self.layers {
            let convolution = matches!(layer, LayerConfig::Conv { .. });
            layers.push(layer);
            if convolution {
                count += 1;
                layers.push(LayerConfig::BatchNorm { name: format!("bn{count}") });
            }
        }
        NetworkConfig { layers, ..self }
    }

    /// The output shape of every layer, or what is wrong with the network.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) with the layer's number and name.
    pub fn shapes(&self) -> Result<Vec<Shape>> {
        Ok(self.fit()?)
    }

    /// [`Self::shapes`], or which layer does not fit.
    pub(super) fn fit(&self) -> Result<Vec<Shape>, Misfit> {
        let mut shape = self.input;
        if shape.channels == 0 || shape.height == 0 || shape.width == 0 {
            return Err(Misfit::of_network("input: channels, height and width must be at least 1"));
        }
        if size(shape) > MAX_ELEMENTS {
            return Err(Misfit::of_network("input: an image may have at most 2^28 elements"));
        }
        let mut shapes = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let misfit = |reason: String| Misfit::of_layer(index, layer.name(), reason);
            let window = |what: &str,
                          size: u32,
                          kernel: u32,
                          stride: u32,
                          padding: u32|
             -> Result<u32, Misfit> {
                let padded = size.saturating_add(padding.saturating_mul(2));
                if kernel == 0 || stride == 0 || padding >= kernel || kernel > padded {
                    return Err(misfit(format!(
                        "a {what} of {kernel} with stride {stride} and padding {padding} does not fit {size} pixels"
                    )));
                }
                Ok((padded - kernel) / stride + 1)
            };
            shape = match *layer {
                LayerConfig::Conv { out_channels, kernel, stride, padding, .. } => Shape::new(
                    out_channels,
                    window("convolution", shape.height, kernel, stride, padding)?,
                    window("convolution", shape.width, kernel, stride, padding)?,
                ),
                LayerConfig::MaxPool { kernel, stride } => Shape::new(
                    shape.channels,
                    window("pooling window", shape.height, kernel, stride, 0)?,
                    window("pooling window", shape.width, kernel, stride, 0)?,
                ),
                LayerConfig::Linear { out_features, .. } => Shape::new(out_features, 1, 1),
                LayerConfig::Dropout { rate } if !(0.0..1.0).contains(&rate) => {
                    return Err(misfit(format!("dropout {rate} is not in [0, 1)")));
                }
                LayerConfig::BatchNorm { .. } if !self.is_weighted(index.checked_sub(1)) => {
                    return Err(misfit(
                        "a batch norm must come right after a convolution or linear layer".into(),
                    ));
                }
                LayerConfig::Activation { .. }
                | LayerConfig::BatchNorm { .. }
                | LayerConfig::Dropout { .. } => shape,
            };
            let elements = size(shape);
            if elements == 0 {
                return Err(misfit("needs at least one output channel".into()));
            }
            if elements > MAX_ELEMENTS {
                return Err(misfit(
                    "the activation would be larger than 2^28 elements an image".into(),
                ));
            }
            shapes.push(shape);
        }
        match self.layers.last() {
            Some(LayerConfig::Linear { out_features, .. })
                if *out_features == self.classes && self.classes >= 2 =>
            {
                Ok(shapes)
            }
            last => {
                let classes = self.classes;
                let reason = format!(
                    "the last layer must be a linear one with as many outputs as classes ({classes}), at least 2"
                );
                Err(match last {
                    Some(layer) => Misfit::of_layer(self.layers.len() - 1, layer.name(), reason),
                    None => Misfit::of_network(reason),
                })
            }
        }
    }
}
