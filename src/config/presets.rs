//! Networks by name, or from a file: what `--network` takes.

use std::path::{Path, PathBuf};

use super::{NetworkConfig, PartialNetwork, PartialRunConfig, Shape, suggestion};
use crate::{Error, Result, error::phrase, plain};

/// A network known by name.
#[derive(Debug)]
pub struct Preset {
    /// What `--network` takes.
    pub name: &'static str,
    /// The network for images of a shape and a number of classes.
    pub network: fn(Shape, u32) -> NetworkConfig,
}

/// Every network known by name; the first is the default.
pub static PRESETS: [Preset; 1] = [Preset {
    name: "table-1",
    network: |input, classes| NetworkConfig::table_one(input, classes, [0.0; 2]),
}];

/// What `--network` names.
#[derive(Clone, Debug)]
pub enum NetworkChoice {
    /// A network known by name.
    Preset(&'static Preset),
    /// The `[network]` of a TOML file.
    File {
        /// The file.
        path: PathBuf,
        /// Its layers, and images and classes where it names them.
        network: PartialNetwork,
        /// Its other keys.
        others: Vec<String>,
    },
}

impl NetworkChoice {
    /// The network called `text`, else the one in the TOML file of that path.
    ///
    /// # Errors
    /// [`Error::Settings`] for what is neither, and for a file without layers; those of
    /// [`PartialRunConfig::from_file`].
    pub fn find(text: &str) -> Result<NetworkChoice> {
        if let Some(preset) = PRESETS.iter().find(|preset| preset.name == text) {
            return Ok(NetworkChoice::Preset(preset));
        }
        let path = Path::new(text);
        let is_file_name =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if !is_file_name && !path.is_file() {
            let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
            let hint = suggestion(text, names.iter().copied());
            return Err(Error::Settings(phrase!(
                "<network {}>: no such network{} (known: {}), nor a TOML file with \
                 [[network.layers]]",
                plain(text),
                hint,
                names.join(", ")
            )));
        }
        let mut settings = PartialRunConfig::from_file(path)?;
        let Some(network) = settings.network.take() else {
            return Err(Error::Settings(phrase!(
                "<network {}>: has no [[network.layers]]; for the network of Table I say \
                 <network table-1>",
                plain(text)
            )));
        };
        let others = match serde_json::to_value(&settings) {
            Ok(serde_json::Value::Object(given)) => given.keys().cloned().collect(),
            _ => Vec::new(),
        };
        Ok(NetworkChoice::File { path: path.into(), network, others })
    }

    /// As `--network` has it.
    pub fn label(&self) -> String {
        match self {
            NetworkChoice::Preset(preset) => preset.name.into(),
            NetworkChoice::File { path, .. } => plain(&path.display().to_string()),
        }
    }

    /// What a configuration file would have under `[network]`: none for the default network.
    pub fn table(&self) -> Option<PartialNetwork> {
        match self {
            // The default network follows the data set, as a configuration without [network] does.
            NetworkChoice::Preset(_) => None,
            NetworkChoice::File { network, .. } => Some(network.clone()),
        }
    }

    /// Shape of the images, where it says so.
    pub fn input(&self) -> Option<Shape> {
        match self {
            NetworkChoice::Preset(_) => None,
            NetworkChoice::File { network, .. } => network.input,
        }
    }

    /// The network for images of shape `input`, with `classes` where it does not say how many
    /// itself.
    ///
    /// # Errors
    /// [`Error::Settings`] for layers that do not fit each other or the images.
    pub fn network(&self, input: Shape, classes: u32) -> Result<NetworkConfig> {
        let network = match self {
            NetworkChoice::Preset(preset) => (preset.network)(input, classes),
            NetworkChoice::File { network, .. } => {
                let (input, layers) = (network.input.unwrap_or(input), network.layers.clone());
                let own = NetworkConfig { input, classes, layers };
                let classes = network.classes.or_else(|| own.outputs()).unwrap_or(classes);
                NetworkConfig { classes, ..own }
            }
        };
        network
            .validate()
            .map_err(|error| Error::Settings(phrase!("<network {}>: {}", self.label(), error)))?;
        Ok(network)
    }
}
