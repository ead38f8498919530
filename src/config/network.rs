//! A CNN as data: its layers, whether they fit each other, how many parameters they have.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    layer_kind::LayerKind,
    layers::{IMAGES, LayerConfig, WeightLayer},
    misfit::Misfit,
    shape::Shape,
    wiring::{Source, Wiring, names},
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

/// A CNN: layers in an order in which they can be computed.
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
        let mut layers = vec![
            LayerConfig::conv("conv1", 32, [3, 1, 0]),
            LayerConfig::activation("act1"),
            LayerConfig::conv("conv2", 64, [3, 1, 0]),
            LayerConfig::activation("act2"),
            LayerConfig::max_pool(2, 2),
        ];
        layers.extend((dropout[0] > 0.0).then(|| LayerConfig::dropout(dropout[0])));
        layers.extend([LayerConfig::linear("fc1", 128), LayerConfig::activation("act3")]);
        layers.extend((dropout[1] > 0.0).then(|| LayerConfig::dropout(dropout[1])));
        layers.push(LayerConfig::linear("fc2", classes));
        NetworkConfig { input, classes, layers }
    }

    /// Whether this is the network of Table I, at whatever size, with or without dropout, with or
    /// without a batch norm behind every convolution.
    pub fn is_table_one(&self) -> bool {
        let plain = NetworkConfig::table_one(self.input, self.classes, [0.0; 2]);
        let layers: Vec<_> = self.layers.iter().filter(|layer| !layer.kind.is_dropout()).collect();
        [plain.clone().with_batch_norm(), plain]
            .iter()
            .any(|other| layers.iter().copied().eq(&other.layers))
    }

    /// This network with a batch norm (`bn1`, `bn2`, …) right behind every convolution.
    pub fn with_batch_norm(self) -> Self {
        let mut layers = Vec::with_capacity(2 * self.layers.len());
        let mut count = 0;
        for layer in self.layers {
            let convolution = matches!(layer.kind, LayerKind::Conv { .. });
            layers.push(layer);
            if convolution {
                count += 1;
                layers.push(LayerConfig::batch_norm(&format!("bn{count}")));
            }
        }
        NetworkConfig { layers, ..self }
    }

    /// What every layer is called: its own name; without one its type and number among the layers
    /// of its type (`conv1`, `fc1`, `bn1`, `act1`, `add1`), or among all (`pool5`, `dropout6`).
    pub fn names(&self) -> Vec<String> {
        names(&self.layers)
    }

    /// The output shape of every layer, or what is wrong with the network.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) with the layer's number and name.
    pub fn shapes(&self) -> Result<Vec<Shape>> {
        Ok(self.fit()?.1)
    }

    /// Names, sources and [`Self::shapes`] of all layers, or which layer does not fit.
    pub(crate) fn fit(&self) -> Result<(Wiring, Vec<Shape>), Misfit> {
        let images = self.input;
        if images.channels == 0 || images.height == 0 || images.width == 0 {
            return Err(Misfit::of_network("input: channels, height and width must be at least 1"));
        }
        if size(images) > MAX_ELEMENTS {
            return Err(Misfit::of_network("input: an image may have at most 2^28 elements"));
        }
        let wiring = Wiring::new(&self.layers)?;
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.layers.len());
        for (index, (layer, sources)) in self.layers.iter().zip(&wiring.sources).enumerate() {
            let misfit = |reason: String| Misfit::of_layer(index, layer.name.as_deref(), reason);
            let shape_of = |source: &Source| match *source {
                Source::Images => images,
                Source::Layer(place) => shapes[place],
            };
            let inputs: Vec<Shape> = sources.iter().map(shape_of).collect();
            if layer.kind.is_batch_norm() && !self.normalizes(&wiring, index) {
                return Err(misfit(
                    "a batch norm must come right after a convolution or linear layer, and be its \
                     only reader"
                        .into(),
                ));
            }
            let shape = layer.kind.output(&inputs).map_err(misfit)?;
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
        let is_head = |layer: &LayerConfig| match layer.kind {
            LayerKind::Linear { out_features } => out_features == self.classes && self.classes >= 2,
            _ => false,
        };
        let last = self.layers.last();
        if last.is_some_and(is_head) {
            return Ok((wiring, shapes));
        }
        let reason = format!(
            "the last layer must be a linear one with as many outputs as classes ({}), at least 2",
            self.classes
        );
        Err(match last {
            Some(layer) => Misfit::of_layer(self.layers.len() - 1, layer.name.as_deref(), reason),
            None => Misfit::of_network(reason),
        })
    }

    /// Whether layer `index` reads a convolution or linear layer that nobody else reads.
    fn normalizes(&self, wiring: &Wiring, index: usize) -> bool {
        let Source::Layer(front) = wiring.sources[index][0] else { return false };
        let reads = wiring.sources.iter().flatten().filter(|&&own| own == Source::Layer(front));
        self.layers[front].kind.is_weighted() && reads.count() == 1
    }

    /// The convolution and linear layers in order.
    pub fn weight_layers(&self) -> Vec<WeightLayer> {
        let mut activations: HashMap<usize, String> = HashMap::new();
        // A network that cannot be wired has no activations; it is refused elsewhere.
        if let Ok(Wiring { names, weighted, .. }) = Wiring::new(&self.layers) {
            for ((layer, name), weighted) in self.layers.iter().zip(names).zip(weighted) {
                if let (LayerKind::Activation {}, Some(weighted)) = (&layer.kind, weighted) {
                    activations.entry(weighted).or_insert(name);
                }
            }
        }
        let of = |(index, (layer, name)): (usize, (&LayerConfig, String))| {
            let convolution = matches!(layer.kind, LayerKind::Conv { .. });
            let activation = activations.remove(&index);
            layer.kind.is_weighted().then_some(WeightLayer { index, name, convolution, activation })
        };
        self.layers.iter().zip(self.names()).enumerate().filter_map(of).collect()
    }

    /// The network without the layers for which `is_gone`. Who read one of these reads what it
    /// read.
    pub fn without(&self, is_gone: impl Fn(&LayerKind) -> bool) -> NetworkConfig {
        self.without_layers(|index| is_gone(&self.layers[index].kind))
    }

    /// As [`Self::without`], of the layers with these numbers, counted from 0.
    pub fn without_layers(&self, is_gone: impl Fn(usize) -> bool) -> NetworkConfig {
        let mut layers = self.layers.clone();
        if layers.iter().any(|layer| !layer.inputs.is_empty()) {
            // Names that are counted would change.
            let names = self.names();
            let before = |index: usize| match index.checked_sub(1) {
                Some(front) => names[front].clone(),
                None => IMAGES.into(),
            };
            let mut stands_for: HashMap<&str, String> = HashMap::new();
            for (index, layer) in layers.iter_mut().enumerate() {
                layer.name = Some(names[index].clone());
                if layer.inputs.is_empty() {
                    layer.inputs = vec![before(index)];
                }
                for input in &mut layer.inputs {
                    if let Some(other) = stands_for.get(input.as_str()) {
                        *input = other.clone();
                    }
                }
                if is_gone(index) {
                    stands_for.insert(&names[index], layer.inputs[0].clone());
                }
            }
        }
        let kept = layers.into_iter().enumerate().filter(|(index, _)| !is_gone(*index));
        NetworkConfig { layers: kept.map(|(_, layer)| layer).collect(), ..self.clone() }
    }

    /// Whether any layer is a batch norm.
    pub fn has_batch_norm(&self) -> bool {
        self.layers.iter().any(|layer| layer.kind.is_batch_norm())
    }

    /// The first batch norm for which an image is a single value a channel, where there is one: a
    /// batch of one image has no variance for it (torch.nn refuses it too).
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes).
    pub fn single_value_norm(&self) -> Result<Option<String>> {
        let (wiring, shapes) = self.fit()?;
        let is_single =
            |&index: &usize| self.layers[index].kind.is_batch_norm() && shapes[index].pixels() == 1;
        let found = (0..shapes.len()).find(is_single);
        Ok(found.map(|index| wiring.names[index].clone()))
    }

    /// Weights and biases (without α) of a network that fits.
    fn parameters(&self, wiring: &Wiring, shapes: &[Shape]) -> u128 {
        let mut total = 0u128;
        for ((layer, sources), shape) in self.layers.iter().zip(&wiring.sources).zip(shapes) {
            let input = match sources[0] {
                Source::Images => self.input,
                Source::Layer(place) => shapes[place],
            };
            let fan_in = match layer.kind {
                LayerKind::Conv { kernel, .. } => {
                    u128::from(input.channels) * u128::from(kernel) * u128::from(kernel)
                }
                LayerKind::Linear { .. } => u128::from(input.elements()),
                LayerKind::BatchNorm {} => 1, // γ and β
                _ => 0,
            };
            if fan_in > 0 {
                total = total.saturating_add(u128::from(shape.channels).saturating_mul(fan_in + 1));
            }
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
        Ok(self.sized()?.0)
    }

    /// Shapes, and the number of parameters.
    fn sized(&self) -> Result<(Vec<Shape>, u64), Misfit> {
        if self.layers.len() > MAX_LAYERS {
            let reason =
                format!("{} layers: a network may have at most {MAX_LAYERS}", self.layers.len());
            return Err(Misfit::of_network(reason));
        }
        let (wiring, shapes) = self.fit()?;
        let parameters = self.parameters(&wiring, &shapes);
        match u64::try_from(parameters) {
            Ok(count) if parameters <= MAX_PARAMETERS => Ok((shapes, count)),
            _ => Err(Misfit::of_network(format!(
                "{parameters} parameters: a network may have at most 2^28"
            ))),
        }
    }

    /// Number of weights and biases, those of batch norms included (α and running statistics not
    /// counted), for a network that [`validate`](Self::validate)s.
    pub fn parameter_count(&self) -> Result<u64> {
        Ok(self.sized()?.1)
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
        let found: Vec<_> = layers
            .iter()
            .map(|layer| (&layer.name[..], layer.convolution, layer.activation.as_deref()))
            .collect();
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
        let linear = |name: &str, out_features| LayerConfig::linear(name, out_features);
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
                    LayerConfig::conv("c", u32::MAX, [(1 << 31) + 1, 1, 1 << 31]),
                    linear("fc", 10),
                ],
            ),
        ];
        for case in cases {
            assert!(matches!(case.validate(), Err(Error::Model(_))), "{case:?}");
        }
    }
}
