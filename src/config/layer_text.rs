//! Layers as files have them: a table with `type`, `name`, `input` or `inputs`, and the settings of
//! the type. TOML and the metadata of model files are read and written alike.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
    ser::SerializeMap,
};
use serde_json::{Map, Value};

use super::{
    AveragePool,
    layers::{LayerConfig, LayerKind},
};

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
            LayerKind::Conv { out_channels, kernel, stride, padding } => {
                map.serialize_entry("out_channels", out_channels)?;
                map.serialize_entry("kernel", kernel)?;
                map.serialize_entry("stride", stride)?;
                map.serialize_entry("padding", padding)?;
            }
            LayerKind::MaxPool { kernel, stride } => {
                map.serialize_entry("kernel", kernel)?;
                map.serialize_entry("stride", stride)?;
            }
            LayerKind::AveragePool(pool) => {
                let AveragePool { kernel, stride, padding, ceil_mode, count_include_pad } = pool;
                map.serialize_entry("kernel", kernel)?;
                map.serialize_entry("stride", stride)?;
                map.serialize_entry("padding", padding)?;
                map.serialize_entry("ceil_mode", ceil_mode)?;
                map.serialize_entry("count_include_pad", count_include_pad)?;
            }
            LayerKind::Dropout { rate } => map.serialize_entry("rate", rate)?,
            LayerKind::Linear { out_features } => {
                map.serialize_entry("out_features", out_features)?;
            }
            LayerKind::BatchNorm {} | LayerKind::Activation {} | LayerKind::Add {} => {}
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
        let mut settings = Map::new();
        for (key, value) in Map::deserialize(MapAccessDeserializer::new(access))? {
            // Hyphens are read for underscores.
            let key = key.replace('-', "_");
            if settings.contains_key(&key) {
                return Err(A::Error::custom(format!("`{key}` is there twice")));
            }
            settings.insert(key, value);
        }
        let name = settings.remove("name").map(|value| text("name", value)).transpose()?;
        let inputs = match (settings.remove("input"), settings.remove("inputs")) {
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
        let kind = LayerKind::deserialize(Value::Object(settings)).map_err(A::Error::custom)?;
        Ok(LayerConfig { name, inputs, kind })
    }
}

/// The text `value` of `key`.
fn text<E: Error>(key: &str, value: Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(E::custom(format!("{key}: a layer's name in quotes is needed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LayerConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_string())
    }

    #[test]
    fn layers_are_written_as_they_are_read() {
        let layers = [
            LayerConfig::conv("conv1", 8, [3, 1, 1]),
            LayerConfig::max_pool(2, 2),
            LayerConfig::dropout(0.25),
            LayerConfig::activation("act1").reading(&["conv1"]),
            LayerConfig::add("add1", &["conv1", "act1"]),
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
    fn hyphens_are_underscores() {
        let layer = read("type = \"conv\"\nout-channels = 4\nkernel = 3").unwrap();
        assert_eq!(layer.kind, LayerConfig::conv("", 4, [3, 1, 0]).kind);
        let twice = "type = \"conv\"\nout-channels = 4\nout_channels = 4\nkernel = 3";
        assert!(read(twice).unwrap_err().contains("twice"));
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
