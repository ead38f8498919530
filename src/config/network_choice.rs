//! What `--network` takes: a network known by name, or one in a file.

use std::path::{Path, PathBuf};

use super::{NetworkConfig, PartialNetwork, PartialRunConfig, Preset, Shape};
use crate::{Error, Result, error::phrase, plain};

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
        if let Some(preset) = Preset::find(text) {
            return Ok(NetworkChoice::Preset(preset));
        }
        let path = Path::new(text);
        let is_file_name =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        if !is_file_name && !path.is_file() {
            return Err(Error::Settings(phrase!(
                "<network {}>: {}, nor a TOML file with [[network.layers]]",
                plain(text),
                Preset::unknown(text)
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

    /// Whether it is the network that a configuration without one has.
    pub fn is_default(&self) -> bool {
        matches!(self, NetworkChoice::Preset(preset) if preset.is_default())
    }

    /// What a configuration file would have under `[network]`: none for the default network, which
    /// dropout and batch norms are settings of.
    pub fn table(&self) -> Option<PartialNetwork> {
        match self {
            NetworkChoice::Preset(preset) if preset.is_default() => None,
            NetworkChoice::Preset(preset) => Some(PartialNetwork::from(*preset)),
            NetworkChoice::File { network, .. } => Some(network.clone()),
        }
    }

    /// The network known by name that it is.
    pub fn preset(&self) -> Option<&'static Preset> {
        match self {
            NetworkChoice::Preset(preset) => Some(preset),
            NetworkChoice::File { network, .. } => network.preset,
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
            NetworkChoice::Preset(preset) => preset.network(input, classes),
            NetworkChoice::File { network, .. } => network.network(input, classes),
        };
        network.validate().map_err(|error| {
            let images = self.preset().map_or_else(String::new, |_| format!("images of {input}: "));
            Error::Settings(phrase!("<network {}>: {}{}", self.label(), images, error))
        })?;
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_list_the_known() {
        let said = NetworkChoice::find("resnet8").unwrap_err().to_string();
        assert!(said.starts_with("network = resnet8: no such network; did you mean"), "{said}");
        assert!(said.contains("`resnet-8`?") && said.contains("lenet-5, vgg-small"), "{said}");
    }

    #[test]
    fn images_that_are_too_small_are_named() {
        let choice = NetworkChoice::find("lenet-5").unwrap();
        assert!(choice.network(Shape::new(3, 28, 28), 4).is_ok());
        let said = choice.network(Shape::new(1, 8, 8), 10).unwrap_err().to_string();
        assert!(
            said.starts_with("network = lenet-5: images of 1×8×8: layer 4 (`conv2`)"),
            "{said}"
        );
    }
}
