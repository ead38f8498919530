//! A CNN as data: its layers, whether they fit each other, how many parameters they have.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    activation::ActivationFunction,
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
    /// Number of classes: the last layer puts out as many channels of one pixel.
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
            let convolution = matches!(layer.kind, LayerKind::Conv(_));
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

    /// Channels that the last layer puts out, where layers fit each other.
    pub(super) fn outputs(&self) -> Option<u32> {
        self.flow().ok()?.1.last().map(|shape| shape.channels)
    }

    /// Names, sources and [`Self::shapes`] of all layers, or which layer does not fit.
    pub(crate) fn fit(&self) -> Result<(Wiring, Vec<Shape>), Misfit> {
        let (wiring, shapes) = self.flow()?;
        let wanted = Shape::new(self.classes, 1, 1);
        let found = match shapes.last() {
            Some(shape) if *shape == wanted && self.classes >= 2 => return Ok((wiring, shapes)),
            Some(shape) => format!(", not {shape}"),
            None => String::new(),
        };
        let reason = format!(
            "the last layer must put out a number for each of the classes ({}), at least 2{found}; \
             a `linear` one does, or a `global-average-pool` of as many channels",
            self.classes
        );
        Err(match self.layers.last() {
            Some(layer) => Misfit::of_layer(self.layers.len() - 1, layer.name.as_deref(), reason),
            None => Misfit::of_network(reason),
        })
    }

    /// As [`Self::fit`], whatever the last layer puts out.
    fn flow(&self) -> Result<(Wiring, Vec<Shape>), Misfit> {
        let images = self.input;
        if images.channels == 0 || images.height == 0 || images.width == 0 {
            return Err(Misfit::of_network("input: channels, height and width must be at least 1"));
        }
        if size(images) > MAX_ELEMENTS {
            return Err(Misfit::of_network("input: an image may have at most 2^28 elements"));
        }
        let wiring = Wiring::new(&self.layers)?;
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.layers.len());
        // Which layers put out what a `flatten` in front says to be a row.
        let mut is_row: Vec<bool> = Vec::with_capacity(self.layers.len());
        for (index, (layer, sources)) in self.layers.iter().zip(&wiring.sources).enumerate() {
            let misfit = |reason: String| Misfit::of_layer(index, layer.name.as_deref(), reason);
            let shape_of = |source: &Source| match *source {
                Source::Images => images,
                Source::Layer(place) => shapes[place],
            };
            let inputs: Vec<Shape> = sources.iter().map(shape_of).collect();
            let reads_row = sources.iter().any(|source| match *source {
                Source::Images => false,
                Source::Layer(place) => is_row[place] && shapes[place].pixels() > 1,
            });
            if reads_row && !layer.kind.takes_rows() {
                return Err(misfit(format!(
                    "`{}` cannot read what was flattened; `linear`, `activation` and `dropout` can",
                    layer.kind.type_name()
                )));
            }
            let is_flat = matches!(layer.kind, LayerKind::Flatten {});
            is_row.push(is_flat || reads_row && !layer.kind.is_weighted());
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
        Ok((wiring, shapes))
    }

    /// The convolution and linear layers in order.
    pub fn weight_layers(&self) -> Vec<WeightLayer> {
        let mut activations: HashMap<usize, String> = HashMap::new();
        // A network that cannot be wired has no activations; it is refused elsewhere.
        if let Ok(Wiring { names, weighted, .. }) = Wiring::new(&self.layers) {
            for ((layer, name), weighted) in self.layers.iter().zip(names).zip(weighted) {
                if let (LayerKind::Activation(_), Some(weighted)) = (&layer.kind, weighted) {
                    activations.entry(weighted).or_insert(name);
                }
            }
        }
        let of = |(index, (layer, name)): (usize, (&LayerConfig, String))| {
            let convolution = matches!(layer.kind, LayerKind::Conv(_));
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

    /// Whether both make the same of the same parameters: layers of the same settings that read the
    /// same ones, whatever they are called. Dropouts do not count, nor do activations that are
    /// there to be quantized.
    pub fn computes_as(&self, other: &NetworkConfig) -> bool {
        let layers = |network: &NetworkConfig| {
            let identity = LayerKind::Activation(ActivationFunction::Identity);
            let own = network.without(|kind| kind.is_dropout() || *kind == identity);
            let sources = Wiring::new(&own.layers).ok()?.sources;
            let kinds: Vec<LayerKind> = own.layers.into_iter().map(|layer| layer.kind).collect();
            Some((kinds, sources))
        };
        layers(self).is_some_and(|own| layers(other) == Some(own))
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

    /// The first layer that is not linear in what it reads between kinks, and what it is.
    pub fn bent_layer(&self) -> Option<(String, &'static str)> {
        let what = |layer: &LayerConfig| match layer.kind {
            LayerKind::Activation(function) if !function.is_piecewise_linear() => {
                Some(function.name())
            }
            LayerKind::Multiply {} => Some("a product of two values"),
            _ => None,
        };
        let mut layers = self.names().into_iter().zip(&self.layers);
        layers.find_map(|(name, layer)| Some((name, what(layer)?)))
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
            let per_channel = match layer.kind {
                LayerKind::Conv(own) => own.fan_in(input.channels) + u128::from(own.bias),
                LayerKind::Linear { bias, .. } => u128::from(input.elements()) + u128::from(bias),
                LayerKind::BatchNorm(_) => 2, // γ and β
                _ => 0,
            };
            total = total.saturating_add(u128::from(shape.channels).saturating_mul(per_channel));
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
    use crate::{Error, config::BatchNorm};

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

    /// What is wrong with `layers` for images of 3 × 7 × 6 and 4 classes.
    fn refusal(layers: Vec<LayerConfig>) -> Option<String> {
        let network = NetworkConfig { input: Shape::new(3, 7, 6), classes: 4, layers };
        network.validate().err().map(|error| error.to_string())
    }

    #[test]
    fn a_network_ends_with_a_number_a_class() {
        let conv = |channels| LayerConfig::conv("conv1", channels, [3, 1, 1]);
        let pool = || LayerConfig::global_average_pool("gap");
        let heads = [
            vec![conv(4), pool()],
            vec![conv(4), pool(), LayerKind::Flatten {}.into()],
            vec![LayerConfig::conv("conv1", 5, [3, 1, 1]), pool(), LayerConfig::linear("fc", 4)],
            vec![LayerConfig::linear("fc", 4), LayerConfig::activation("act")],
        ];
        for layers in heads {
            assert_eq!(refusal(layers.clone()), None, "{layers:?}");
        }
        for (layers, found) in [
            (vec![conv(4)], "4×7×6"),
            (vec![conv(5), pool()], "5×1×1"),
            (vec![LayerConfig::linear("fc", 5)], "5×1×1"),
        ] {
            let said = refusal(layers).unwrap();
            assert!(said.contains("each of the classes (4)") && said.contains(found), "{said}");
        }
        assert!(refusal(Vec::new()).unwrap().contains("each of the classes"));
    }

    #[test]
    fn batch_norms_stand_anywhere() {
        let norm = LayerConfig::batch_norm;
        let layers = vec![
            norm("bn1"),
            LayerConfig::conv("conv1", 3, [3, 1, 1]),
            norm("bn2"),
            norm("bn3").reading(&["conv1"]),
            LayerConfig::add("add1", &["bn2", "bn3", "conv1", "input"]),
            LayerConfig::linear("fc", 4),
            norm("bn4"),
        ];
        assert_eq!(refusal(layers), None);
        let with = |epsilon, momentum| {
            let own = LayerKind::BatchNorm(BatchNorm { epsilon, momentum });
            refusal(vec![LayerConfig::named("bn1", own), LayerConfig::linear("fc", 4)])
        };
        assert_eq!(with(1e-3, 0.0), None);
        assert!(with(0.0, 0.1).unwrap().contains("epsilon 0 must be above 0"));
        assert!(with(1e-5, 1.5).unwrap().contains("momentum 1.5 is not in [0, 1]"));
    }

    #[test]
    fn products_and_concatenations_fit_their_values() {
        let front = || {
            vec![
                LayerConfig::conv("conv1", 5, [3, 1, 1]),
                LayerConfig::global_average_pool("gap"),
                LayerConfig::conv("conv2", 3, [3, 2, 1]).reading(&["conv1"]),
            ]
        };
        let of = |layer: LayerConfig| {
            let all = LayerConfig::named("all", LayerKind::Concat {});
            let rest = [LayerConfig::global_average_pool("last"), LayerConfig::linear("fc", 4)];
            let pools = ["conv2", "gap"].map(|name| {
                LayerConfig::global_average_pool(&format!("of_{name}")).reading(&[name])
            });
            let mut layers = front();
            layers.extend(pools);
            layers.push(layer);
            layers.push(LayerConfig::global_average_pool("of_it"));
            layers.push(all.reading(&["of_conv2", "of_gap", "of_it"]));
            layers.extend(rest);
            refusal(layers)
        };
        let (multiply, concat) = (LayerConfig::multiply, LayerConfig::concat);
        for inputs in [["conv1", "gap"], ["gap", "conv1"], ["conv1", "conv1"], ["gap", "of_gap"]] {
            assert_eq!(of(multiply("mul", inputs)), None, "{inputs:?}");
        }
        assert_eq!(of(concat("cat", &["conv1", "input", "conv1"])), None);
        for (layer, said) in [
            (multiply("mul", ["conv1", "conv2"]), "not 5×7×6 and 3×4×3"),
            (multiply("mul", ["conv2", "gap"]), "not 3×4×3 and 5×1×1"),
            (multiply("mul", ["gap", "gap"]).reading(&["gap", "gap", "gap"]), "not 3"),
            (multiply("mul", ["gap", "gap"]).reading(&["gap"]), "needs inputs"),
            (concat("cat", &["conv1", "conv2"]), "5×7×6 and 3×4×3"),
        ] {
            let found = of(layer).unwrap();
            assert!(found.contains(said) && found.contains("layer 6"), "{found}");
        }
    }

    #[test]
    fn what_was_flattened_is_read_as_a_row() {
        let flatten = || LayerConfig::named("flat", LayerKind::Flatten {});
        let head = || LayerConfig::linear("fc", 4);
        let row =
            vec![flatten(), LayerConfig::activation("act"), LayerConfig::dropout(0.5), head()];
        assert_eq!(refusal(row), None);
        let behind = |layer: LayerConfig| {
            refusal(vec![flatten(), LayerConfig::activation("act"), layer, head()]).unwrap()
        };
        for layer in [LayerConfig::conv("conv1", 4, [3, 1, 1]), LayerConfig::max_pool(2, 2)] {
            let said = behind(layer.clone());
            assert!(said.contains("flattened") && said.contains("layer 3"), "{said}");
        }
        // Of one pixel a row is what there was.
        let pool = LayerConfig::global_average_pool("gap");
        let conv = LayerConfig::conv("conv1", 4, [1, 1, 0]);
        assert_eq!(refusal(vec![pool, flatten(), conv]), None);
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
