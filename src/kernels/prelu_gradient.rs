//! Launcher of `shaders/prelu_gradient.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, PreluShape, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    storage::Storage,
};

/// The factor of what comes back through a PReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreluRule {
    /// The derivative.
    Gradient,
    /// The derivative; what is below 0 then is 0.
    Guided,
    /// The quotient of the differences from the baselines, which are behind the images.
    Rescale,
}

/// gradient ← factor · gradient, in place.
#[derive(Clone, Copy, Debug)]
pub struct PreluGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The function's input, [image, pixel, channel / 4].
    pub state: Binding<'a>,
    /// As the state.
    pub gradient: Binding<'a>,
    /// The flat parameters.
    pub parameters: Binding<'a>,
    /// Sizes.
    pub shape: PreluShape,
    /// The factor.
    pub rule: PreluRule,
    /// Formats of the state, and of the gradient (the output).
    pub storage: Storage,
}

impl Launcher for PreluGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let elements = self.shape.elements();
        let specialization = self
            .shape
            .constants()
            .feature("guided", self.rule == PreluRule::Guided)
            .feature("rescale", self.rule == PreluRule::Rescale);
        Launch::new("prelu_gradient", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("state", self.state)
            .bind("gradient", self.gradient)
            .bind("parameters", self.parameters)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 3 * elements, self.storage.output))
    }
}
