//! What is wrong with a network, and where: in which layer, and in which line of which file.

use std::fmt;

use crate::Error;

/// What keeps a network from being built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The layer, counted from 0; none where it is the network as a whole.
    pub layer: Option<usize>,
    /// Its name, where it has one.
    name: Option<String>,
    reason: String,
}

impl Misfit {
    /// Of layer `index`, which may be called `name`.
    pub fn of_layer(index: usize, name: Option<&str>, reason: String) -> Misfit {
        Misfit { layer: Some(index), name: name.map(Into::into), reason }
    }

    /// Of no single layer.
    pub fn of_network(reason: impl Into<String>) -> Misfit {
        Misfit { layer: None, name: None, reason: reason.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.layer, &self.name) {
            (Some(index), Some(name)) => {
                write!(formatter, "layer {} (`{name}`): {}", index + 1, self.reason)
            }
            (Some(index), None) => write!(formatter, "layer {}: {}", index + 1, self.reason),
            (None, _) => formatter.write_str(&self.reason),
        }
    }
}

impl From<Misfit> for Error {
    fn from(misfit: Misfit) -> Error {
        Error::Model(crate::plain(&misfit.to_string()))
    }
}

/// Where a network was written: its file, and the lines of its layers, counted from 1. Nothing for
/// a network that no file holds.
#[derive(Clone, Debug, Default)]
pub struct NetworkOrigin {
    /// The file's name in messages.
    pub(super) file: String,
    /// The line of `[network]`.
    pub(super) line: usize,
    /// The first line of each layer.
    pub(super) layers: Vec<usize>,
}

/// Where a network was written is no part of what it is.
impl PartialEq for NetworkOrigin {
    fn eq(&self, _: &NetworkOrigin) -> bool {
        true
    }
}

impl NetworkOrigin {
    /// The lines of parts in `file`.
    pub(super) fn new(file: &str, lines: Vec<usize>) -> NetworkOrigin {
        let line = lines.first().copied().unwrap_or(1);
        NetworkOrigin { file: file.into(), line, layers: lines }
    }

    /// `file:line: ` of a layer, counted from 0, or of the whole; empty where no file holds the
    /// network.
    pub(super) fn place(&self, layer: Option<usize>) -> String {
        let line = layer.and_then(|layer| self.layers.get(layer)).unwrap_or(&self.line);
        if self.file.is_empty() { String::new() } else { format!("{}:{line}: ", self.file) }
    }
}
