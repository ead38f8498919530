//! Launcher of `shaders/accumulate_gradients.wgsl`.

use super::common::elements;
use crate::{
    config::Shape,
    gpu::{Binding, Buffer, Launch, Launcher},
    shaders::{Specialization, kinds::gradient_sum},
};

/// How the gradients of an image's samples are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum GradientSum {
    /// Their mean.
    Mean = gradient_sum::MEAN,
    /// The mean of their squares.
    MeanSquare = gradient_sum::MEAN_SQUARE,
    /// Their variance.
    Variance = gradient_sum::VARIANCE,
    /// The gradient times the image.
    TimesInput = gradient_sum::TIMES_INPUT,
    /// The weighted sum times the difference from the baseline.
    FromBaseline = gradient_sum::FROM_BASELINE,
    /// The mean of gradients times the differences from random baselines.
    FromRandomBaselines = gradient_sum::FROM_RANDOM_BASELINES,
}

/// Adds the gradients of a chunk's samples to the attributions of their images.
#[derive(Clone, Copy, Debug)]
pub struct AccumulateGradients<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// Gradients of the chunk's samples, [sample, row, column, channel / 4].
    pub gradients: Binding<'a>,
    /// Images of the set, [image, row, column, channel / 4].
    pub pixels: &'a Buffer,
    /// Keys of random numbers, one word per image.
    pub numbers: &'a Buffer,
    /// Baselines, in the layout of the images.
    pub baselines: &'a Buffer,
    /// The table of `sample_images`.
    pub table: &'a Buffer,
    /// Attributions, in the layout of the images of the set.
    pub attributions: &'a Buffer,
    /// The means so far, only for the variance, in the same layout.
    pub means: Option<&'a Buffer>,
    /// Shape of an image.
    pub shape: Shape,
    /// How the gradients are combined.
    pub sum: GradientSum,
    /// Noise of [`GradientSum::FromRandomBaselines`], as a share of the image's max − min.
    pub noise: f32,
    /// Number of images that the samples of a chunk can belong to.
    pub images: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for AccumulateGradients<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .feature("variance", self.sum == GradientSum::Variance)
            .constant("ELEMENTS", elements(self.shape))
            .constant("KIND", self.sum as u32);
        let specialization = match self.sum {
            GradientSum::FromRandomBaselines => specialization.constant("NOISE", self.noise),
            _ => specialization,
        };
        Launch::new("accumulate_gradients", specialization)
            .bind("current", self.current)
            .bind("gradients", self.gradients)
            .bind("pixels", self.pixels)
            .bind("numbers", self.numbers)
            .bind("baselines", self.baselines)
            .bind("table", self.table)
            .bind("attributions", self.attributions)
            .bind_some("means", self.means)
            .over([elements(self.shape).div_ceil(self.lanes), self.images, 1])
    }
}
