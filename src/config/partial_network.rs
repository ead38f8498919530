//! A network as a file gives it: by name, or as a table in which images and classes may be left
//! out.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{LayerConfig, NetworkConfig, NetworkOrigin, Preset, Shape};

/// `network = "NAME"`, or the `[network]` table: a network in place of the one of Table I.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartialNetwork {
    /// The network known by name that it is; the table's keys are absent then.
    pub preset: Option<&'static Preset>,
    /// Shape of one image, channels × height × width; the data set's where absent.
    pub input: Option<Shape>,
    /// Number of classes; the data set's where absent.
    pub classes: Option<u32>,
    /// `[[network.layers]]`, first to last.
    pub layers: Vec<LayerConfig>,
    /// Where they stand, for messages.
    pub origin: NetworkOrigin,
}

/// The table.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct NetworkTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input: Option<Shape>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<u32>,
    layers: Vec<LayerConfig>,
}

impl From<&'static Preset> for PartialNetwork {
    fn from(preset: &'static Preset) -> PartialNetwork {
        PartialNetwork { preset: Some(preset), ..PartialNetwork::default() }
    }
}

/// The network with its images and classes.
impl From<NetworkConfig> for PartialNetwork {
    fn from(network: NetworkConfig) -> PartialNetwork {
        let NetworkConfig { input, classes, layers } = network;
        PartialNetwork {
            input: Some(input),
            classes: Some(classes),
            layers,
            ..PartialNetwork::default()
        }
    }
}

impl PartialNetwork {
    /// Whether it names the network that a configuration without one has.
    pub(super) fn is_default(&self) -> bool {
        self.preset.is_some_and(Preset::is_default)
    }

    /// The network for images of shape `input` and `classes`, where it does not say for which
    /// itself. Its layers may not fit.
    pub(super) fn network(&self, input: Shape, classes: u32) -> NetworkConfig {
        if let Some(preset) = self.preset {
            return preset.network(input, classes);
        }
        let (input, layers) = (self.input.unwrap_or(input), self.layers.clone());
        let own = NetworkConfig { input, classes, layers };
        let classes = self.classes.or_else(|| own.outputs()).unwrap_or(classes);
        NetworkConfig { classes, ..own }
    }
}

impl Serialize for PartialNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.preset {
            Some(preset) => serializer.serialize_str(preset.name),
            None => {
                let PartialNetwork { input, classes, layers, .. } = self.clone();
                NetworkTable { input, classes, layers }.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for PartialNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PartialNetwork, D::Error> {
        deserializer.deserialize_any(NetworkVisitor)
    }
}

struct NetworkVisitor;

impl<'de> Visitor<'de> for NetworkVisitor {
    type Value = PartialNetwork;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a network or a table with `layers`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<PartialNetwork, E> {
        let preset = Preset::find(name);
        preset
            .map(PartialNetwork::from)
            .ok_or_else(|| E::custom(format!("`{name}`: {}", Preset::unknown(name))))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<PartialNetwork, A::Error> {
        let table = NetworkTable::deserialize(MapAccessDeserializer::new(access))?;
        let NetworkTable { input, classes, layers } = table;
        Ok(PartialNetwork { input, classes, layers, ..PartialNetwork::default() })
    }
}
