//! Launcher of `shaders/saliency_seed.wgsl`.

use super::common::{ImageRange, class_rows};
use crate::{
    config::SaliencyTarget,
    gpu::{Buffer, Launch, Launcher},
    shaders::kinds::saliency_target,
};

/// The scalar whose gradient explains an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scalar {
    /// Log-softmax at the given label.
    LogSoftmaxLabel = saliency_target::LOG_SOFTMAX_LABEL,
    /// Logit at the given label.
    LogitLabel = saliency_target::LOGIT_LABEL,
    /// Logit at the predicted class.
    LogitPredicted = saliency_target::LOGIT_PREDICTED,
    /// Log-softmax at the predicted class.
    LogSoftmaxPredicted = saliency_target::LOG_SOFTMAX_PREDICTED,
}

impl From<SaliencyTarget> for Scalar {
    fn from(target: SaliencyTarget) -> Scalar {
        match target {
            SaliencyTarget::LogSoftmax => Scalar::LogSoftmaxLabel,
            SaliencyTarget::Label => Scalar::LogitLabel,
            SaliencyTarget::Predicted => Scalar::LogitPredicted,
        }
    }
}

/// The gradient of a scalar of every image with respect to its logits.
#[derive(Clone, Copy, Debug)]
pub struct SaliencySeed<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// The class of each image, one word each, unless it is the predicted one.
    pub labels: &'a Buffer,
    /// As the logits; 0 in the padding.
    pub gradient: &'a Buffer,
    /// Number of classes.
    pub classes: u32,
    /// The scalar.
    pub target: Scalar,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for SaliencySeed<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization =
            class_rows(self.lanes, self.classes).constant("TARGET", self.target as u32);
        Launch::new("saliency_seed", specialization)
            .bind("images", self.images)
            .bind("logits", self.logits)
            .bind("labels", self.labels)
            .bind("gradient", self.gradient)
            .over([self.images.most.div_ceil(self.lanes), 1, 1])
    }
}
