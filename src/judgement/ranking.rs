//! The order of the features of many images by value, on the GPU.

use crate::{
    Result,
    gpu::{Buffer, Gpu, Launcher, Recording},
    kernels::{ImageRange, RankOrder, RankValues},
};

/// Buffers for the ranking of up to `most` images.
pub(super) struct Ranking {
    /// [image, feature]: position, from 0; ties are in the order of the features.
    pub positions: Buffer,
    /// [image, feature]: rank, from 1; ties have their average rank.
    pub ranks: Buffer,
    workspace: Buffer,
    /// Features per image.
    pub features: u32,
    order: RankOrder,
}

impl Ranking {
    /// Buffers for `most` images of `features` features.
    pub fn new(gpu: &Gpu, most: u32, features: u32, order: RankOrder) -> Result<Ranking> {
        let bytes = u64::from(most) * u64::from(features) * 4;
        Ok(Ranking {
            positions: gpu.buffer("places in the ranking", bytes)?,
            ranks: gpu.buffer("ranks", bytes)?,
            workspace: gpu.buffer("workspace of the ranking", 3 * bytes)?,
            features,
            order,
        })
    }

    /// Adds the ranking of `values`, [image, plane, feature].
    pub fn record(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        values: &Buffer,
    ) -> Result<()> {
        let ranking = RankValues {
            images: range,
            values,
            workspace: &self.workspace,
            positions: &self.positions,
            ranks: &self.ranks,
            features: self.features,
            order: self.order,
        };
        ranking.record(gpu, recording, "rank values")
    }
}
