//! Launcher of `shaders/guided_gradient.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, activated, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    quant::ActivationPlan,
    shaders::Specialization,
    storage::Format,
};

/// gradient ← max(activation'(state)·gradient, 0), in place.
#[derive(Clone, Copy, Debug)]
pub struct GuidedGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// What the derivative is computed from, [image, element] groups of 4.
    pub state: Binding<'a>,
    /// As the state.
    pub gradient: Binding<'a>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// The activation.
    pub activation: ActivationPlan,
}

impl Launcher for GuidedGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new().constant("ELEMENTS", self.elements);
        Launch::new("guided_gradient", activated(specialization, self.activation))
            .bind("images", self.images)
            .bind("state", self.state)
            .bind("gradient", self.gradient)
            .bind_some("parameters", self.activation.is_pact().then_some(self.parameters))
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 3 * self.elements, Format::F32))
    }
}
