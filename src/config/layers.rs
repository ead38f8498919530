//! Limits and look-ups on a [`NetworkConfig`]: which layers have weights, how many parameters there
//! are.

use std::collections::HashSet;

use super::{LayerConfig, NetworkConfig, Shape, misfit::Misfit};
use crate::Result;

/// Most layers a network may have.
const MAX_LAYERS: usize = 256;
/// Largest window of a max-pool: the position of a maximum takes eight bits.
pub(crate) const MAX_POOL_KERNEL: u32 = 15;
/// Most parameters a network may have (1 GiB in f32).
const MAX_PARAMETERS: u128 = 1 << 28;

/// A convolution or linear layer, as `--bits` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightLayer<'a> {
    /// Position in [`NetworkConfig::layers`].
    pub index: usize,
    /// Name of its parameters.
    pub name: &'a str,
    /// Convolution (else linear).
    pub convolution: bool,
    /// Name of the activation between this layer and the next one with weights: where its output
    /// can be quantized.
    pub activation: Option<&'a str>,
}

impl NetworkConfig {
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
                LayerConfig::BatchNorm { .. }
                | LayerConfig::MaxPool { .. }
                | LayerConfig::Dropout { .. } => {}
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
            if let LayerConfig::MaxPool { kernel, .. } = layer
                && *kernel > MAX_POOL_KERNEL
            {
                let reason = format!(
                    "pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not {kernel}"
                );
                return Err(misfit(&reason));
            }
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
