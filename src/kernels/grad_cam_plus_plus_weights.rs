//! Launcher of `shaders/grad_cam_plus_plus_weights.wgsl`.

use super::common::ImageRange;
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
};

/// Grad-CAM++'s weights of a layer's channels.
#[derive(Clone, Copy, Debug)]
pub struct GradCamPlusPlusWeights<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The layer's values, [image, row, column, channel / 4].
    pub layer: &'a Buffer,
    /// As the previous buffer.
    pub gradients: Binding<'a>,
    /// [image, channel / 4].
    pub weights: &'a Buffer,
    /// Shape of an image's values.
    pub shape: Shape,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for GradCamPlusPlusWeights<'_> {
    fn launch(&self) -> Launch<'_> {
        let groups = groups(self.shape.channels);
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .constant("PIXELS", self.shape.pixels())
            .constant("GROUPS", groups);
        Launch::new("grad_cam_plus_plus_weights", specialization)
            .bind("images", self.images)
            .bind("layer", self.layer)
            .bind("gradients", self.gradients)
            .bind("weights", self.weights)
            .over([groups.div_ceil(self.lanes), self.images.most, 1])
            .looping(2 * u64::from(self.shape.pixels()))
    }
}
