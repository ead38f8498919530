//! Launcher of `shaders/batch_norm.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, activated, grid, mode, moved, rows};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    quant::ActivationPlan,
    storage::Storage,
};

/// output = activate(normalised input).
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// `[group]` coefficients of the running statistics, or [batch, group] those of batches.
    pub coefficients: &'a Buffer,
    /// As the input.
    pub output: Binding<'a>,
    /// The activation's input, stored if the activation has a learned parameter.
    pub pre_activation: Option<Binding<'a>>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: &'a Buffer,
    /// The current step's record and the number of batches; `None` with running statistics.
    pub batches: Option<(&'a Buffer, u32)>,
    /// Shape of an image.
    pub shape: Shape,
    /// The activation behind the norm.
    pub activation: ActivationPlan,
    /// Formats of input and output.
    pub storage: Storage,
}

impl Launcher for BatchNorm<'_> {
    fn launch(&self) -> Launch<'_> {
        let (current, batches) = self.batches.unzip();
        let elements = self.shape.pixels() * groups(self.shape.channels);
        let specialization = mode(self.storage.specialize(rows(self.shape)), batches);
        let learns = self.activation.is_pact();
        Launch::new("batch_norm", activated(specialization, self.activation))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("coefficients", self.coefficients)
            .bind("output", self.output)
            .bind_some("pre_activation", self.pre_activation)
            .bind_some("parameters", learns.then_some(self.parameters))
            .bind_some("current", current)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * elements, self.storage.output))
    }
}
