//! Launcher of `shaders/accumulate_scores.wgsl`.

use super::common::{Hiding, picture};
use crate::{
    config::Shape,
    gpu::{Buffer, Launch, Launcher},
};

/// Adds the scores of a chunk's samples to the attributions of their images.
#[derive(Clone, Copy, Debug)]
pub struct AccumulateScores<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// Scores of the chunk's samples, one float each.
    pub scores: &'a Buffer,
    /// Scores of the images themselves, one float each.
    pub clean: &'a Buffer,
    /// [image, row, column, channel / 4] of the set.
    pub attributions: &'a Buffer,
    /// Shape of an image.
    pub shape: Shape,
    /// How parts of the images were hidden.
    pub hiding: Hiding,
    /// Number of images that the samples of a chunk can belong to.
    pub images: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for AccumulateScores<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = picture(self.lanes, self.shape).constant("KIND", self.hiding.number());
        Launch::new("accumulate_scores", self.hiding.specialize(specialization))
            .bind("current", self.current)
            .bind("scores", self.scores)
            .bind("clean", self.clean)
            .bind("attributions", self.attributions)
            .over([self.shape.pixels().div_ceil(self.lanes), self.images, 1])
    }
}
