//! Launcher of `shaders/batch_norm_inference.wgsl`.

use super::common::{ELEMENTWISE, NormIndices};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
};

/// Coefficients of the running statistics, and the factors that weights are scaled by.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormInference<'a> {
    /// The flat parameters with the running statistics.
    pub parameters: &'a Buffer,
    /// `[group]` two vec4: s and 1/σ.
    pub factors: &'a Buffer,
    /// `[group]`.
    pub coefficients: &'a Buffer,
    /// Channels.
    pub channels: u32,
    /// Indices of the parameters.
    pub indices: NormIndices,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether the weights in front are scaled.
    pub fold: bool,
}

impl Launcher for BatchNormInference<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .constant("CHANNELS", self.channels)
            .constant("SCALE_INDEX", self.indices.scale)
            .constant("SHIFT_INDEX", self.indices.shift)
            .constant("MEAN_INDEX", self.indices.mean)
            .constant("VARIANCE_INDEX", self.indices.variance)
            .constant("EPSILON", self.epsilon)
            .constant("FOLD", u32::from(self.fold));
        Launch::new("batch_norm_inference", specialization)
            .bind("parameters", self.parameters)
            .bind("factors", self.factors)
            .bind("coefficients", self.coefficients)
            .over([groups(self.channels).div_ceil(ELEMENTWISE), 1, 1])
    }
}
