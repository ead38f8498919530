//! Launcher of `shaders/channel_means.wgsl`.

use super::common::ImageRange;
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
};

/// Mean over the pixels of every channel.
#[derive(Clone, Copy, Debug)]
pub struct ChannelMeans<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub values: Binding<'a>,
    /// [image, channel / 4].
    pub means: &'a Buffer,
    /// Shape of an image's values.
    pub shape: Shape,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for ChannelMeans<'_> {
    fn launch(&self) -> Launch<'_> {
        let groups = groups(self.shape.channels);
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .constant("PIXELS", self.shape.pixels())
            .constant("GROUPS", groups);
        Launch::new("channel_means", specialization)
            .bind("images", self.images)
            .bind("values", self.values)
            .bind("means", self.means)
            .over([groups.div_ceil(self.lanes), self.images.most, 1])
            .looping(self.shape.pixels().into())
    }
}
