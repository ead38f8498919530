//! Launcher of `shaders/select_lowest.wgsl`.

use super::common::ImageRange;
use crate::{
    config::{MaskRank, Shape},
    gpu::{Binding, Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Marks the k features of every image with the lowest gradient, or with the highest if the step's
/// record says so.
#[derive(Clone, Copy, Debug)]
pub struct SelectLowest<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub gradient: Binding<'a>,
    /// [image, pixel] words: 1 where marked.
    pub mask: &'a Buffer,
    /// The current step's record.
    pub current: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// Number of marked features per image.
    pub k: u32,
    /// The order.
    pub rank: MaskRank,
    /// Invocations of a workgroup, a power of 2 up to 256.
    pub workgroup: u32,
    /// Invocations of a subgroup, within which counts are summed first; their number divides that
    /// of a workgroup.
    pub subgroup: Option<u32>,
}

impl Launcher for SelectLowest<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .feature("subgroups", self.subgroup.is_some())
            .tile("SUBGROUP", self.subgroup.unwrap_or(1))
            .tile("WORKGROUP", self.workgroup)
            .constant("PIXELS", self.shape.pixels())
            .constant("CHANNELS", self.shape.channels)
            .constant("K", self.k)
            .constant("RANK_ABS", u32::from(self.rank == MaskRank::Abs));
        Launch::new("select_lowest", specialization)
            .bind("images", self.images)
            .bind("gradient", self.gradient)
            .bind("mask", self.mask)
            .bind("current", self.current)
            .over([self.images.most, 1, 1])
    }
}
