//! Launcher of `shaders/depthwise_convolution.wgsl`.

use super::common::{DepthwiseTiles, Epilogue, Geometry, ImageRange};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, Work},
    storage::Storage,
};

/// A convolution of every channel by a filter of its own, with bias and activation or requantized.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseConvolution<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [tap, channel / 4] vec4.
    pub weight: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// The operation on the sums.
    pub end: Epilogue<'a>,
    /// Sizes.
    pub geometry: Geometry,
    /// Tiles.
    pub tiles: DepthwiseTiles,
    /// Formats of input and output.
    pub storage: Storage,
    /// What it has to do.
    pub work: Work,
}

impl Launcher for DepthwiseConvolution<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self.end.constants(self.tiles.constants(self.geometry), true);
        let launch = Launch::new("depthwise_convolution", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weight)
            .bind("output", self.output);
        let workgroups = self.tiles.workgroups(self.images.most, self.geometry);
        self.end.bind(launch).over(workgroups).doing(self.work)
    }
}
