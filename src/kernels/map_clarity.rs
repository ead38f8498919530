//! Launcher of `shaders/map_clarity.wgsl`.

use super::common::{ImageRange, per_image};
use crate::gpu::{Buffer, Launch, Launcher};

/// The concentration of the map of every image.
#[derive(Clone, Copy, Debug)]
pub struct MapClarity<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, value] floats.
    pub values: &'a Buffer,
    /// [image, value] floats: ranks of |value|, ascending from 1.
    pub ranks: &'a Buffer,
    /// `[image]` (Gini coefficient, entropy in nats, 0, 0).
    pub clarity: &'a Buffer,
    /// Values per image.
    pub count: u32,
}

impl Launcher for MapClarity<'_> {
    fn launch(&self) -> Launch<'_> {
        Launch::new("map_clarity", per_image().constant("VALUES", self.count))
            .bind("images", self.images)
            .bind("values", self.values)
            .bind("ranks", self.ranks)
            .bind("clarity", self.clarity)
            .over([self.images.most, 1, 1])
    }
}
