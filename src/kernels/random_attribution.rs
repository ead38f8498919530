//! Launcher of `shaders/random_attribution.wgsl`.

use super::common::{ImageRange, elements, flat_picture};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// U(−1, 1) for every pixel and channel.
#[derive(Clone, Copy, Debug)]
pub struct RandomAttribution<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// A step's record with the seed.
    pub current: &'a Buffer,
    /// Keys of random numbers, one word per image.
    pub indices: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub attribution: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for RandomAttribution<'_> {
    fn launch(&self) -> Launch<'_> {
        Launch::new("random_attribution", flat_picture(self.lanes, self.shape))
            .bind("images", self.images)
            .bind("current", self.current)
            .bind("indices", self.indices)
            .bind("attribution", self.attribution)
            .over([elements(self.shape).div_ceil(self.lanes), self.images.most, 1])
    }
}
