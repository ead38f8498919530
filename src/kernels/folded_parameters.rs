//! Launcher of `shaders/folded_parameters.wgsl`.

use bytemuck::{Pod, Zeroable};

use super::common::{ELEMENTWISE, grid};
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// A channel of a batch norm: where its parameters are in the flat array.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct FoldedNorm {
    /// Index of γ.
    pub scale: u32,
    /// Index of β.
    pub shift: u32,
    /// Index of μ.
    pub mean: u32,
    /// Index of the variance.
    pub variance: u32,
    /// ε.
    pub epsilon: f32,
    /// 1 for a bias, which is shifted too; 0 for a weight.
    pub shifts: u32,
}

/// Parameters without the batch norms right behind layers with weights.
#[derive(Clone, Copy, Debug)]
pub struct FoldedParameters<'a> {
    /// The flat parameters.
    pub parameters: &'a Buffer,
    /// [folded parameter]: 1 + the index of the parameter that it comes from, or 0 for a value of
    /// 0; 1 + its entry in the norms, or 0.
    pub sources: &'a Buffer,
    /// [`FoldedNorm`]s.
    pub norms: &'a Buffer,
    /// The flat parameters without batch norms.
    pub folded: &'a Buffer,
    /// Number of folded parameters.
    pub count: u32,
}

impl Launcher for FoldedParameters<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new().constant("COUNT", self.count);
        Launch::new("folded_parameters", specialization)
            .bind("parameters", self.parameters)
            .bind("sources", self.sources)
            .bind("norms", self.norms)
            .bind("folded", self.folded)
            .over(grid(self.count.div_ceil(ELEMENTWISE)))
    }
}
