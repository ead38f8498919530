//! Launcher of `shaders/sgt_loss.wgsl`.

use super::common::{ImageRange, class_rows};
use crate::gpu::{Buffer, Launch, Launcher};

/// L = CE(f(X), y) + λ·D_KL(f(X) ‖ f(X̃)) of every image, and its gradient with respect to both
/// logits.
#[derive(Clone, Copy, Debug)]
pub struct SgtLoss<'a> {
    /// The clean images; the masked ones lie `count` behind them.
    pub images: ImageRange<'a>,
    /// [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// The class of each image, one word each.
    pub labels: &'a Buffer,
    /// As the logits; 0 in the padding.
    pub gradient: &'a Buffer,
    /// `[image]` (cross entropy, D_KL, 1 if the predicted class is the label, 0).
    pub sums: &'a Buffer,
    /// The current step's record, which gives the number of images without a masked copy.
    pub current: &'a Buffer,
    /// The weight of each class in the cross entropy, if they differ.
    pub class_weights: Option<&'a Buffer>,
    /// Number of classes.
    pub classes: u32,
    /// λ.
    pub lambda: f32,
    /// Whether f(X) is constant in the second term.
    pub stop_gradient: bool,
    /// Whether there are a second term and masked copies.
    pub twins: bool,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for SgtLoss<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = class_rows(self.lanes, self.classes)
            .constant("LAMBDA", self.lambda)
            .constant("STOP_GRADIENT", u32::from(self.stop_gradient))
            .constant("SGT", u32::from(self.twins))
            .feature("weighted", self.class_weights.is_some());
        Launch::new("sgt_loss", specialization)
            .bind("images", self.images)
            .bind("logits", self.logits)
            .bind("labels", self.labels)
            .bind("gradient", self.gradient)
            .bind("sums", self.sums)
            .bind("current", self.current)
            .bind_some("class_weights", self.class_weights)
            .over([self.images.most.div_ceil(self.lanes), 1, 1])
    }
}
