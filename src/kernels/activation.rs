//! Launchers of `shaders/activation.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, activated, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    quant::ActivationPlan,
    shaders::Specialization,
    storage::Storage,
};

/// output = activate(input), value by value.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, element] groups of 4.
    pub input: Binding<'a>,
    /// As the input.
    pub output: Binding<'a>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// Real channels.
    pub channels: u32,
    /// What is applied.
    pub activation: ActivationPlan,
    /// Formats of input and output.
    pub storage: Storage,
}

impl Launcher for Activation<'_> {
    fn launch(&self) -> Launch<'_> {
        let mut specialization = Specialization::new().constant("ELEMENTS", self.elements);
        if !self.activation.function().keeps_zero() {
            specialization =
                specialization.feature("padded", true).constant("CHANNELS", self.channels);
        }
        let specialization = self.storage.specialize(activated(specialization, self.activation));
        Launch::new("activation", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .bind_some("parameters", self.activation.is_pact().then_some(self.parameters))
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * self.elements, self.storage.output))
    }
}

/// output = clamp(round(multiplier·input + offset), range) of integer inference.
#[derive(Clone, Copy, Debug)]
pub struct RequantizedActivation<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, pixel, channel / 4].
    pub input: Binding<'a>,
    /// As the input.
    pub output: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// Real channels.
    pub channels: u32,
    /// Factor on the input.
    pub multiplier: f32,
    /// Added to it.
    pub offset: f32,
    /// Lower and upper end of the output's range.
    pub range: [f32; 2],
    /// Formats of input and output.
    pub storage: Storage,
}

impl Launcher for RequantizedActivation<'_> {
    fn launch(&self) -> Launch<'_> {
        let [lowest, highest] = self.range;
        let specialization = Specialization::new()
            .feature("requantized", true)
            .constant("ELEMENTS", self.elements)
            .constant("CHANNELS", self.channels)
            .constant("MULTIPLIER", self.multiplier)
            .constant("OFFSET", self.offset)
            .constant("LOWEST", lowest)
            .constant("HIGHEST", highest);
        Launch::new("activation", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * self.elements, self.storage.output))
    }
}
