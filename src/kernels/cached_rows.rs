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
    /// [image of the data set, group] vec4.
    pub cache: &'a Buffer,
    /// [image of the part, group] vec4.
    pub rows: Binding<'a>,
    /// Which way.
    pub access: CacheAccess,
    /// Groups of 4 values per image.
    pub elements: u32,
    /// Largest number of images of a part.
    pub most: u32,
    /// Whether images come in the epoch's random order.
    pub shuffle: bool,
}

impl Launcher for CachedRows<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .feature("store", self.access == CacheAccess::Store)
            .constant("ELEMENTS", self.elements)
            .constant("SHUFFLE", u32::from(self.shuffle));
        let items = u64::from(self.most) * u64::from(self.elements);
        Launch::new("cached_rows", specialization)
            .bind("current", self.current)
            .bind("cache", self.cache)
            .bind("rows", self.rows)
            .over(flat_workgroups(items, ELEMENTWISE))
    }
}
