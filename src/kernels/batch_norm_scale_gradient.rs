//! Launcher of `shaders/batch_norm_scale_gradient.wgsl`.

use super::common::{ImageRange, per_image};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
};

/// The gradient of γ with running statistics, where the input is a direction.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormScaleGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The direction at the batch norm's input, [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// The gradient at its output, likewise.
    pub gradient: Binding<'a>,
    /// `[group]` two vec4 of [`super::BatchNormInference`].
    pub factors: &'a Buffer,
    /// The flat array of gradients, to which it is added.
    pub gradients: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Index of γ in the flat array.
    pub scale_index: u32,
}

impl Launcher for BatchNormScaleGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = per_image()
            .constant("PIXELS", self.shape.pixels())
            .constant("CHANNELS", self.shape.channels)
            .constant("SCALE_INDEX", self.scale_index);
        Launch::new("batch_norm_scale_gradient", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("gradient", self.gradient)
            .bind("factors", self.factors)
            .bind("gradients", self.gradients)
            .over([groups(self.shape.channels), 1, 1])
    }
}
