//! Launcher of `shaders/sum_partials.wgsl`.

use super::common::{ELEMENTWISE, ImageRange};
use crate::{
    gpu::{Binding, Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// `gradients[index]` = scale·Σ partial sums, or += if the range's record says so.
#[derive(Clone, Copy, Debug)]
pub struct SumPartials<'a> {
    /// The range of images of the sums.
    pub images: ImageRange<'a>,
    /// `[count]`.
    pub partial_sums: Binding<'a>,
    /// The flat array of gradients.
    pub gradients: &'a Buffer,
    /// Number of partial sums.
    pub count: u32,
    /// Index of the sum.
    pub index: u32,
    /// The factor of the sum.
    pub scale: f64,
}

impl Launcher for SumPartials<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("WORKGROUP", ELEMENTWISE)
            .constant("COUNT", self.count)
            .constant("INDEX", self.index)
            .constant("SCALE", self.scale);
        Launch::new("sum_partials", specialization)
            .bind("images", self.images)
            .bind("partial_sums", self.partial_sums)
            .bind("gradients", self.gradients)
    }
}
