//! Checks whether a method can explain a network, before anything is computed.

use super::{
    Method, MethodOptions, Output,
    method::{Explained, Map},
};
use crate::{
    Error, Result,
    config::{LayerConfig, NetworkConfig},
};

impl Method {
    /// Returns an error if this method cannot explain `network` with `options` on any adapter.
    ///
    /// # Errors
    /// [`Error::Usage`] with the method, the reason and a way to avoid it.
    pub fn check(self, network: &NetworkConfig, options: &MethodOptions) -> Result<()> {
        let spec = self.spec();
        if spec.explains == Explained::Logit && options.output != Output::Logit {
            let reason = format!("{} distributes a logit; use --output logit with it", self.name());
            return Err(Error::Usage(reason));
        }
        match spec.map {
            Map::Channels(_) => self.layer(network, options).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Index of the layer whose channels are weighted. A map of one pixel is allowed; it gives all
    /// pixels of the image the same value.
    pub(super) fn layer(self, network: &NetworkConfig, options: &MethodOptions) -> Result<usize> {
        let method = self.name();
        let label = |index: usize| network.layers[index].label(index + 1);
        let planes: Vec<usize> =
            (0..network.layers.len()).filter(|&index| has_plane(network, index)).collect();
        let named = match planes.iter().map(|&index| label(index)).collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => format!("the network has none: leave {method} out"),
            names => format!("layers with planes: {names}"),
        };
        let Some(name) = &options.layer else {
            let is_convolution =
                |index: &&usize| matches!(network.layers[**index], LayerConfig::Conv { .. });
            return planes.iter().rfind(is_convolution).copied().ok_or_else(|| {
                let other = if planes.is_empty() {
                    "leave it out".to_string()
                } else {
                    format!("leave it out, or name a layer with --layer ({named})")
                };
                Error::Usage(format!(
                    "{method} looks at the last convolution, and the network has none: {other}"
                ))
            });
        };
        match (0..network.layers.len()).find(|&index| label(index) == *name) {
            Some(index) if planes.contains(&index) => Ok(index),
            Some(_) => Err(Error::Usage(format!(
                "--layer {name}: {method} needs a layer with planes (channels of rows and \
                 columns); {named}"
            ))),
            None => {
                Err(Error::Usage(format!("--layer {name}: the network has no such layer; {named}")))
            }
        }
    }
}

/// Whether the output of the layer has channels with rows and columns. This holds for convolutions
/// and for all layers in front of the first fully connected one.
fn has_plane(network: &NetworkConfig, index: usize) -> bool {
    let is_linear = |layer: &LayerConfig| matches!(layer, LayerConfig::Linear { .. });
    match network.layers[index] {
        LayerConfig::Dropout { .. } => false,
        LayerConfig::Conv { .. } => true,
        _ => !network.layers[..=index].iter().any(is_linear),
    }
}
