//! Launcher of `shaders/grouped_convolution_weight_gradient.wgsl`.

use super::common::{GroupedShape, ImageRange};
use crate::{
    gpu::{Binding, Launch, Launcher, Work},
    storage::Storage,
};

/// The gradient with respect to the weights and bias of a convolution over sets of channels, in
/// parts.
#[derive(Clone, Copy, Debug)]
pub struct GroupedConvolutionWeightGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub input: Binding<'a>,
    /// [image, row, column, channel / 4].
    pub output_gradient: Binding<'a>,
    /// [part, tap · input of the set + bias, out channel (padded)].
    pub parts: Binding<'a>,
    /// Number of parts.
    pub part_count: u32,
    /// Sizes of the layer's forward pass.
    pub shape: GroupedShape,
    /// Formats: input, and gradient as the output.
    pub storage: Storage,
    /// What it has to do.
    pub work: Work,
}

impl Launcher for GroupedConvolutionWeightGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self
            .shape
            .constants()
            .constant("PARTS", self.part_count)
            .feature("one_set", self.shape.has_one_set());
        let specialization = self.storage.specialize(specialization);
        let [rows, columns] = [self.shape.output.height, self.shape.output.width].map(u64::from);
        let images = u64::from(self.images.most.div_ceil(self.part_count.max(1)));
        Launch::new("grouped_convolution_weight_gradient", specialization)
            .bind("images", self.images)
            .bind("input", self.input)
            .bind("output_gradient", self.output_gradient)
            .bind("parts", self.parts)
            .over(GroupedShape::workgroups(self.part_count, self.shape.part_elements()))
            .looping(images * (1 + rows * (1 + columns)))
            .doing(self.work)
    }
}
