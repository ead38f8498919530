//! Launcher of `shaders/sum_metrics.wgsl`.

use super::common::ImageRange;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::Specialization,
};

/// Sums the results of `sgt_loss` for all images.
#[derive(Clone, Copy, Debug)]
pub struct SumMetrics<'a> {
    /// The clean images.
    pub images: ImageRange<'a>,
    /// The current step's record, which gives the slot of the sums.
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
