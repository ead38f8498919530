//! Launcher of `shaders/grouped_convolution_input_gradient.wgsl`.

use super::common::{Gradient, GroupedShape, ImageRange, elements};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher, Work},
    storage::Storage,
};

/// The gradient with respect to the input of a convolution over sets of channels.
#[derive(Clone, Copy, Debug)]
pub struct GroupedConvolutionInputGradient<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, row, column, channel / 4].
    pub output_gradient: Binding<'a>,
    /// [tap, input of the set, out channel / 4] vec4: the forward pass's.
    pub weight: &'a Buffer,
    /// [image, row, column, channel / 4].
    pub input_gradient: Binding<'a>,
    /// What the gradient is multiplied by.
    pub end: Gradient,
    /// Sizes of the layer's forward pass.
    pub shape: GroupedShape,
    /// Formats of what is read and what is written, and of a ReLU's values.
    pub storage: Storage,
    /// What it has to do.
    pub work: Work,
}

impl Launcher for GroupedConvolutionInputGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self
            .end
            .constants(self.shape.constants())
            .feature("whole_groups", self.shape.has_whole_groups());
        let specialization = self.storage.specialize(specialization);
        Launch::new("grouped_convolution_input_gradient", specialization)
            .bind("images", self.images)
            .bind("output_gradient", self.output_gradient)
            .bind("weight", self.weight)
            .bind("input_gradient", self.input_gradient)
            .over(GroupedShape::workgroups(self.images.most, elements(self.shape.input)))
            .doing(self.work)
    }
}
