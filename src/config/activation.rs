//! Functions that activations compute, and how files name them.

use serde::{Deserialize, Deserializer, Serializer, ser::SerializeMap};

/// What an activation makes of x (shaders/common/activation.wgsl).
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "ActivationText")]
pub enum ActivationFunction {
    /// x itself: of a quantizer in the place of a ReLU, or where a file has a quantizer alone.
    Identity,
    /// max(x, 0).
    #[default]
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x, or below 0 `slope`·x.
    LeakyRelu {
        /// A finite number.
        slope: f32,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// 1/(1 + e^−x).
    Sigmoid,
    /// x/(1 + e^−x).
    Silu,
    /// x·min(max(x + 3, 0), 6)/6.
    HardSwish,
}

/// x, or below 0 a learned slope · x: torch.nn.PReLU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prelu {
    /// Whether every channel has a slope of its own.
    pub per_channel: bool,
}

impl Prelu {
    /// Its kind in files.
    pub const NAME: &'static str = "prelu";
}

/// The functions that files can ask for.
pub(super) const KINDS: [&str; 8] =
    ["relu", "relu6", "leaky-relu", "prelu", "tanh", "sigmoid", "silu", "hard-swish"];

/// The slope of a LeakyReLU where a file says nothing.
const LEAKY_SLOPE: f32 = 0.01;

/// An activation's settings as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivationText {
    #[serde(default)]
    kind: KindText,
    #[serde(default, deserialize_with = "number")]
    slope: Option<f32>,
}

/// A number that is there: what is none, such as infinity, is not the same as nothing.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    f32::deserialize(deserializer).map(Some)
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KindText {
    Identity,
    #[default]
    Relu,
    Relu6,
    LeakyRelu,
    Prelu,
    Tanh,
    Sigmoid,
    Silu,
    HardSwish,
}

impl TryFrom<ActivationText> for ActivationFunction {
    type Error = String;

    fn try_from(text: ActivationText) -> Result<ActivationFunction, String> {
        if text.slope.is_some() && text.kind != KindText::LeakyRelu {
            return Err("`slope` belongs to kind = \"leaky-relu\"".into());
        }
        let slope = text.slope.unwrap_or(LEAKY_SLOPE);
        if !slope.is_finite() {
            return Err(format!("slope {slope} is too large"));
        }
        Ok(match text.kind {
            KindText::Identity => ActivationFunction::Identity,
            KindText::Relu => ActivationFunction::Relu,
            KindText::Relu6 => ActivationFunction::Relu6,
            KindText::LeakyRelu => ActivationFunction::LeakyRelu { slope },
            // It learns: [`Prelu`] is read in the place of this. Here it is for the list of kinds.
            KindText::Prelu => return Err("a PReLU is a layer, not a function".into()),
            KindText::Tanh => ActivationFunction::Tanh,
            KindText::Sigmoid => ActivationFunction::Sigmoid,
            KindText::Silu => ActivationFunction::Silu,
            KindText::HardSwish => ActivationFunction::HardSwish,
        })
    }
}

impl ActivationFunction {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            ActivationFunction::Identity => "identity",
            ActivationFunction::Relu => "relu",
            ActivationFunction::Relu6 => "relu6",
            ActivationFunction::LeakyRelu { .. } => "leaky-relu",
            ActivationFunction::Tanh => "tanh",
            ActivationFunction::Sigmoid => "sigmoid",
            ActivationFunction::Silu => "silu",
            ActivationFunction::HardSwish => "hard-swish",
        }
    }

    /// Writes the settings that differ from a ReLU's.
    pub(super) fn serialize_settings<S: Serializer>(
        self,
        map: &mut S::SerializeMap,
    ) -> Result<(), S::Error> {
        if self != ActivationFunction::Relu {
            map.serialize_entry("kind", self.name())?;
        }
        match self {
            ActivationFunction::LeakyRelu { slope } => map.serialize_entry("slope", &slope),
            _ => Ok(()),
        }
    }

    /// Whether it is a ReLU or ReLU6, in whose place the clip of a quantizer can stand.
    pub fn is_rectifier(self) -> bool {
        matches!(self, ActivationFunction::Relu | ActivationFunction::Relu6)
    }

    /// Whether it is linear between kinks.
    pub fn is_piecewise_linear(self) -> bool {
        matches!(
            self,
            ActivationFunction::Identity
                | ActivationFunction::Relu
                | ActivationFunction::Relu6
                | ActivationFunction::LeakyRelu { .. }
        )
    }

    /// Whether its value at 0 is 0.
    pub fn keeps_zero(self) -> bool {
        self != ActivationFunction::Sigmoid
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LayerConfig, LayerKind};
    use super::*;

    fn read(text: &str) -> Result<LayerConfig, String> {
        let text = format!("type = \"activation\"\n{text}");
        toml::from_str(&text).map_err(|error| error.message().to_string())
    }

    #[test]
    fn functions_are_written_as_they_are_read() {
        for (text, function) in [
            ("", ActivationFunction::Relu),
            ("kind = \"relu\"", ActivationFunction::Relu),
            ("kind = \"relu6\"", ActivationFunction::Relu6),
            ("kind = \"leaky-relu\"", ActivationFunction::LeakyRelu { slope: 0.01 }),
            ("kind = \"leaky-relu\"\nslope = 0.25", ActivationFunction::LeakyRelu { slope: 0.25 }),
            ("kind = \"tanh\"", ActivationFunction::Tanh),
            ("kind = \"sigmoid\"", ActivationFunction::Sigmoid),
            ("kind = \"silu\"", ActivationFunction::Silu),
            ("kind = \"hard-swish\"", ActivationFunction::HardSwish),
            // Networks of ONNX files have it: a quantizer alone.
            ("kind = \"identity\"", ActivationFunction::Identity),
        ] {
            let layer = read(text).unwrap();
            assert_eq!(layer.kind, LayerKind::Activation(function), "{text}");
            assert_eq!(toml::from_str(&toml::to_string(&layer).unwrap()), Ok(layer.clone()));
            let json = serde_json::to_string(&layer).unwrap();
            assert_eq!(serde_json::from_str::<LayerConfig>(&json).unwrap(), layer, "{json}");
        }
        let json = serde_json::to_string(&LayerConfig::activation("a")).unwrap();
        assert_eq!(json, r#"{"type":"activation","name":"a"}"#);
        let leaky = serde_json::to_string(&read("kind = \"leaky-relu\"").unwrap()).unwrap();
        assert_eq!(leaky, r#"{"type":"activation","kind":"leaky-relu","slope":0.01}"#);
    }

    #[test]
    fn what_is_no_function_is_refused() {
        let unknown = read("kind = \"gelu\"").unwrap_err();
        assert!(unknown.contains("`gelu`") && unknown.contains("`hard-swish`"), "{unknown}");
        assert!(read("slope = 0.1").unwrap_err().contains("leaky-relu"));
        assert!(read("kind = \"leaky-relu\"\nslope = inf").is_err());
        assert!(read("kind = \"leaky-relu\"\nslope = 1e300").unwrap_err().contains("too large"));
    }
}
