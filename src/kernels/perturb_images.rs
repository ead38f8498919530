//! Launcher of `shaders/perturb_images.wgsl`.

use super::common::{ImageRange, elements, flat_picture};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
};

/// Noisy copies of every image, and the noise.
#[derive(Clone, Copy, Debug)]
pub struct PerturbImages<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The current step's record: seed, and the position of the first image.
    pub current: &'a Buffer,
    /// The round's record (shaders/common/round.wgsl): the index of the noise sample.
    pub current_round: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub pixels: &'a Buffer,
    /// The copies, in the layout of the pixels.
    pub noisy: &'a Buffer,
    /// [image, channel, pixel] floats.
    pub noise: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Half the width of the uniform distribution, or the standard deviation of the normal one.
    pub scale: f32,
    /// N(0, scale²) instead of U(−scale, scale).
    pub normal: bool,
    /// x + noise, or x − noise.
    pub added: bool,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for PerturbImages<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = flat_picture(self.lanes, self.shape)
            .constant("SCALE", self.scale)
            .constant("SIGN", if self.added { 1.0 } else { -1.0 })
            .constant("NORMAL", u32::from(self.normal));
        Launch::new("perturb_images", specialization)
            .bind("images", self.images)
            .bind("current", self.current)
            .bind("current_round", self.current_round)
            .bind("pixels", self.pixels)
            .bind("noisy", self.noisy)
            .bind("noise", self.noise)
            .over([elements(self.shape).div_ceil(self.lanes), self.images.most, 1])
    }
}
