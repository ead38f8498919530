//! A sequential CNN as data: its layers, whether they fit each other, how many parameters they have.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{
    layers::{LayerConfig, MAX_POOL_KERNEL, Shape, WeightLayer},
    misfit::Misfit,
};
use crate::Result;

/// Most layers a network may have.
const MAX_LAYERS: usize = 256;
/// Most parameters a network may have (1 GiB in f32).
const MAX_PARAMETERS: u128 = 1 << 28;

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
                LayerConfig::MaxPool { kernel, .. } if kernel > MAX_POOL_KERNEL => {
                    return Err(misfit(format!(
                        "pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not {kernel}"
                    )));
                }
                LayerConfig::MaxPool { kernel, stride } => Shape::new(
                    shape.channels,
                    window("pooling window", shape.height, kernel, stride, 0)?,
                    window("pooling window", shape.width, kernel, stride, 0)?,
                ),
                LayerConfig::AveragePool(pool) => Shape::new(
                    shape.channels,
                    pool.windows(shape.height).map_err(misfit)?,
                    pool.windows(shape.width).map_err(misfit)?,
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

    /// The convolution and linear layers in order.
    pub fn weight_layers(&self) -> Vec<WeightLayer<'_>> {
        let mut found: Vec<WeightLayer<'_>> = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            match layer {
                LayerConfig::Conv { name, .. } => {
                    found.push(WeightLayer { index, name, convolution: true, activation: None })
                }
                LayerConfig::Linear { name, .. } => {
                    found.push(WeightLayer { index, name, convolution: false, activation: None })
                }
                LayerConfig::Activation { name } => {
                    if let Some(last) = found.last_mut() {
                        last.activation.get_or_insert(name);
                    }
                }
                // No other layer has weights.
                _ => {}
            }
        }
        found
    }

    /// Whether there is a layer `index`, and it is a convolution or linear one.
    pub(super) fn is_weighted(&self, index: Option<usize>) -> bool {
        let layer = index.and_then(|index| self.layers.get(index));
        matches!(layer, Some(LayerConfig::Conv { .. } | LayerConfig::Linear { .. }))
    }

    /// Whether any layer is a batch norm.
    pub fn has_batch_norm(&self) -> bool {
        self.layers.iter().any(|layer| matches!(layer, LayerConfig::BatchNorm { .. }))
    }

    /// The first batch norm for which an image is a single value a channel, where there is one: a
    /// batch of one image has no variance for it (torch.nn refuses it too).
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes).
    pub fn single_value_norm(&self) -> Result<Option<&str>> {
        let found = self.layers.iter().zip(self.shapes()?).find_map(|(layer, shape)| match layer {
            LayerConfig::BatchNorm { name } if shape.pixels() == 1 => Some(name.as_str()),
            _ => None,
        });
        Ok(found)
    }

    /// Weights and biases (without α) of a network whose [`shapes`](Self::shapes) are given.
    fn parameters(&self, shapes: &[Shape]) -> u128 {
        let mut input = self.input;
        let mut total = 0u128;
        for (layer, &shape) in self.layers.iter().zip(shapes) {
            let fan_in = match *layer {
                LayerConfig::Conv { kernel, .. } => {
                    u128::from(input.channels) * u128::from(kernel) * u128::from(kernel)
                }
                LayerConfig::Linear { .. } => u128::from(input.elements()),
                LayerConfig::BatchNorm { .. } => 1, // γ and β
                _ => 0,
            };
            if fan_in > 0 {
                total = total.saturating_add(u128::from(shape.channels).saturating_mul(fan_in + 1));
            }
            input = shape;
        }
        total
    }

    /// Everything that must hold before memory is set aside for the network, whoever wrote it: at
    /// most 256 layers that fit each other ([`shapes`](Self::shapes), which it returns), distinct
    /// plain names, at most 2^28 parameters.
    pub fn validate(&self) -> Result<Vec<Shape>> {
        Ok(self.find_misfit()?)
    }

    /// [`Self::validate`], or which layer is wrong.
    pub(super) fn find_misfit(&self) -> Result<Vec<Shape>, Misfit> {
        if self.layers.len() > MAX_LAYERS {
            let reason =
                format!("{} layers: a network may have at most {MAX_LAYERS}", self.layers.len());
            return Err(Misfit::of_network(reason));
        }
        let shapes = self.fit()?;
        let mut names = HashSet::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let misfit = |reason: &str| Misfit::of_layer(index, layer.name(), reason.into());
            let Some(name) = layer.name() else { continue };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
                return Err(misfit(
                    "a name is 1 to 64 letters, digits and underscores, such as `conv1`",
                ));
            }
            if !names.insert(name) {
                return Err(misfit("the name is taken by an earlier layer"));
            }
        }
        let parameters = self.parameters(&shapes);
        if parameters > MAX_PARAMETERS {
            return Err(Misfit::of_network(format!(
                "{parameters} parameters: a network may have at most 2^28"
            )));
        }
        Ok(shapes)
    }

    /// Number of weights and biases, those of batch norms included (α and running statistics not
    /// counted), for a network that [`validate`](Self::validate)s.
    pub fn parameter_count(&self) -> Result<u64> {
        let shapes = self.validate()?;
        Ok(u64::try_from(self.parameters(&shapes)).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn table_one_has_the_known_parameter_count() {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.25, 0.5]);
        assert_eq!(network.parameter_count().unwrap(), 1_199_882);
        let layers = network.weight_layers();
        let found: Vec<_> =
            layers.iter().map(|layer| (layer.name, layer.convolution, layer.activation)).collect();
        assert_eq!(
            found,
            [
                ("conv1", true, Some("act1")),
                ("conv2", true, Some("act2")),
                ("fc1", false, Some("act3")),
                ("fc2", false, None)
            ]
        );
    }

    #[test]
    fn absurd_networks_are_refused() {
        let linear =
            |name: &str, out_features| LayerConfig::Linear { name: name.into(), out_features };
        let network = |input, classes, layers| NetworkConfig { input, classes, layers };
        let image = Shape::new(1, 28, 28);
        let cases = [
            network(Shape::new(u32::MAX, u32::MAX, u32::MAX), 10, vec![linear("fc", 10)]),
            network(image, u32::MAX, vec![linear("fc", u32::MAX)]),
            network(Shape::new(1, 1 << 14, 1 << 14), 2, vec![linear("fc", 2)]),
            network(image, 10, vec![linear("fc", 20), linear("fc", 10)]),
            network(image, 10, vec![linear("../fc", 10)]),
            network(image, 10, vec![linear("fc", 10); 300]),
            network(
                image,
                10,
                vec![
                    LayerConfig::Conv {
                        name: "c".into(),
                        out_channels: u32::MAX,
                        kernel: (1 << 31) + 1,
                        stride: 1,
                        padding: 1 << 31,
                    },
                    linear("fc", 10),
                ],
            ),
        ];
        for case in cases {
            assert!(matches!(case.validate(), Err(Error::Model(_))), "{case:?}");
        }
    }
}
