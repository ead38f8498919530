//! The one rule for how a model's pixels are normalised: as asked; else as the model says; else an
//! error that asks, but for the network of Table I on a data set known by name, which takes the
//! set's published constants.

use super::Model;
use crate::{
    Error, Result,
    config::{Normalize, NormalizeSpec, PixelNormalization},
    data::{
        Dataset,
        catalog::{CATALOG, Entry},
    },
    plain,
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
    fn published(self) -> Option<(String, (f32, f32))> {
        match self {
            Images::Loaded(dataset) => {
                dataset.published_normalization.map(|pair| (dataset.name.clone(), pair))
            }
            Images::Named(entry) => Some((entry.name.into(), entry.normalization)),
            Images::Unknown => None,
        }
    }

    /// What `standard` is.
    fn standard(self) -> Option<(f32, f32)> {
        match self {
            Images::Loaded(dataset) => Some(dataset.normalization(&Normalize::Standard)),
            Images::Named(entry) => Some(entry.normalization),
            Images::Unknown => None,
        }
    }

    /// What could be given with `--normalize`.
    fn suggestion(self) -> String {
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

impl Model {
    /// Mean and deviation of the pixels p ∈ 0..1: (p − mean) / deviation goes in.
    ///
    /// # Errors
    /// [`Error::Usage`] where the model does not say.
    pub fn normalization(&self) -> Result<(f32, f32)> {
        let own = self.config.normalize.ok_or_else(|| self.unnormalized(Images::Unknown))?;
        Ok((own.mean, own.deviation))
    }

    /// Works out how pixels are normalised and keeps it in the configuration: as `asked`, else as
    /// the model says, else by the rule for files that say nothing. What was assumed is returned in
    /// one line.
    ///
    /// # Errors
    /// [`Error::Usage`] where nothing says it, which names what could be given.
    pub fn settle_normalization(
        &mut self,
        asked: Option<&Normalize>,
        images: Images<'_>,
    ) -> Result<Option<String>> {
        let mut assumed = None;
        let own = self.config.normalize.map(|own| (own.mean, own.deviation));
        let (mean, deviation) = match (asked, own) {
            (Some(mode), _) => match mode.constants().or_else(|| images.standard()) {
                Some(pair) => pair,
                None => self.own_standard()?,
            },
            (None, Some(own)) => own,
            (None, None) => {
                let published = images.published().filter(|_| self.config.network.is_table_one());
                let (name, pair) = published.ok_or_else(|| self.unnormalized(images))?;
                assumed = Some(format!(
                    "{}: does not say how its pixels are normalised; taken as {name} is published: --normalize {},{}",
                    self.path.display(),
                    pair.0,
                    pair.1
                ));
                pair
            }
        };
        self.config.normalize = Some(PixelNormalization { mean, deviation });
        Ok(assumed)
    }

    /// `standard` where there is no data set to take it from: the model's own, if that is what it
    /// was trained with.
    fn own_standard(&self) -> Result<(f32, f32)> {
        let standard = serde_json::to_value(Normalize::Standard).unwrap_or_default();
        if self.config.training["normalize"] == standard && self.config.normalize.is_some() {
            return self.normalization();
        }
        Err(Error::Usage(plain(&format!(
            "--normalize {}: is the mean and deviation of a data set, and {} does not say that it was trained with them; give MEAN,STD, \
             or name the data set with --dataset",
            NormalizeSpec(Normalize::Standard),
            self.path.display()
        ))))
    }

    fn unnormalized(&self, images: Images<'_>) -> Error {
        Error::Usage(plain(&format!(
            "{}: does not say how its pixels are normalised; say it with --normalize none|unit|MEAN,STD ({})",
            self.path.display(),
            images.suggestion()
        )))
    }
}
