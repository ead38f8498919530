//! Launcher of `shaders/distill_loss.wgsl`.

use super::common::{ImageRange, class_rows};
use crate::gpu::{Buffer, Launch, Launcher};

/// D_KL(teacher ‖ student) of every image and its masked copy; the gradient of the weighted mean is
/// added to that of the loss.
#[derive(Clone, Copy, Debug)]
pub struct DistillLoss<'a> {
    /// The clean images; the masked ones lie `count` behind them.
    pub images: ImageRange<'a>,
    /// The student's logits, [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// The teacher's, likewise.
    pub teacher: &'a Buffer,
    /// The gradient of the loss with respect to the student's logits.
    pub gradient: &'a Buffer,
    /// `[image]` vec4: x becomes the divergence.
    pub sums: &'a Buffer,
    /// The current step's record, which gives the number of images without a masked copy.
    pub current: &'a Buffer,
    /// Number of classes.
    pub classes: u32,
    /// Weight of the mean.
    pub weight: f32,
    /// Whether there are masked copies.
    pub twins: bool,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for DistillLoss<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = class_rows(self.lanes, self.classes)
            .constant("WEIGHT", self.weight)
            .constant("SGT", u32::from(self.twins));
        Launch::new("distill_loss", specialization)
            .bind("images", self.images)
            .bind("logits", self.logits)
            .bind("teacher", self.teacher)
            .bind("gradient", self.gradient)
            .bind("sums", self.sums)
            .bind("current", self.current)
            .over([self.images.most.div_ceil(self.lanes), 1, 1])
    }
}
