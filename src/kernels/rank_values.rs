//! Launcher of `shaders/rank_values.wgsl`.

use super::common::{ImageRange, per_image};
use crate::gpu::{Buffer, Launch, Launcher};

/// The order of features in a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RankOrder {
    /// Planes (channels) whose values are added up to a feature's.
    pub planes: u32,
    /// Whether features are ordered by |value|.
    pub magnitude: bool,
    /// Whether the largest is first.
    pub descending: bool,
}

/// Ranks the features of every image by value.
#[derive(Clone, Copy, Debug)]
pub struct RankValues<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, plane, feature] floats.
    pub values: &'a Buffer,
    /// [image, 3, feature] words.
    pub workspace: &'a Buffer,
    /// [image, feature] words: position, from 0; ties are in the order of the features.
    pub positions: &'a Buffer,
    /// [image, feature] floats: rank, from 1; ties have their average rank.
    pub ranks: &'a Buffer,
    /// Features per image.
    pub features: u32,
    /// The order.
    pub order: RankOrder,
}

impl Launcher for RankValues<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = per_image()
            .constant("FEATURES", self.features)
            .constant("PLANES", self.order.planes)
            .constant("MAGNITUDE", u32::from(self.order.magnitude))
            .constant("DESCENDING", u32::from(self.order.descending));
        Launch::new("rank_values", specialization)
            .bind("images", self.images)
            .bind("values", self.values)
            .bind("workspace", self.workspace)
            .bind("positions", self.positions)
            .bind("ranks", self.ranks)
            .over([self.images.most, 1, 1])
    }
}
