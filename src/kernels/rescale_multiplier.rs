//! Launcher of `shaders/rescale_multiplier.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, activated, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    quant::ActivationPlan,
    shaders::Specialization,
    storage::Format,
};

/// multiplier ← multiplier·Δoutput/Δinput, in place: DeepLIFT's rescale rule at an activation.
#[derive(Clone, Copy, Debug)]
pub struct RescaleMultiplier<'a> {
    /// Images to work on; their baselines stand behind them.
    pub images: ImageRange<'a>,
    /// The activation's input, [image, element] groups of 4.
    pub input: Binding<'a>,
    /// Its output.
    pub output: Binding<'a>,
    /// As the output.
    pub multiplier: Binding<'a>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// The activation.
    pub activation: ActivationPlan,
}

impl Launcher for RescaleMultiplier<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new().constant("ELEMENTS", self.elements);
        Launch::new("rescale_multiplier", activated(specialization, self.activation))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output", self.output)
            .bind("multiplier", self.multiplier)
            .bind_some("parameters", self.activation.is_pact().then_some(self.parameters))
            .over(grid((self.images.most * self.elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 3 * self.elements, Format::F32))
    }
}
