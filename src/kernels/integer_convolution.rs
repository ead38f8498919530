//! Launcher of `shaders/integer_convolution.wgsl`.

use super::common::{Geometry, ImageRange, Requantized, grid};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, ProductTiles, Work},
    shaders::Specialization,
    storage::Storage,
};

/// A layer of integer inference that sums products of bytes.
#[derive(Clone, Copy, Debug)]
pub struct IntegerConvolution<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4] words of 4 bytes.
    pub input: Binding<'a>,
    /// [tap, in channel / 4, out channel (padded)] words of 4 bytes.
    pub weight: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// The operation on the sums.
    pub end: Requantized<'a>,
    /// Starts and factors of the sums, two vec4i per output group.
    pub sums: &'a Buffer,
    /// Distance of neighbouring weights, if they do not fit bytes.
    pub spacing: Option<i32>,
    /// Sizes.
    pub geometry: Geometry,
    /// Tiles.
    pub tiles: ProductTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for IntegerConvolution<'_> {
    fn launch(&self) -> Launch<'_> {
        let (tiles, geometry) = (self.tiles, self.geometry);
        let [_, _, out_groups] = geometry.output;
        let (rows, columns) = tiles.workgroups(self.images.most * geometry.pixels(), out_groups);
        let specialization = self.end.by_place(Specialization::new());
        let specialization = self.storage.specialize(specialization.feature("requantized", true));
        let mut specialization = geometry
            .windows(tiles.specialize(specialization))
            .feature("sliced", tiles.slices > 1)
            .feature("wide", self.spacing.is_some());
        if let Some(spacing) = self.spacing {
            specialization = specialization.constant("SPACING", spacing);
        }
        let [x, y, _] = grid(rows);
        let launch = Launch::new("integer_convolution", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weight)
            .bind("output", self.output);
        self.end.bind(launch).bind("sums", self.sums).over([x, y, columns]).doing(self.work)
    }
}
