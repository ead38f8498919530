//! Launcher of `shaders/batch_norm_parameter_gradient.wgsl`.

use super::common::{BatchStatistics, ImageRange, NormIndices, over_groups, second_stage};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// Gradients of γ and β from the sums of the parts, and the means for the input's gradient.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormParameterGradient<'a> {
    /// The flat parameters.
    pub parameters: &'a Buffer,
    /// The range of images of the sums.
    pub images: ImageRange<'a>,
    /// Sums from [`super::BatchNormGradientSums`].
    pub parts: &'a Buffer,
    /// `[group]` two vec4 of [`super::BatchNormInference`].
    pub factors: &'a Buffer,
    /// [batch, group].
    pub coefficients: &'a Buffer,
    /// [batch, group] two vec4.
    pub means: &'a Buffer,
    /// The flat array of gradients.
    pub gradients: &'a Buffer,
    /// Batches and parts.
    pub by: BatchStatistics<'a>,
    /// Shape of an image.
    pub shape: Shape,
    /// Indices of the parameters.
    pub indices: NormIndices,
    /// Added to the variance.
    pub epsilon: f32,
    /// The last step with the statistics of batches.
    pub freeze_after: Option<u64>,
    /// Whether the weights in front are scaled.
    pub fold: bool,
}

impl Launcher for BatchNormParameterGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = second_stage(self.shape, self.by, self.indices, self.freeze_after)
            .constant("EPSILON", self.epsilon)
            .constant("FOLD", u32::from(self.fold));
        let launch = Launch::new("batch_norm_parameter_gradient", specialization)
            .bind("parameters", self.parameters)
            .bind("images", self.images)
            .bind("current", self.by.current)
            .bind("parts", self.parts)
            .bind("factors", self.factors)
            .bind("coefficients", self.coefficients)
            .bind("means", self.means)
            .bind("gradients", self.gradients);
        over_groups(launch, self.shape)
    }
}
