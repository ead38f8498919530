//! Launcher of `shaders/mask_ranked.wgsl`.

use super::common::ImageRange;
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Marks the features of every image that a round removes.
#[derive(Clone, Copy, Debug)]
pub struct MaskRanked<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The round's record (shaders/common/round.wgsl).
    pub current: Binding<'a>,
    /// [image, feature] words: positions from `rank_values`.
    pub positions: &'a Buffer,
    /// [image, feature] words: 1 where removed.
    pub mask: &'a Buffer,
    /// Features per image.
    pub features: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for MaskRanked<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization =
            Specialization::new().tile("LANES", self.lanes).constant("FEATURES", self.features);
        Launch::new("mask_ranked", specialization)
            .bind("images", self.images)
            .bind("current", self.current)
            .bind("positions", self.positions)
            .bind("mask", self.mask)
            .over([self.features.div_ceil(self.lanes), self.images.most, 1])
    }
}
