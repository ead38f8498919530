//! Launcher of `shaders/activation_gradient.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, activated, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    quant::ActivationPlan,
    shaders::Specialization,
    storage::Storage,
};

/// gradient ← activation'(state)·gradient, in place, and partial sums of the gradient of what the
/// activation learns.
#[derive(Clone, Copy, Debug)]
pub struct ActivationGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// What the derivative is computed from, [image, element] groups of 4: the activation's input,
    /// or a ReLU's output.
    pub state: Binding<'a>,
    /// As the state.
    pub gradient: Binding<'a>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: Binding<'a>,
    /// A number a workgroup of [`Self::blocks`], written where the activation learns.
    pub partial_sums: Binding<'a>,
    /// As many, written where the activation learns an offset.
    pub offset_sums: Binding<'a>,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// Groups of 4 values per invocation.
    pub items: u32,
    /// What is differentiated.
    pub activation: ActivationPlan,
    /// Formats: the gradient is the output, the state the state.
    pub storage: Storage,
}

impl ActivationGradient<'_> {
    /// Partial sums that the dispatch leaves.
    pub fn blocks(&self) -> u32 {
        (self.images.most * self.elements).div_ceil(ELEMENTWISE * self.items)
    }
}

impl Launcher for ActivationGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let learns_offset = self.activation.offset_index().is_some();
        let specialization = Specialization::new()
            .tile("WORKGROUP", ELEMENTWISE)
            .tile("ITEMS", self.items)
            .constant("ELEMENTS", self.elements)
            .feature("offset", learns_offset);
        let specialization = self.storage.specialize(specialization);
        let learns = self.activation.is_pact();
        Launch::new("activation_gradient", activated(specialization, self.activation))
            .bind("images", self.images)
            .bind("state", self.state)
            .bind("gradient", self.gradient)
            .bind_some("parameters", learns.then_some(self.parameters))
            .bind_some("partial_sums", learns.then_some(self.partial_sums))
            .bind_some("offset_sums", learns_offset.then_some(self.offset_sums))
            .over(grid(self.blocks()))
            .doing(moved(self.images, 3 * self.elements, self.storage.output))
    }
}
