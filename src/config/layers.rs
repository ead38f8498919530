//! Layers of a network as data: names, inputs, settings. In files a layer is a table with `type`,
//! `name`, `input` or `inputs`, and the settings of the type; TOML and the metadata of model files
//! are read and written alike.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeMap,
};
use serde_json::{Map, Value};

use super::{
    activation::{ActivationFunction, KINDS, Prelu},
    convolution::Convolution,
    layer_kind::{BatchNorm, LayerKind, TYPES},
    pointers,
    pool::{AveragePool, MaxPool},
};

/// One layer of a network: what it computes, what it is called, what it reads. Names of parameters
/// follow PyTorch's (`conv1.weight`, `fc1.bias`, `act1.alpha`).
#[derive(Clone, Debug, PartialEq)]
pub struct LayerConfig {
    /// Its name; a layer without one is called by its type and number, see
    /// [`NetworkConfig::names`](super::NetworkConfig::names).
    pub name: Option<String>,
    /// Names of the layers that it reads; empty for the layer before. [`IMAGES`] are the images.
    pub inputs: Vec<String>,
    /// What it computes.
    pub kind: LayerKind,
}

/// The name of the images among the inputs of a layer.
pub const IMAGES: &str = "input";

impl From<LayerKind> for LayerConfig {
    fn from(kind: LayerKind) -> LayerConfig {
        LayerConfig { name: None, inputs: Vec::new(), kind }
    }
}

impl LayerConfig {
    /// A layer called `name`.
    pub fn named(name: impl Into<String>, kind: LayerKind) -> LayerConfig {
        LayerConfig { name: Some(name.into()), ..kind.into() }
    }

    /// A convolution of all channels by kernel, stride and padding, with a bias.
    pub fn conv(name: &str, out_channels: u32, window: [u32; 3]) -> LayerConfig {
        LayerConfig::convolution(name, Convolution::square(out_channels, window))
    }

    /// A convolution.
    pub fn convolution(name: &str, convolution: Convolution) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Conv(convolution))
    }

    /// A fully connected layer.
    pub fn linear(name: &str, out_features: u32) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Linear { out_features, bias: true })
    }

    /// A batch norm.
    pub fn batch_norm(name: &str) -> LayerConfig {
        LayerConfig::named(name, LayerKind::BatchNorm(BatchNorm::default()))
    }

    /// A ReLU.
    pub fn activation(name: &str) -> LayerConfig {
        LayerConfig::activation_of(name, ActivationFunction::Relu)
    }

    /// An activation by its function.
    pub fn activation_of(name: &str, function: ActivationFunction) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Activation(function))
    }

    /// A max-pool of whole windows inside the image.
    pub fn max_pool(kernel: u32, stride: u32) -> LayerConfig {
        LayerKind::MaxPool(MaxPool::inside(kernel, stride)).into()
    }

    /// An average-pool.
    pub fn average_pool(pool: AveragePool) -> LayerConfig {
        LayerKind::AveragePool(pool).into()
    }

    /// The mean of every channel.
    pub fn global_average_pool(name: &str) -> LayerConfig {
        LayerConfig::named(name, LayerKind::GlobalAveragePool {})
    }

    /// A dropout.
    pub fn dropout(rate: f32) -> LayerConfig {
        LayerKind::Dropout { rate }.into()
    }

    /// The sum of the values of the layers `inputs`.
    pub fn add(name: &str, inputs: &[&str]) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Add {}).reading(inputs)
    }

    /// The product of the values of the two layers `inputs`.
    pub fn multiply(name: &str, inputs: [&str; 2]) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Multiply {}).reading(&inputs)
    }

    /// The channels of the layers `inputs`, one layer's after another's.
    pub fn concat(name: &str, inputs: &[&str]) -> LayerConfig {
        LayerConfig::named(name, LayerKind::Concat {}).reading(inputs)
    }

    /// The same layer, with `inputs` for what it reads.
    #[must_use]
    pub fn reading(self, inputs: &[&str]) -> LayerConfig {
        let inputs = inputs.iter().map(|name| name.to_string()).collect();
        LayerConfig { inputs, ..self }
    }
}

