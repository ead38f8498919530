//! Launcher of `shaders/collect_logits.wgsl`.

use super::common::class_rows;
use crate::gpu::{Buffer, Launch, Launcher};

/// The logits of a chunk's images at the images' positions in the set, and the predicted classes.
#[derive(Clone, Copy, Debug)]
pub struct CollectLogits<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// Logits of the chunk, [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// Logits of the set, [image, class (padded)] floats.
    pub collected: &'a Buffer,
    /// The predicted class of each image of the set, one word each.
    pub predicted: &'a Buffer,
    /// Number of classes.
    pub classes: u32,
    /// Largest number of images of the chunk.
    pub slots: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for CollectLogits<'_> {
    fn launch(&self) -> Launch<'_> {
        Launch::new("collect_logits", class_rows(self.lanes, self.classes))
            .bind("current", self.current)
            .bind("logits", self.logits)
            .bind("collected", self.collected)
            .bind("predicted", self.predicted)
            .over([self.slots.div_ceil(self.lanes), 1, 1])
    }
}
