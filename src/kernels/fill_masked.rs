//! Launcher of `shaders/fill_masked.wgsl`.

use super::common::{ImageRange, elements, picture};
use crate::{
    config::{MaskFill, Shape},
    gpu::{Buffer, Launch, Launcher},
    shaders::kinds::mask_fill,
};

/// Copies images behind the step's clean ones and replaces their masked pixels.
#[derive(Clone, Copy, Debug)]
pub struct FillMasked<'a> {
    /// The current step's record.
    pub current: &'a Buffer,
    /// Images to copy.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4], the clean images and room for the copies behind them.
    pub pixels: &'a Buffer,
    /// [image, pixel] words: not 0 where masked.
    pub mask: &'a Buffer,
    /// `[image]` (min, max, mean, 0) of the clean images.
    pub statistics: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// The value that replaces a masked pixel.
    pub fill: MaskFill,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

/// FILL of the kernel.
fn number(fill: MaskFill) -> u32 {
    match fill {
        MaskFill::Uniform => mask_fill::UNIFORM,
        MaskFill::Zero => mask_fill::ZERO,
        MaskFill::Mean => mask_fill::MEAN,
        MaskFill::Corner => mask_fill::CORNER,
        MaskFill::Blur => mask_fill::BLUR,
    }
}

impl Launcher for FillMasked<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = picture(self.lanes, self.shape).constant("FILL", number(self.fill));
        Launch::new("fill_masked", specialization)
            .bind("current", self.current)
            .bind("images", self.images)
            .bind("pixels", self.pixels)
            .bind("mask", self.mask)
            .bind("statistics", self.statistics)
            .over([elements(self.shape).div_ceil(self.lanes), self.images.most, 1])
    }
}