impl Serialize for LayerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind.type_name())?;
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        match &self.inputs[..] {
            [] => {}
            [only] => map.serialize_entry("input", only)?,
            inputs => map.serialize_entry("inputs", inputs)?,
        }
        match &self.kind {
            LayerKind::Conv(own) => own.write(&mut map)?,
            LayerKind::MaxPool(pool) => pool.write(&mut map)?,
            LayerKind::AveragePool(pool) => pool.write(&mut map)?,
            LayerKind::Dropout { rate } => map.serialize_entry("rate", rate)?,
            LayerKind::Linear { out_features, bias } => {
                map.serialize_entry("out_features", out_features)?;
                if !bias {
                    map.serialize_entry("bias", bias)?;
                }
            }
            LayerKind::Activation(function) => function.serialize_settings::<S>(&mut map)?,
            LayerKind::Prelu(Prelu { per_channel }) => {
                map.serialize_entry("kind", Prelu::NAME)?;
                if *per_channel {
                    map.serialize_entry("per_channel", per_channel)?;
                }
            }
            LayerKind::BatchNorm(BatchNorm { epsilon, momentum }) => {
                let usual = BatchNorm::default();
                if *epsilon != usual.epsilon {
                    map.serialize_entry("epsilon", epsilon)?;
                }
                if *momentum != usual.momentum {
                    map.serialize_entry("momentum", momentum)?;
                }
            }
            LayerKind::Add {}
            | LayerKind::Multiply {}
            | LayerKind::Concat {}
            | LayerKind::GlobalAveragePool {}
            | LayerKind::Flatten {} => {}
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for LayerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LayerVisitor)
    }
}

struct LayerVisitor;

impl<'de> Visitor<'de> for LayerVisitor {
    type Value = LayerConfig;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table with `type` and the layer's settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<LayerConfig, A::Error> {
        let (mut settings, [mut name, mut input, mut inputs]) = (Map::new(), [None, None, None]);
        for (key, value) in Map::deserialize(MapAccessDeserializer::new(access))? {
            // Hyphens are read for underscores.
            let key = key.replace('-', "_");
            let earlier = match &key[..] {
                "name" => name.replace(value),
                "input" => input.replace(value),
                "inputs" => inputs.replace(value),
                _ => settings.insert(key.clone(), value),
            };
            if earlier.is_some() {
                return Err(A::Error::custom(format!("`{key}` is there twice")));
            }
        }
        let name = name.map(|value| text("name", value)).transpose()?;
        let inputs = match (input, inputs) {
            (None, None) => Vec::new(),
            (Some(value), None) => vec![text("input", value)?],
            (None, Some(Value::Array(values))) if !values.is_empty() => {
                values.into_iter().map(|value| text("inputs", value)).collect::<Result<_, _>>()?
            }
            (None, Some(_)) => {
                return Err(A::Error::custom("inputs: a list of layers' names is needed"));
            }
            (Some(_), Some(_)) => {
                return Err(A::Error::custom("input and inputs: only one of them can be there"));
            }
        };
        let is = |key: &str, word: &str| settings.get(key).is_some_and(|own| own == word);
        let kind = match is("type", "activation") && is("kind", Prelu::NAME) {
            true => {
                let mut rest = settings.clone();
                rest.retain(|key, _| key != "type" && key != "kind");
                Prelu::deserialize(Value::Object(rest)).map(LayerKind::Prelu)
            }
            false => LayerKind::deserialize(Value::Object(settings.clone())),
        };
        let kind =
            kind.map_err(|error| A::Error::custom(with_pointer(&error.to_string(), &settings)))?;
        Ok(LayerConfig { name, inputs, kind })
    }
}

/// What is wrong with `settings`, and what another tool's word is here.
fn with_pointer(error: &str, settings: &Map<String, Value>) -> String {
    let word = |key: &str, known: &[&str]| {
        let word = settings.get(key)?.as_str()?;
        let is_wrong = error.contains(&format!("unknown variant `{word}`"));
        is_wrong.then(|| pointers::of_layer_type(word, known)).flatten()
    };
    let of_key = || {
        let is_wrong = |key: &&String| error.contains(&format!("unknown field `{key}`"));
        pointers::of_layer_key(settings.keys().find(is_wrong)?).map(String::from)
    };
    let pointer = word("type", &TYPES).or_else(|| word("kind", &KINDS)).or_else(of_key);
    pointer.map_or_else(|| error.to_string(), |pointer| format!("{error}; {pointer}"))
}

/// The text `value` of `key`.
fn text<E: Error>(key: &str, value: Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(E::custom(format!("{key}: a layer's name in quotes is needed"))),
    }
}

