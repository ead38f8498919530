//! Pixel flipping: deletion and insertion curves (Bach et al. 2015, Samek et al. 2017, Petsiuk et
//! al. 2018).

use serde::{Deserialize, Serialize};

use super::{
    Fill, Subject,
    accuracy_drop::area,
    removal::{Removal, Round},
};
use crate::{Result, sgt::features_of};

/// Areas under the curves of one image: the probability of the target class over the share of
/// changed pixels, in 0..=1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flipping {
    /// Pixels removed, most salient first. Lower is better.
    pub deletion: f64,
    /// Pixels restored into the filled image, most salient first. Higher is better.
    pub insertion: f64,
}

/// Recorded deletion and insertion.
pub struct PixelFlipping<'a> {
    removal: Removal<'a>,
    shares: Vec<f64>,
}

impl<'a> PixelFlipping<'a> {
    /// Records curves of `steps` equal steps for the probabilities of the classes `targets`.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn record(
        subject: Subject<'a>,
        targets: &[u32],
        fill: Fill,
        steps: u32,
        seed: u64,
    ) -> Result<PixelFlipping<'a>> {
        let steps = steps.max(1);
        let shares: Vec<f64> = (0..=steps).map(|step| f64::from(step) / f64::from(steps)).collect();
        let pixels = subject.shape().pixels();
        let round = |inverted: u32| {
            shares.iter().map(move |&share| Round {
                removed: features_of(share, pixels),
                inverted,
                ..Round::default()
            })
        };
        let rounds: Vec<Round> = round(0).chain(round(1)).collect();
        Ok(PixelFlipping {
            removal: Removal::record(subject, Some(targets), fill, &rounds, seed)?,
            shares,
        })
    }

    /// The areas of every image for its map; `maps` is [N, C, H, W].
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn run(&self, maps: &[f32], progress: &mut dyn FnMut(u64)) -> Result<Vec<Flipping>> {
        let outcomes = self.removal.run(maps, progress).await?;
        let (deletion, insertion) = outcomes.split_at(self.shares.len());
        let of_image = |rounds: &[Vec<_>], image: usize| {
            let probabilities: Vec<f64> = rounds
                .iter()
                .map(|round: &Vec<super::removal::Outcome>| f64::from(round[image].probability))
                .collect();
            area(&self.shares, &probabilities)
        };
        let images = outcomes.first().map_or(0, Vec::len);
        Ok((0..images)
            .map(|image| Flipping {
                deletion: of_image(deletion, image),
                insertion: of_image(insertion, image),
            })
            .collect())
    }
}
