//! Launcher of `shaders/score_cam_weights.wgsl`.

use crate::{
    gpu::{Buffer, Launch, Launcher},
    layout::groups,
    shaders::Specialization,
};

/// Score-CAM's weights of a layer's channels.
#[derive(Clone, Copy, Debug)]
pub struct ScoreCamWeights<'a> {
    /// The chunk's record; an image has a sample for each channel.
    pub current: &'a Buffer,
    /// One float per sample of the chunk.
    pub scores: &'a Buffer,
    /// The scores so far, [image of the set, channel (padded)] floats.
    pub kept: &'a Buffer,
    /// [image that the chunk touches, channel / 4].
    pub weights: &'a Buffer,
    /// Channels of the layer.
    pub channels: u32,
    /// Number of images that the samples of a chunk can belong to.
    pub images: u32,
    /// Invocations of a workgroup.
    pub lanes: u32,
}

impl Launcher for ScoreCamWeights<'_> {
    fn launch(&self) -> Launch<'_> {
        let specialization = Specialization::new()
            .tile("LANES", self.lanes)
            .constant("LAYER_GROUPS", groups(self.channels))
            .constant("IMAGES", self.images);
        Launch::new("score_cam_weights", specialization)
            .bind("current", self.current)
            .bind("scores", self.scores)
            .bind("kept", self.kept)
            .bind("weights", self.weights)
            .over([self.images.div_ceil(self.lanes), 1, 1])
    }
}