/// A convolution or linear layer, as `--bits` counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightLayer {
    /// Position in [`super::NetworkConfig::layers`].
    pub index: usize,
    /// Name of its parameters.
    pub name: String,
    /// Convolution (else linear).
    pub convolution: bool,
    /// Name of the activation between this layer and the next one with weights: where its output
    /// can be quantized.
    pub activation: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{super::shape::Shape, *};

    #[test]
    fn average_pools_fill_in_what_is_left_out() {
        let read = |text: &str| toml::from_str::<LayerConfig>(text).map_err(|e| e.to_string());
        let pool =
            AveragePool { window: [3, 3, 0].into(), ceil_mode: false, count_include_pad: true };
        let short = read("type = \"average-pool\"\nkernel = 3").unwrap();
        assert_eq!(short, LayerConfig::average_pool(pool));
        assert_eq!(read(&toml::to_string(&short).unwrap()), Ok(short));
        let whole = AveragePool { window: [3, 2, 1].into(), ceil_mode: true, ..pool };
        let whole = LayerConfig::average_pool(AveragePool { count_include_pad: false, ..whole });
        let text = "type = \"average-pool\"\nkernel = 3\nstride = 2\npadding = 1\n";
        for keys in [["ceil_mode", "count_include_pad"], ["ceil-mode", "count-include-pad"]] {
            let [ceil, counts] = keys;
            assert_eq!(read(&format!("{text}{ceil} = true\n{counts} = false")), Ok(whole.clone()));
        }
        assert_eq!(read(&toml::to_string(&whole).unwrap()), Ok(whole));
        assert!(read(&format!("{text}ceil = true")).unwrap_err().contains("unknown field `ceil`"));
    }

    fn read(text: &str) -> Result<LayerConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_string())
    }

    #[test]
    fn layers_are_written_as_they_are_read() {
        let layers = [
            LayerConfig::conv("conv1", 8, [3, 1, 1]),
            LayerConfig::max_pool(2, 2),
            LayerKind::MaxPool(MaxPool { window: [3, 2, 1].into(), ceil_mode: true }).into(),
            LayerConfig::dropout(0.25),
            LayerKind::GlobalAveragePool {}.into(),
            LayerConfig::batch_norm("bn1"),
            LayerConfig::named(
                "bn2",
                LayerKind::BatchNorm(BatchNorm { epsilon: 0.001, momentum: 0.01 }),
            ),
            LayerKind::Flatten {}.into(),
            LayerConfig::linear("fc1", 5),
            LayerConfig::named("fc2", LayerKind::Linear { out_features: 5, bias: false }),
            LayerConfig::activation("act1").reading(&["conv1"]),
            LayerConfig::add("add1", &["conv1", "act1"]),
            LayerConfig::multiply("mul1", ["conv1", "act1"]),
            LayerConfig::concat("concat1", &["conv1", "act1", "add1"]),
        ];
        for layer in layers {
            assert_eq!(read(&toml::to_string(&layer).unwrap()), Ok(layer.clone()));
            let json = serde_json::to_string(&layer).unwrap();
            assert_eq!(serde_json::from_str::<LayerConfig>(&json).unwrap(), layer);
        }
        let json = serde_json::to_string(&LayerConfig::conv("c", 8, [3, 1, 1])).unwrap();
        let expected =
            r#"{"type":"conv","name":"c","out_channels":8,"kernel":3,"stride":1,"padding":1}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn max_pools_write_what_they_have_beyond_whole_windows() {
        let short = read("type = \"max-pool\"\nkernel = 3").unwrap();
        assert_eq!(short, LayerConfig::max_pool(3, 3));
        let json = serde_json::to_string(&short).unwrap();
        assert_eq!(json, r#"{"type":"max-pool","kernel":3,"stride":3}"#);
        let text = "type = \"max-pool\"\nkernel = 3\nstride = 2\npadding = 1\nceil-mode = true";
        let pool = MaxPool { window: [3, 2, 1].into(), ceil_mode: true };
        assert_eq!(read(text).unwrap().kind, LayerKind::MaxPool(pool));
        let counts = [1, 2, 5, 6].map(|size| pool.windows(0, size).unwrap());
        assert_eq!(counts, [1, 2, 3, 4]);
        let counts = [1, 2, 5, 6].map(|size| MaxPool { ceil_mode: false, ..pool }.windows(0, size));
        assert_eq!(counts, [Ok(1), Ok(1), Ok(3), Ok(3)]);
        let wide = MaxPool { window: [3, 2, 2].into(), ..pool }.windows(1, 9).unwrap_err();
        assert!(wide.contains("padding 2 does not fit"), "{wide}");
    }

    #[test]
    fn pools_have_windows_of_either_axis_and_padding_of_every_side() {
        let input = Shape::new(2, 7, 9);
        let read = |text: &str| toml::from_str::<LayerConfig>(text).map_err(|e| e.to_string());
        for (text, json, output) in [
            ("kernel = [2, 3]", r#""kernel":[2,3],"stride":[2,3]"#, [3, 3]),
            ("kernel = [1, 9]\nstride = 2", r#""kernel":[1,9],"stride":2"#, [4, 1]),
            (
                "kernel = [3, 2]\nstride = [2, 1]\npadding = [1, 0, 2, 1]",
                r#""kernel":[3,2],"stride":[2,1],"padding":[1,0,2,1]"#,
                [4, 9],
            ),
            ("kernel = 3\npadding = [1, 0]", r#""kernel":3,"stride":3,"padding":[1,0]"#, [3, 3]),
        ] {
            for kind in ["max-pool", "average-pool"] {
                let layer = read(&format!("type = \"{kind}\"\n{text}")).unwrap();
                let shape = layer.kind.output(&[input]).unwrap();
                assert_eq!([shape.height, shape.width], output, "{kind} {text}");
                let written = serde_json::to_string(&layer).unwrap();
                assert!(written.contains(json), "{written}");
                assert_eq!(serde_json::from_str::<LayerConfig>(&written).unwrap(), layer);
                assert_eq!(read(&toml::to_string(&layer).unwrap()).unwrap(), layer);
            }
        }
        for (text, reason) in [
            ("kernel = [2, 3, 4]", "kernel: a number or [height, width]"),
            ("kernel = 3\npadding = \"same\"", "[height, width] or [top, left, bottom, right]"),
            ("kernel = [3, 1]\npadding = 1", "of 1"),
            ("kernel = 3\npadding = [0, 2, 0, 2]", "2"),
            ("kernel = [3, 10]", "window of 10"),
            ("kernel = [2, 0]", "stride"),
        ] {
            for kind in ["max-pool", "average-pool"] {
                let layer = read(&format!("type = \"{kind}\"\n{text}"));
                let error = layer.and_then(|own| own.kind.output(&[input])).unwrap_err();
                assert!(error.contains(reason), "{kind} {text}: {error}");
            }
        }
    }

    #[test]
    fn batch_norms_write_what_is_not_usual() {
        let json = |layer: &LayerConfig| serde_json::to_string(layer).unwrap();
        assert_eq!(json(&LayerConfig::batch_norm("b")), r#"{"type":"batch-norm","name":"b"}"#);
        let own = read("type = \"batch-norm\"\nepsilon = 0.001").unwrap();
        assert_eq!(json(&own), r#"{"type":"batch-norm","epsilon":0.001}"#);
        assert!(read("type = \"batch-norm\"\neps = 0.001").unwrap_err().contains("`eps`"));
    }

    #[test]
    fn hyphens_are_underscores() {
        let layer = read("type = \"conv\"\nout-channels = 4\nkernel = 3").unwrap();
        assert_eq!(layer.kind, LayerConfig::conv("", 4, [3, 1, 0]).kind);
        let twice = "type = \"conv\"\nout-channels = 4\nout_channels = 4\nkernel = 3";
        assert!(read(twice).unwrap_err().contains("twice"));
    }

    #[test]
    fn spellings_of_pytorch_are_answered() {
        for (text, said) in [
            ("type = \"Conv2d\"\nout_channels = 4", "`Conv2d` is `conv` here"),
            ("type = \"Linear\"\nout_features = 4", "`Linear` is `linear` here"),
            ("type = \"ReLU\"", "`ReLU` is `activation` here"),
            ("type = \"ReLU6\"", "`ReLU6` is `activation` with a `kind` here"),
            ("type = \"BatchNorm2d\"", "`BatchNorm2d` is `batch-norm` here"),
            ("type = \"MaxPool2d\"\nkernel = 2", "`MaxPool2d` is `max-pool` here"),
            ("type = \"AdaptiveAvgPool2d\"", "is `global-average-pool` here"),
            ("type = \"activation\"\nkind = \"Hardswish\"", "`Hardswish` is `hard-swish` here"),
            ("type = \"conv\"\nout_channels = 4\nkernel_size = 3", "it is called `kernel` here"),
            ("type = \"conv\"\nkernel-size = 3", "it is called `kernel` here"),
            ("type = \"conv\"\nin_channels = 3", "it follows from the layer in front"),
            ("type = \"dropout\"\np = 0.5", "it is called `rate` here"),
            ("type = \"batch-norm\"\neps = 1e-3", "it is called `epsilon` here"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("unknown ") && error.ends_with(said), "{text}: {error}");
        }
        assert!(read("type = \"transformer\"").unwrap_err().ends_with("`concat`"));
        for kind in TYPES {
            let error = read(&format!("type = \"{kind}\"\nnonsense = 1")).unwrap_err();
            assert!(!error.contains("unknown variant"), "{error}");
        }
    }

    #[test]
    fn inputs_are_one_name_or_a_list() {
        let add = |rest: &str| read(&format!("type = \"add\"\n{rest}"));
        assert_eq!(add("inputs = [\"a\", \"b\"]").unwrap().inputs, ["a", "b"]);
        assert_eq!(add("input = \"a\"").unwrap().inputs, ["a"]);
        assert!(add("input = 3").unwrap_err().contains("in quotes"));
        assert!(add("inputs = []").unwrap_err().contains("a list of layers' names"));
        assert!(add("input = \"a\"\ninputs = [\"a\"]").unwrap_err().contains("only one"));
    }
}
