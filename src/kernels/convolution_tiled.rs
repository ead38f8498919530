//! Launcher of `shaders/convolution_tiled.wgsl`.

use super::common::{Epilogue, Geometry, ImageRange, grid};
use crate::{
    gpu::{Binding, Launch, Launcher, ProductTiles, Work},
    shaders::Specialization,
    storage::Storage,
};

/// A convolution, or its input's gradient, as a matrix product in workgroup memory, for GPUs.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionTiled<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [tap, in channel (padded), out channel / 4] vec4.
    pub weight: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// The operation on the sums.
    pub end: Epilogue<'a>,
    /// Sizes; of the input's gradient [`Geometry::mirrored`].
    pub geometry: Geometry,
    /// Whether it is the input's gradient.
    pub mirrored: bool,
    /// Tiles.
    pub tiles: ProductTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// The work of the dispatch.
    pub work: Work,
}

impl Launcher for ConvolutionTiled<'_> {
    fn launch(&self) -> Launch<'_> {
        let (tiles, geometry) = (self.tiles, self.geometry);
        let [_, _, column_groups] = geometry.output;
        let (rows, columns) = tiles.workgroups(self.images.most * geometry.pixels(), column_groups);
        let [x, y, _] = grid(rows);
        let specialization = tiles
            .specialize(geometry.windows(Specialization::new()))
            .tile("DEPTH", geometry.depth)
            .feature("sliced", tiles.slices > 1)
            .constant("MIRRORED", u32::from(self.mirrored))
            .constant("SPACING_Y", geometry.spacing[0])
            .constant("SPACING_X", geometry.spacing[1]);
        let specialization = self.end.constants(specialization, true);
        let launch = Launch::new("convolution_tiled", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weight)
            .bind("output", self.output);
        self.end.bind(launch).over([x, y, columns]).doing(self.work)
    }
}
