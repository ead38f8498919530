//! Launcher of `shaders/impute_linear.wgsl`.

use super::common::{ImageRange, per_image};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
    layout::groups,
};

/// Noisy linear imputation of the masked pixels of images' copies.
#[derive(Clone, Copy, Debug)]
pub struct ImputeLinear<'a> {
    /// The clean images; their copies lie `count` behind them.
    pub images: ImageRange<'a>,
    /// The current step's record, the key of the noise.
    pub current: &'a Buffer,
    /// [image, pixel] words of the clean images: not 0 where masked.
    pub mask: &'a Buffer,
    /// [image, row, column, channel / 4]; masked pixels of the copies hold the first guess.
    pub pixels: &'a Buffer,
    /// [image, 3, row, column, channel / 4].
    pub workspace: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Standard deviation of the noise, in units of the normalised image.
    pub noise: f32,
    /// Largest number of steps of conjugate gradients.
    pub iterations: u32,
}

impl Launcher for ImputeLinear<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = per_image()
            .constant("HEIGHT", self.shape.height)
            .constant("WIDTH", self.shape.width)
            .constant("CHANNELS", self.shape.channels)
            .constant("NOISE", self.noise)
            .constant("ITERATIONS", self.iterations);
        Launch::new("impute_linear", specialization)
            .bind("images", self.images)
            .bind("current", self.current)
            .bind("mask", self.mask)
            .bind("pixels", self.pixels)
            .bind("workspace", self.workspace)
            .over([self.images.most, groups(self.shape.channels), 1])
    }
}
