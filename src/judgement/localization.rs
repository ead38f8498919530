//! Localization: whether a map points at what an image shows, given as a mask of its pixels.
//!
//! The relevance of a pixel is Σ|φ| over its channels. Pointing game (Zhang et al. 2018), relevance
//! mass and relevance rank accuracy (Arras et al. 2022) are as in Quantus with `abs=True`; the
//! intersection over union takes as many of the most relevant pixels as the mask has.

use super::{Metric, Scores, maps::images_of};
use crate::{Result, config::Shape};

/// How much of one map lies in its image's mask. All are NaN without a mask, and for a mask without
/// pixels; a map of zeros has 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Localization {
    /// 1 if the most relevant pixel, or one of several, is in the mask.
    pub pointing: f64,
    /// Share of the relevance that is in the mask.
    pub mass: f64,
    /// Of as many of the most relevant pixels as the mask has, the share that is in it.
    pub rank: f64,
    /// Intersection over union of these pixels and the mask.
    pub overlap: f64,
}

impl Localization {
    const UNKNOWN: Localization = Localization::all(f64::NAN);
    const NONE: Localization = Localization::all(0.0);

    const fn all(value: f64) -> Localization {
        Localization { pointing: value, mass: value, rank: value, overlap: value }
    }

    /// Of a map, [C, H, W], and the mask of its `mask.len()` pixels.
    pub fn of(map: &[f32], mask: &[bool]) -> Localization {
        let size = mask.iter().filter(|&&inside| inside).count();
        if size == 0 {
            return Localization::UNKNOWN;
        }
        let mut relevance = vec![0.0; mask.len()];
        for plane in map.chunks_exact(mask.len()) {
            for (sum, &value) in relevance.iter_mut().zip(plane) {
                *sum += f64::from(value.abs());
            }
        }
        let total: f64 = relevance.iter().sum();
        if total == 0.0 {
            return Localization::NONE;
        }
        if !total.is_finite() {
            return Localization::UNKNOWN;
        }
        let inside = || relevance.iter().zip(mask).filter(|(_, inside)| **inside);
        let most = relevance.iter().copied().fold(0.0, f64::max);
        // Of equal values the first are taken.
        let mut order: Vec<usize> = (0..mask.len()).collect();
        order.sort_by(|&a, &b| relevance[b].total_cmp(&relevance[a]));
        let hits = order[..size].iter().filter(|&&pixel| mask[pixel]).count() as f64;
        let size = size as f64;
        Localization {
            pointing: f64::from(u8::from(inside().any(|(value, _)| *value == most))),
            mass: inside().map(|(value, _)| value).sum::<f64>() / total,
            rank: hits / size,
            overlap: hits / (2.0 * size - hits),
        }
    }
}

/// The localization of every map, [N, C, H, W]; `masks` are those of the images, where they have
/// one.
///
/// # Errors
/// [`crate::Error::Data`] for maps of another shape.
pub fn localization(
    shape: Shape,
    maps: &[f32],
    masks: &[Option<Vec<bool>>],
) -> Result<Vec<Localization>> {
    images_of(maps, shape)?;
    let of = |(map, mask): (&[f32], &Option<Vec<bool>>)| {
        mask.as_ref().map_or(Localization::UNKNOWN, |mask| Localization::of(map, mask))
    };
    Ok(maps.chunks_exact(shape.elements() as usize).zip(masks).map(of).collect())
}

/// Adds to `scores` the means of `localizations`, of the images that have a mask.
pub fn add_localizations(scores: &mut Scores, localizations: &[Localization], seed: u64) {
    let all = localizations.iter();
    scores.add(Metric::PointingGame, all.clone().map(|one| one.pointing), seed);
    scores.add(Metric::RelevanceMass, all.clone().map(|one| one.mass), seed);
    scores.add(Metric::RelevanceRank, all.clone().map(|one| one.rank), seed);
    scores.add(Metric::MaskOverlap, all.map(|one| one.overlap), seed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_by_hand() {
        let mask = [true, true, false, false, false, false];
        // Relevance 1, 3, 0, 4, 1, 1 of two channels.
        let map = [0.5, -1.0, 0.0, 4.0, -1.0, 0.25, -0.5, 2.0, 0.0, 0.0, 0.0, 0.75];
        let own = Localization::of(&map, &mask);
        assert_eq!(own, Localization { pointing: 0.0, mass: 0.4, rank: 0.5, overlap: 1.0 / 3.0 });
        let equal = Localization::of(&[1.0; 6], &mask);
        assert_eq!((equal.pointing, equal.mass, equal.rank), (1.0, 2.0 / 6.0, 1.0));
        let zero = Localization::of(&[0.0; 6], &mask);
        assert_eq!((zero.pointing, zero.mass, zero.rank, zero.overlap), (0.0, 0.0, 0.0, 0.0));
        assert!(Localization::of(&[1.0; 6], &[false; 6]).mass.is_nan());
        assert!(Localization::of(&[f32::NAN; 6], &mask).mass.is_nan());
    }

    #[test]
    fn images_without_a_mask_have_no_part_in_the_mean() {
        let shape = Shape::new(1, 1, 2);
        let masks = [Some(vec![true, false]), None, Some(vec![false, true])];
        let own = localization(shape, &[3.0, 1.0, 1.0, 0.0, 1.0, 0.0], &masks).unwrap();
        let mut scores = Scores::default();
        add_localizations(&mut scores, &own, 0);
        assert_eq!(scores.get(Metric::RelevanceMass).unwrap().mean, 0.375);
        assert_eq!(scores.get(Metric::PointingGame).unwrap().mean, 0.5);
        assert!(localization(shape, &[1.0; 3], &masks).is_err());
    }
}
