//! Launcher of `shaders/sum_metrics.wgsl`.

use super::common::ImageRange;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Adds up what `sgt_loss` found for every image.
#[derive(Clone, Copy, Debug)]
pub struct SumMetrics<'a> {
    /// The clean images.
    pub images: ImageRange<'a>,
    /// The current step's record: it says which slot the sums go to.
    pub current: &'a Buffer,
    /// `[image]` (cross entropy, D_KL, correct, 0).
    pub sums: &'a Buffer,
    /// `[slot]` (Σ cross entropy, Σ D_KL, Σ correct, images).
    pub metrics: &'a Buffer,
    /// `[slot]` words: 1 if a loss was not finite.
    pub flags: &'a Buffer,
    /// Invocations of the one workgroup, a power of 2.
    pub workgroup: u32,
}

impl Launcher for SumMetrics<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new().tile("WORKGROUP", self.workgroup);
        Launch::new("sum_metrics", specialization)
            .bind("images", self.images)
            .bind("current", self.current)
            .bind("sums", self.sums)
            .bind("metrics", self.metrics)
            .bind("flags", self.flags)
    }
}
