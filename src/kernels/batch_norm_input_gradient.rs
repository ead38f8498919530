//! Launcher of `shaders/batch_norm_input_gradient.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, grid, mode, moved, rows};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    storage::Storage,
};

/// The part of a gradient that comes from the statistics of batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchGradient<'a> {
    /// The batch norm's input, [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [batch, group] two vec4 of [`super::BatchNormParameterGradient`].
    pub means: &'a Buffer,
    /// The current step's record.
    pub current: &'a Buffer,
    /// Batches in the range.
    pub batches: u32,
}

/// The gradient of a batch norm's output becomes that of its input, in place.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormInputGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// `[group]` of the running statistics, or [batch, group] of batches.
    pub coefficients: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub gradient: Binding<'a>,
    /// In training; `None` with running statistics.
    pub batch: Option<BatchGradient<'a>>,
    /// Shape of an image.
    pub shape: Shape,
    /// Formats: of the input, and of the gradient as the output.
    pub storage: Storage,
}

impl Launcher for BatchNormInputGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.pixels() * groups(self.shape.channels);
        let batches = self.batch.map(|own| own.batches);
        let specialization = mode(self.storage.specialize(rows(self.shape)), batches);
        let moves = if self.batch.is_some() { 3 } else { 2 } * elements;
        Launch::new("batch_norm_input_gradient", specialization)
            .bind("images", self.images)
            .bind("coefficients", self.coefficients)
            .bind("gradient", self.gradient)
            .bind_some("input", self.batch.map(|own| own.input))
            .bind_some("means", self.batch.map(|own| own.means))
            .bind_some("current", self.batch.map(|own| own.current))
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, moves, self.storage.output))
    }
}
