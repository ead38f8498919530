//! Launcher of `shaders/grad_cam.wgsl`.

use super::common::{layer_of, picture};
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
};

/// The weighted sum of a layer's channels, upsampled to the image.
#[derive(Clone, Copy, Debug)]
pub struct GradCam<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// The layer's values, [image of the chunk, row, column, channel / 4].
    pub layer: &'a Buffer,
    /// [image of the chunk, channel / 4] of the layer.
    pub weights: &'a Buffer,
    /// [image, row, column, channel / 4] of the set.
    pub attributions: &'a Buffer,
    /// What the map is multiplied by, [image of the chunk, row, column, channel / 4], if anything:
    /// the gradients of guided back-propagation.
    pub guide: Option<Binding<'a>>,
    /// Whether a ReLU is applied to the sum.
    pub rectified: bool,
    /// Shape of an image.
    pub shape: Shape,
    /// Shape of the layer's values.
    pub layer_shape: Shape,
    /// Largest number of images of the chunk.
    pub slots: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for GradCam<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = layer_of(picture(self.lanes, self.shape), self.layer_shape)
            .feature("rectified", self.rectified)
            .feature("guided", self.guide.is_some());
        Launch::new("grad_cam", specialization)
            .bind("current", self.current)
            .bind("layer", self.layer)
            .bind("weights", self.weights)
            .bind("attributions", self.attributions)
            .bind_some("guide", self.guide)
            .over([self.shape.pixels().div_ceil(self.lanes), self.slots, 1])
    }
}
