//! Launcher of `shaders/copy_channels.wgsl`.

use super::common::{ELEMENTWISE, ImageRange, grid, moved};
use crate::{
    gpu::{Binding, Launch, Launcher},
    shaders::Specialization,
    storage::Storage,
};

/// Channels of every pixel, copied to another place among other channels.
#[derive(Clone, Copy, Debug)]
pub struct CopyChannels<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, pixel, channel / 4].
    pub from: Binding<'a>,
    /// [image, pixel, channel / 4]: channels of the groups written that are in front of the copied
    /// ones stay, those behind become 0.
    pub to: Binding<'a>,
    /// Pixels of an image.
    pub pixels: u32,
    /// Channels of both.
    pub channels: [u32; 2],
    /// The first channel in both.
    pub first: [u32; 2],
    /// Channels that are copied.
    pub count: u32,
    /// Formats of both.
    pub storage: Storage,
}

impl Launcher for CopyChannels<'_> {
    fn launch(&self) -> Launch<'_> {
        let [from_channels, to_channels] = self.channels;
        let [from, to] = self.first;
        let specialization = Specialization::new()
            .constant("PIXELS", self.pixels)
            .constant("FROM_CHANNELS", from_channels)
            .constant("TO_CHANNELS", to_channels)
            .constant("FROM", from)
            .constant("TO", to)
            .constant("COUNT", self.count);
        let elements = self.pixels * ((to + self.count).div_ceil(4) - to / 4);
        Launch::new("copy_channels", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.from)
            .bind("output", self.to)
            .over(grid((self.images.most * elements).div_ceil(ELEMENTWISE)))
            .doing(moved(self.images, 2 * elements, self.storage.output))
    }
}
