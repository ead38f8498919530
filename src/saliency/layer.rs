//! The layer whose channels methods of the grad-cam kind weigh.

use super::Method;
use crate::{
    Error, Result,
    config::{LayerConfig, LayerKind, NetworkConfig},
    error::phrase,
};

/// Index of the layer whose channels are weighted. A map of one pixel is allowed; it gives all
/// pixels of the image the same value.
pub(super) fn layer(method: Method, network: &NetworkConfig, name: Option<&str>) -> Result<usize> {
    let called = method.name();
    let names = network.names();
    let planes: Vec<usize> =
        (0..network.layers.len()).filter(|&index| has_plane(network, index)).collect();
    let named = match planes.iter().map(|&index| &names[index][..]).collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => format!("the network has none: leave {called} out"),
        names => format!("layers with planes: {names}"),
    };
    let Some(name) = name else {
        let is_convolution =
            |index: &&usize| matches!(network.layers[**index].kind, LayerKind::Conv(_));
        return planes.iter().rfind(is_convolution).copied().ok_or_else(|| {
            let other = if planes.is_empty() {
                "leave it out".into()
            } else {
                phrase!("leave it out, or name a layer with <layer> ({})", named)
            };
            let what =
                phrase!("{} looks at the last convolution, and the network has none: ", called);
            Error::Settings(what.then(other))
        });
    };
    match names.iter().position(|own| own == name) {
        Some(index) if planes.contains(&index) => Ok(index),
        Some(_) => Err(Error::Settings(phrase!(
            "<layer {}>: {} needs a layer with planes (channels of rows and columns); {}",
            name,
            called,
            named
        ))),
        None => Err(Error::Settings(phrase!(
            "<layer {}>: the network has no such layer; {}",
            name,
            named
        ))),
    }
}

/// Whether the output of the layer has channels with rows and columns. This holds for convolutions
/// and for all layers in front of the first fully connected one.
fn has_plane(network: &NetworkConfig, index: usize) -> bool {
    let is_linear = |layer: &LayerConfig| matches!(layer.kind, LayerKind::Linear { .. });
    match network.layers[index].kind {
        LayerKind::Dropout { .. } | LayerKind::Flatten {} => false,
        LayerKind::Conv(_) => true,
        _ => !network.layers[..=index].iter().any(is_linear),
    }
}
