//! Launcher of `shaders/predicted_classes.wgsl`.

use super::common::{ImageRange, class_rows};
use crate::gpu::{Buffer, Launch, Launcher};

/// The class of the highest logit of every image.
#[derive(Clone, Copy, Debug)]
pub struct PredictedClasses<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// One word per image.
    pub predicted: &'a Buffer,
    /// Number of classes.
    pub classes: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for PredictedClasses<'_> {
    fn launch(&self) -> Launch<'_> {
        Launch::new("predicted_classes", class_rows(self.lanes, self.classes))
            .bind("images", self.images)
            .bind("logits", self.logits)
            .bind("predicted", self.predicted)
            .over([self.images.most.div_ceil(self.lanes), 1, 1])
    }
}
