//! Launcher of `shaders/image_statistics.wgsl`.

use super::common::ImageRange;
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Smallest, largest and mean value of every image.
#[derive(Clone, Copy, Debug)]
pub struct ImageStatistics<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub pixels: &'a Buffer,
    /// `[image]` (min, max, mean, 0) over pixels and channels.
    pub statistics: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Invocations of a workgroup, a power of 2.
    pub workgroup: u32,
}

impl Launcher for ImageStatistics<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("WORKGROUP", self.workgroup)
            .constant("PIXELS", self.shape.pixels())
            .constant("CHANNELS", self.shape.channels);
        Launch::new("image_statistics", specialization)
            .bind("images", self.images)
            .bind("pixels", self.pixels)
            .bind("statistics", self.statistics)
            .over([self.images.most, 1, 1])
    }
}
