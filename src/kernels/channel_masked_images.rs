//! Launcher of `shaders/channel_masked_images.wgsl`.

use super::common::{elements, layer_of, picture};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// The samples of a chunk in Score-CAM: images behind the channels of a layer.
#[derive(Clone, Copy, Debug)]
pub struct ChannelMaskedImages<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// Images of the set, [image, row, column, channel / 4].
    pub pixels: &'a Buffer,
    /// The class of each image, one word each.
    pub classes: &'a Buffer,
    /// Baselines, in the layout of the images.
    pub baselines: &'a Buffer,
    /// The layer's values, [image that the chunk touches, row, column, channel / 4].
    pub layer: &'a Buffer,
    /// [image that the chunk touches, channel / 4, 2] of the layer.
    pub ranges: &'a Buffer,
    /// Images of the chunk, in the layout of the set.
    pub samples: &'a Buffer,
    /// The class of each sample, one word each.
    pub sample_classes: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Shape of the layer's values.
    pub layer_shape: Shape,
    /// Largest number of samples of the chunk.
    pub slots: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for ChannelMaskedImages<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = layer_of(picture(self.lanes, self.shape), self.layer_shape);
        Launch::new("channel_masked_images", specialization)
            .bind("current", self.current)
            .bind("pixels", self.pixels)
            .bind("classes", self.classes)
            .bind("baselines", self.baselines)
            .bind("layer", self.layer)
            .bind("ranges", self.ranges)
            .bind("samples", self.samples)
            .bind("sample_classes", self.sample_classes)
            .over([elements(self.shape).div_ceil(self.lanes), self.slots, 1])
    }
}
