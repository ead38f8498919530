//! Launcher of `shaders/grouped_convolution.wgsl`.

use super::common::{Epilogue, GroupedShape, ImageRange, elements};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, Work},
    storage::Storage,
};

/// A convolution over sets of channels of any sizes, with bias and activation or requantized.
#[derive(Clone, Copy, Debug)]
pub struct GroupedConvolution<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [tap, input of the set, out channel / 4] vec4.
    pub weight: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub output: Binding<'a>,
    /// The operation on the sums.
    pub end: Epilogue<'a>,
    /// Whether sums are of integers of 32 bits: levels by weights that are integers.
    pub integers: bool,
    /// Sizes.
    pub shape: GroupedShape,
    /// Formats of input and output.
    pub storage: Storage,
    /// What it has to do.
    pub work: Work,
}

impl Launcher for GroupedConvolution<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self
            .end
            .constants(self.shape.constants(), true)
            .feature("one_set", self.shape.has_one_set())
            .feature("integers", self.integers);
        let launch = Launch::new("grouped_convolution", self.storage.specialize(specialization))
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("weight", self.weight)
            .bind("output", self.output);
        let workgroups = GroupedShape::workgroups(self.images.most, elements(self.shape.output));
        self.end.bind(launch).over(workgroups).doing(self.work)
    }
}
