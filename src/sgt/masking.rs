//! X̃ = M_k(I, X): the selection of masked features, and the values that replace them.

use crate::{
    Result,
    batch::Batch,
    config::{MaskFill, MaskRank, Shape},
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::{FillMasked, ImageStatistics, LANES, PER_IMAGE, SelectLowest},
    nn::TileTable,
};

/// The number of features for a share: floor(share · features). The share is taken as written, to 7
/// digits (0.7 of 10 is 7, 0.29 of 100 is 29).
pub fn features_of(share: f64, features: u32) -> u32 {
    const UNIT: u32 = 10_000_000;
    // Computed in integers, because 0.29 · 100 is below 29 in f64.
    let units = (share * f64::from(UNIT)).round() as u64;
    u32::try_from(units * u64::from(features) / u64::from(UNIT)).unwrap_or(features)
}

/// Buffers and settings of masking.
pub struct Masking {
    shape: Shape,
    /// Number of masked features per image: floor(mask ratio · pixels).
    pub k: u32,
    rank: MaskRank,
    fill: MaskFill,
    /// [image, pixel], 1 where masked.
    pub mask: Buffer,
    statistics: Buffer,
}

impl Masking {
    /// Masks the `ratio` lowest features of images of `shape`, for up to `slots` images.
    pub fn new(
        gpu: &Gpu,
        shape: Shape,
        slots: u32,
        ratio: f32,
        rank: MaskRank,
        fill: MaskFill,
    ) -> Result<Masking> {
        Ok(Masking {
            shape,
            k: features_of(f64::from(ratio), shape.pixels()),
            rank,
            fill,
            mask: gpu.buffer("mask", u64::from(slots) * u64::from(shape.pixels()) * 4)?,
            statistics: gpu.buffer("image statistics", u64::from(slots) * 16)?,
        })
    }

    /// Adds I = the k lowest features of `gradient` for every image to be masked (Algorithm 1: sort
    /// the gradient, take the bottom k), or the k highest if the step's entry says so.
    pub fn record_selection(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        batch: &Batch,
        gradient: Binding<'_>,
    ) -> Result<()> {
        let selection = SelectLowest {
            images: batch.to_mask(),
            gradient,
            mask: &self.mask,
            current: &batch.step,
            shape: self.shape,
            k: self.k,
            rank: self.rank,
            workgroup: PER_IMAGE,
            subgroup: TileTable::new(gpu).scan_subgroup(PER_IMAGE),
        };
        selection.record(gpu, recording, "select lowest")
    }

    /// Adds X̃: the clean images of `images` that are to be masked are copied behind all clean
    /// ones, and the selected features are replaced.
    pub fn record_fill(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        batch: &Batch,
        images: &Buffer,
    ) -> Result<()> {
        let statistics = ImageStatistics {
            images: batch.to_mask(),
            pixels: images,
            statistics: &self.statistics,
            shape: self.shape,
            workgroup: PER_IMAGE,
        };
        statistics.record(gpu, recording, "image statistics")?;
        let fill = FillMasked {
            current: &batch.step,
            images: batch.to_mask(),
            pixels: images,
            mask: &self.mask,
            statistics: &self.statistics,
            shape: self.shape,
            fill: self.fill,
            lanes: LANES,
        };
        fill.record(gpu, recording, "fill masked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_as_they_are_written() {
        let cases = [
            (0.7, 10, 7),
            (0.29, 100, 29),
            (0.57, 400, 228),
            (0.58, 100, 58),
            (0.9999999, 784, 783),
            (0.5, 7, 3),
        ];
        for (share, features, expected) in cases {
            assert_eq!(features_of(share, features), expected, "{share} of {features}");
        }
        // For shares that come from f32, and for every whole percentage.
        for percent in 0..=100u32 {
            assert_eq!(
                features_of(f64::from(percent as f32 / 100.0), 1200),
                12 * percent,
                "{percent} %"
            );
        }
        assert_eq!(features_of(1.0, u32::MAX), u32::MAX);
    }
}
