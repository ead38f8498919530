//! Launcher of `shaders/fold_batch_norm.wgsl`.

use super::common::{ELEMENTWISE, WeightShape, grid};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// s·W and s·b of the layer in front of a batch norm.
#[derive(Clone, Copy, Debug)]
pub struct FoldBatchNorm<'a> {
    /// The flat parameters.
    pub parameters: &'a Buffer,
    /// `[group]` two vec4 of [`super::BatchNormInference`].
    pub factors: &'a Buffer,
    /// A flat array like the parameters.
    pub folded: &'a Buffer,
    /// Shape of the weights of the layer in front.
    pub shape: WeightShape,
}

impl Launcher for FoldBatchNorm<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = self
            .shape
            .biased(Specialization::new())
            .constant("IN_ELEMENTS", self.shape.fan_in())
            .constant("WEIGHT_INDEX", self.shape.weight_index)
            .constant("OUT_CHANNELS", self.shape.out_channels);
        Launch::new("fold_batch_norm", specialization)
            .bind("parameters", self.parameters)
            .bind("factors", self.factors)
            .bind("folded", self.folded)
            .over(grid(self.shape.count().div_ceil(ELEMENTWISE)))
    }
}
