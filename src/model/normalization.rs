//! The information that images give about the normalisation of pixels.

use crate::{
    KnownNormalization,
    config::{Normalize, PixelNormalization},
    data::{
        Dataset,
        catalog::{CATALOG, Entry},
    },
};

/// The images that a model is to be run on, as far as they determine the normalisation of pixels.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// A data set in memory.
    Loaded(&'a Dataset),
    /// A named set that was not read.
    Named(&'static Entry),
    /// No images, or the user's own pictures.
    Unknown,
}

impl Images<'_> {
    /// Name and published constants of a named set.
    pub(super) fn published(self) -> Option<(String, PixelNormalization)> {
        match self {
            Images::Loaded(dataset) => {
                dataset.published_normalization.map(|pair| (dataset.name.clone(), pair))
            }
            Images::Named(entry) => Some((entry.name.into(), entry.normalization)),
            Images::Unknown => None,
        }
    }

    /// The constants of `standard`.
    pub(super) fn standard(self) -> Option<PixelNormalization> {
        match self {
            Images::Loaded(dataset) => Some(dataset.normalization(&Normalize::Standard)),
            Images::Named(entry) => Some(entry.normalization),
            Images::Unknown => None,
        }
    }

    /// The known possibilities for the normalisation of their pixels.
    pub(super) fn known(self) -> KnownNormalization {
        match self {
            Images::Loaded(dataset) if !dataset.is_named() => {
                let alike = CATALOG.iter().find(|entry| entry.name == dataset.name);
                KnownNormalization::OfFolder {
                    name: dataset.name.clone(),
                    own: dataset.normalization(&Normalize::Standard).to_string(),
                    alike: alike.map(|entry| entry.normalization.to_string()),
                }
            }
            _ => match self.published() {
                Some((name, own)) => {
                    KnownNormalization::OfKnown { name, published: own.to_string() }
                }
                None => {
                    let sets = CATALOG.iter().filter(|entry| entry.embedded.is_none());
                    let pair = |entry: &Entry| (entry.name.into(), entry.normalization.to_string());
                    KnownNormalization::OfAny(sets.map(pair).collect())
                }
            },
        }
    }
}
