//! Launcher of `shaders/collect_logits.wgsl`.

use super::common::class_rows;
use crate::gpu::{Buffer, Launch, Launcher};

/// The logits of a chunk's images at the images' places in the set, and the classes they predict.
#[derive(Clone, Copy, Debug)]
pub struct CollectLogits<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// Of the chunk, [image, class (padded)] floats.
    pub logits: &'a Buffer,
    /// Of the set, likewise.
    pub collected: &'a Buffer,
    /// The predicted class of each image of the set, a word.
    pub predicted: &'a Buffer,
    /// Number of classes.
    pub classes: u32,
    /// Images of the chunk at most.
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
