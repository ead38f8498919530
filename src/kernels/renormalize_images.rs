//! Launcher of `shaders/renormalize_images.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
    storage::Format,
};

/// Images in another normalisation: scale · input + offset.
#[derive(Clone, Copy, Debug)]
pub struct RenormalizeImages<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4] vec4.
    pub input: &'a Buffer,
    /// As the input.
    pub output: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Factor.
    pub scale: f32,
    /// Added to the product.
    pub offset: f32,
}

impl Launcher for RenormalizeImages<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.pixels() * groups(self.shape.channels);
        let specialization = Specialization::new()
            .constant("PIXELS", self.shape.pixels())
            .constant("CHANNELS", self.shape.channels)
            .constant("SCALE", self.scale)
            .constant("OFFSET", self.offset);
        Launch::new("renormalize_images", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * elements, Format::F32))
    }
}
