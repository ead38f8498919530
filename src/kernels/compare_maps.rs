//! Launcher of `shaders/compare_maps.wgsl`.

use super::common::{ImageRange, per_image};
use crate::gpu::{Buffer, Launch, Launcher};

/// Similarities of two maps of every image.
#[derive(Clone, Copy, Debug)]
pub struct CompareMaps<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, value] floats; relative distances are in units of its norm.
    pub a: &'a Buffer,
    /// As `a`.
    pub b: &'a Buffer,
    /// `[image]` (Pearson correlation, cosine, ‖b − a‖₂ / ‖a‖₂, a · b).
    pub similarity: &'a Buffer,
    /// Values per image.
    pub values: u32,
}

impl Launcher for CompareMaps<'_> {
    fn launch(&self) -> Launch<'_> {
        Launch::new("compare_maps", per_image().constant("VALUES", self.values))
            .bind("images", self.images)
            .bind("a", self.a)
            .bind("b", self.b)
            .bind("similarity", self.similarity)
            .over([self.images.most, 1, 1])
    }
}
