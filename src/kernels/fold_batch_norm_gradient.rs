//! Launcher of `shaders/fold_batch_norm_gradient.wgsl`.

use super::common::{ELEMENTWISE, WeightShape, grid};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Gradients of s·W and s·b, summed over the whole batch, become those of W, b and γ.
#[derive(Clone, Copy, Debug)]
pub struct FoldBatchNormGradient<'a> {
    /// The flat parameters.
    pub parameters: &'a Buffer,
    /// `[group]` two vec4 of [`super::BatchNormInference`].
    pub factors: &'a Buffer,
    /// The flat array of gradients.
    pub gradients: &'a Buffer,
    /// Shape of the weights of the layer in front.
    pub shape: WeightShape,
    /// Index of the first γ.
    pub scale_index: u32,
}

impl Launcher for FoldBatchNormGradient<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self
            .shape
            .biased(Specialization::new())
            .constant("IN_ELEMENTS", self.shape.fan_in())
            .constant("WEIGHT_INDEX", self.shape.weight_index)
            .tile("WORKGROUP", ELEMENTWISE)
            .constant("SCALE_INDEX", self.scale_index);
        Launch::new("fold_batch_norm_gradient", specialization)
            .bind("parameters", self.parameters)
            .bind("factors", self.factors)
            .bind("gradients", self.gradients)
            .over(grid(self.shape.out_channels))
    }
}
