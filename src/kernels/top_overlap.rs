//! Launcher of `shaders/top_overlap.wgsl`.

use super::common::{ImageRange, per_image};
use crate::gpu::{Buffer, Launch, Launcher};

/// Overlap of the first features of two rankings of every image.
#[derive(Clone, Copy, Debug)]
pub struct TopOverlap<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, feature] words: positions from `rank_values`.
    pub a: &'a Buffer,
    /// As `a`.
    pub b: &'a Buffer,
    /// `[image]` |A ∩ B| / |A ∪ B|, one float each.
    pub overlap: &'a Buffer,
    /// Features per image.
    pub features: u32,
    /// Number of first features.
    pub k: u32,
}

impl Launcher for TopOverlap<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = per_image().constant("FEATURES", self.features).constant("K", self.k);
        Launch::new("top_overlap", specialization)
            .bind("images", self.images)
            .bind("a", self.a)
            .bind("b", self.b)
            .bind("overlap", self.overlap)
            .over([self.images.most, 1, 1])
    }
}
