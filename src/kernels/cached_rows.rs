//! Launcher of `shaders/cached_rows.wgsl`.

use super::common::{ELEMENTWISE, flat_workgroups};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Which way rows go between a part of a batch and the cache of the whole data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheAccess {
    /// From the cache.
    Read,
    /// Into it.
    Store,
}

/// The rows of a part's images, one per image of the data set in the cache.
#[derive(Clone, Copy, Debug)]
pub struct CachedRows<'a> {
    /// The current step's record, which says which images these are.
    pub current: &'a Buffer,
    /// [image of the data set, pixel, channel] floats.
    pub cache: Binding<'a>,
    /// [image of the part, pixel, channel (padded)] floats.
    pub rows: Binding<'a>,
    /// Which way.
    pub access: CacheAccess,
    /// Pixels of an image.
    pub pixels: u32,
    /// Real channels of a pixel.
    pub channels: u32,
    /// Largest number of images of a part.
    pub most: u32,
    /// Whether images come in the epoch's random order.
    pub shuffle: bool,
}

impl Launcher for CachedRows<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .feature("store", self.access == CacheAccess::Store)
            .constant("PIXELS", self.pixels)
            .constant("CHANNELS", self.channels)
            .constant("SHUFFLE", u32::from(self.shuffle));
        let items = u64::from(self.most) * u64::from(self.pixels * self.channels);
        Launch::new("cached_rows", specialization)
            .bind("current", self.current)
            .bind("cache", self.cache)
            .bind("rows", self.rows)
            .over(flat_workgroups(items, ELEMENTWISE))
    }
}
