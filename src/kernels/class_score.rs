//! Launcher of `shaders/class_score.wgsl`.

use super::common::class_rows;
use crate::{
    gpu::{Buffer, Launch, Launcher},
    shaders::kinds::score,
};

/// The score of a sample's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Score {
    /// The class's logit.
    Logit = score::LOGIT,
    /// Its log-probability.
    LogProbability = score::LOG_PROBABILITY,
    /// Its probability.
    Probability = score::PROBABILITY,
}

/// The score of each sample's class.
#[derive(Clone, Copy, Debug)]
pub struct ClassScore<'a> {
    /// The chunk's record.
    pub current: &'a Buffer,
    /// [sample, class (padded)] floats.
    pub logits: &'a Buffer,
    /// The class of each sample, one word each.
    pub sample_classes: &'a Buffer,
    /// One float per sample.
    pub scores: &'a Buffer,
    /// One float per image of the set: the score of its sample 0, if it is kept.
    pub clean: &'a Buffer,
    /// Number of classes.
    pub classes: u32,
    /// The kind of score.
    pub score: Score,
    /// Whether sample 0 is the image itself, whose score is kept.
    pub keeps_clean: bool,
    /// Largest number of samples of the chunk.
    pub slots: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for ClassScore<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = class_rows(self.lanes, self.classes)
            .constant("KIND", self.score as u32)
            .constant("OCCLUSION", u32::from(self.keeps_clean));
        Launch::new("class_score", specialization)
            .bind("current", self.current)
            .bind("logits", self.logits)
            .bind("sample_classes", self.sample_classes)
            .bind("scores", self.scores)
            .bind("clean", self.clean)
            .over([self.slots.div_ceil(self.lanes), 1, 1])
    }
}
