//! Launcher of `shaders/depthwise_input_gradient.wgsl`.

use super::common::{DepthwiseTiles, Geometry, Gradient, ImageRange};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, Work},
    storage::Storage,
};

/// The gradient with respect to a depthwise convolution's input.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseInputGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub output_gradient: Binding<'a>,
    /// [tap, channel / 4] vec4: the forward pass's.
    pub weight: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub input_gradient: Binding<'a>,
    /// What the gradient is multiplied by.
    pub end: Gradient,
    /// Sizes: [`Geometry::mirrored`].
    pub geometry: Geometry,
    /// Tiles.
    pub tiles: DepthwiseTiles,
    /// Formats of what is read and what is written, and of a ReLU's values.
    pub storage: Storage,
    /// What it has to do.
    pub work: Work,
}

impl Launcher for DepthwiseInputGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let [spacing_y, spacing_x] = self.geometry.spacing;
        let specialization = self
            .tiles
            .constants(self.geometry)
            .tile("SPACING_Y", spacing_y)
            .tile("SPACING_X", spacing_x);
        let specialization = self.storage.specialize(self.end.constants(specialization));
        Launch::new("depthwise_input_gradient", specialization)
            .bind("images", self.images)
            .bind("output_gradient", self.output_gradient)
            .bind("weight", self.weight)
            .bind("input_gradient", self.input_gradient)
            .over(self.tiles.workgroups(self.images.most, self.geometry))
            .doing(self.work)
    }
}
