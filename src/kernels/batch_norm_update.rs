//! Launcher of `shaders/batch_norm_update.wgsl`.

use super::common::{BatchStatistics, ImageRange, NormIndices, over_groups, second_stage};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// Coefficients of every batch from the moments of its parts; updates the running statistics.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormUpdate<'a> {
    /// The flat parameters with the running statistics.
    pub parameters: &'a Buffer,
    /// The range of images of the moments.
    pub images: ImageRange<'a>,
    /// Moments from [`super::BatchNormMoments`].
    pub moments: &'a Buffer,
    /// `[group]` two vec4 of [`super::BatchNormInference`].
    pub factors: &'a Buffer,
    /// [batch, group].
    pub coefficients: &'a Buffer,
    /// Batches and parts.
    pub by: BatchStatistics<'a>,
    /// Shape of an image.
    pub shape: Shape,
    /// Indices of the parameters.
    pub indices: NormIndices,
    /// Added to the variance.
    pub epsilon: f32,
    /// Share of a batch's statistics in the running ones.
    pub momentum: f32,
    /// The last step with the statistics of batches.
    pub freeze_after: Option<u64>,
}

impl Launcher for BatchNormUpdate<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = second_stage(self.shape, self.by, self.indices, self.freeze_after)
            .feature("moves", true)
            .constant("EPSILON", self.epsilon)
            .constant("MOMENTUM", self.momentum)
            .constant("VARIANCE_INDEX", self.indices.variance)
            .constant("COUNT_INDEX", self.indices.count);
        let launch = Launch::new("batch_norm_update", specialization)
            .bind("parameters", self.parameters)
            .bind("images", self.images)
            .bind("current", self.by.current)
            .bind("moments", self.moments)
            .bind("factors", self.factors)
            .bind("coefficients", self.coefficients);
        over_groups(launch, self.shape)
    }
}
