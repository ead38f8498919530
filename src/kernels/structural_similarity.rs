//! Launcher of `shaders/structural_similarity.wgsl`.

use super::common::{ImageRange, per_image};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// Structural similarity of two maps of every image.
#[derive(Clone, Copy, Debug)]
pub struct StructuralSimilarity<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, channel, row, column] floats.
    pub a: &'a Buffer,
    /// As `a`.
    pub b: &'a Buffer,
    /// `[image]` the mean over channels and windows, one float each.
    pub similarity: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Height and width of a window in pixels: odd, at most 11, and no larger than the image.
    pub window: u32,
}

impl Launcher for StructuralSimilarity<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = per_image()
            .constant("HEIGHT", self.shape.height)
            .constant("WIDTH", self.shape.width)
            .constant("CHANNELS", self.shape.channels)
            .constant("WINDOW", self.window);
        Launch::new("structural_similarity", specialization)
            .bind("images", self.images)
            .bind("a", self.a)
            .bind("b", self.b)
            .bind("similarity", self.similarity)
            .over([self.images.most, 1, 1])
    }
}
