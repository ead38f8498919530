//! Launcher of `shaders/prelu_slope_gradient.wgsl`.

use super::common::{ImageRange, PER_IMAGE, PreluShape, moved};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    storage::Storage,
};

/// `gradients[slope]` = Σ gradient · min(x, 0), or += if the range's record says so.
#[derive(Clone, Copy, Debug)]
pub struct PreluSlopeGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The function's input, [image, pixel, channel / 4].
    pub state: Binding<'a>,
    /// The gradient of its output, likewise.
    pub gradient: Binding<'a>,
    /// The flat array of gradients.
    pub gradients: &'a Buffer,
    /// Sizes.
    pub shape: PreluShape,
    /// Formats of the state, and of the gradient (the output).
    pub storage: Storage,
}

impl Launcher for PreluSlopeGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self.shape.constants().tile("WORKGROUP", PER_IMAGE);
        let workgroups = if self.shape.per_channel { groups(self.shape.shape.channels) } else { 1 };
        Launch::new("prelu_slope_gradient", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("state", self.state)
            .bind("gradient", self.gradient)
            .bind("gradients", self.gradients)
            .over([workgroups, 1, 1])
            .doing(moved(self.images, 2 * self.shape.elements(), self.storage.output))
    }
}
