//! Launcher of `shaders/classify.wgsl`.

use super::common::{ImageRange, class_rows};
use crate::gpu::{Binding, Buffer, Launch, Launcher};

/// Loss, predicted class and probabilities from the logits of every image.
#[derive(Clone, Copy, Debug)]
pub struct Classify<'a> {
    /// Images to work on.
    pub images: ImageRange<'a>,
    /// [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// The class of each image, one word each.
    pub labels: &'a Buffer,
    /// The current step's record; the position of its first image is that of the first prediction.
    pub current: &'a Buffer,
    /// (cross entropy, predicted class, its probability, the label's) of each image, at its
    /// position in the data set.
    pub predictions: Binding<'a>,
    /// Number of classes.
    pub classes: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for Classify<'_> {
    fn launch(&self) -> Launch<'_> {
        Launch::new("classify", class_rows(self.lanes, self.classes))
            .bind("images", self.images)
            .bind("logits", self.logits)
            .bind("labels", self.labels)
            .bind("current", self.current)
            .bind("predictions", self.predictions)
            .over([self.images.most.div_ceil(self.lanes), 1, 1])
    }
}
