//! What images say of how pixels are normalised.

use crate::{
    config::Normalize,
    data::{
        Dataset,
        catalog::{CATALOG, Entry},
    },
};

/// The images that a model is to be run on, as far as they say how pixels are normalised.
#[derive(Clone, Copy, Debug)]
pub enum Images<'a> {
    /// A data set in memory.
    Loaded(&'a Dataset),
    /// A set known by name, not read.
    Named(&'static Entry),
    /// None, or pictures of one's own.
    Unknown,
}

impl Images<'_> {
    /// Name and published constants, of a set known by name.
    pub(super) fn published(self) -> Option<(String, (f32, f32))> {
        match self {
            Images::Loaded(dataset) => {
                dataset.published_normalization.map(|pair| (dataset.name.clone(), pair))
            }
            Images::Named(entry) => Some((entry.name.into(), entry.normalization)),
            Images::Unknown => None,
        }
    }

    /// What `standard` is.
    pub(super) fn standard(self) -> Option<(f32, f32)> {
        match self {
            Images::Loaded(dataset) => Some(dataset.normalization(&Normalize::Standard)),
            Images::Named(entry) => Some(entry.normalization),
            Images::Unknown => None,
        }
    }

    /// What could be given with `--normalize`.
    pub(super) fn suggestion(self) -> String {
        let pair = |(mean, deviation): (f32, f32)| format!("--normalize {mean},{deviation}");
        match self {
            Images::Loaded(dataset) if !dataset.is_named() => {
                let own = pair(dataset.normalization(&Normalize::Standard));
                let alike = CATALOG.iter().find(|entry| entry.name == dataset.name);
                let alike = alike.map_or_else(String::new, |entry| {
                    format!(
                        "; a folder is no set known by name: if it is {0}, say {1} or --dataset {0}",
                        entry.name,
                        pair(entry.normalization)
                    )
                });
                format!("of the training images of {} it would be {own}{alike}", dataset.name)
            }
            _ => match self.published() {
                Some((name, constants)) => format!("for {name} it would be {}", pair(constants)),
                None => {
                    let sets = CATALOG.iter().filter(|entry| entry.embedded.is_none());
                    let sets: Vec<_> = sets
                        .map(|entry| format!("{} for {}", pair(entry.normalization), entry.name))
                        .collect();
                    sets.join(", ")
                }
            },
        }
    }
}
