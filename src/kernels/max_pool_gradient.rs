//! Launcher of `shaders/max_pool_gradient.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, PoolShape, activated, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    quant::ActivationPlan,
    storage::Storage,
};

/// The gradient of every window's output, handed to its maximum; through the activation in front of
/// the pool too, where there is one.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4] of the pool's output.
    pub output_gradient: Binding<'a>,
    /// Positions of the maxima, as [`super::MaxPool`] wrote them.
    pub choice: Binding<'a>,
    /// What the activation's derivative is computed from, as the pool's input; any buffer without
    /// an activation.
    pub state: Binding<'a>,
    /// [image, row, column, channel / 4] of the pool's input, or of the activation's.
    pub input_gradient: Binding<'a>,
    /// The flat parameters, read if the activation has a learned parameter.
    pub parameters: Binding<'a>,
    /// A number a workgroup of [`Self::blocks`], written where the activation learns.
    pub partial_sums: Binding<'a>,
    /// As many, written where the activation learns an offset.
    pub offset_sums: Binding<'a>,
    /// Sizes.
    pub shape: PoolShape,
    /// Groups of 4 values per invocation.
    pub items: u32,
    /// The activation in front of the pool.
    pub activation: ActivationPlan,
    /// Formats of the gradients and of the state.
    pub storage: Storage,
}

impl MaxPoolGradient<'_> {
    /// Partial sums that the dispatch leaves.
    pub fn blocks(&self) -> u32 {
        (self.images.most * self.shape.input_elements()).div_ceil(ELEMENTWISE * self.items)
    }
}

impl Launcher for MaxPoolGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let learns_offset = self.activation.offset_index().is_some();
        let specialization = self
            .shape
            .constants()
            .tile("WORKGROUP", ELEMENTWISE)
            .tile("ITEMS", self.items)
            .feature("offset", learns_offset);
        let specialization = self.shape.overlaps(specialization);
        let specialization = self.storage.specialize(activated(specialization, self.activation));
        let learns = self.activation.is_pact();
        let (read, written) = (self.shape.output_elements(), self.shape.input_elements());
        let state_read = if self.activation == ActivationPlan::NONE { 0 } else { written };
        Launch::new("max_pool_gradient", specialization)
            .bind("images", self.images)
            .bind("output_gradient", self.output_gradient)
            .bind("choice", self.choice)
            .bind("state", self.state)
            .bind("input_gradient", self.input_gradient)
            .bind_some("parameters", learns.then_some(self.parameters))
            .bind_some("partial_sums", learns.then_some(self.partial_sums))
            .bind_some("offset_sums", learns_offset.then_some(self.offset_sums))
            .over(grid(self.blocks()))
            .doing(moved(self.images, read + state_read + written, self.storage.output))
    }
}
