//! Launcher of `shaders/channel_ranges.wgsl`.

use super::common::{ImageRange, layer_of};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
};

/// Lowest and highest value of every channel of a layer, upsampled to the image.
#[derive(Clone, Copy, Debug)]
pub struct ChannelRanges<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// The layer's values, [image, row, column, channel / 4].
    pub layer: &'a Buffer,
    /// [image, channel / 4, 2] of the layer.
    pub ranges: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Shape of the layer's values.
    pub layer_shape: Shape,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for ChannelRanges<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .constant("HEIGHT", self.shape.height)
            .constant("WIDTH", self.shape.width);
        let groups = groups(self.layer_shape.channels);
        Launch::new("channel_ranges", layer_of(specialization, self.layer_shape))
            .bind("images", self.images)
            .bind("layer", self.layer)
            .bind("ranges", self.ranges)
            .over([groups.div_ceil(self.lanes), self.images.most, 1])
            .looping(self.shape.pixels().into())
    }
}
