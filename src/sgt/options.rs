//! What a training step works on, and how.

use super::{Masking, Metrics};
use crate::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{OnNonFinite, SgtConfig},
    graph::Graph,
    nn::{Network, Optimizer},
};

/// What a step works on: buffers that exist already.
#[derive(Clone, Copy)]
pub struct StepInputs<'a> {
    /// θ and f.
    pub network: &'a Network,
    /// The training images.
    pub data: &'a ResidentData,
    /// The images of the step: X, and X̃ behind them where there is [`Self::masking`].
    pub batch: &'a Batch,
    /// Which features are masked and by what; none in plain training.
    pub masking: Option<&'a Masking>,
    /// Where its losses go.
    pub metrics: &'a Metrics,
    /// The update rule.
    pub optimizer: &'a Optimizer,
}

/// How a step goes.
pub struct StepOptions<'a> {
    /// Saliency Guided Training; off is plain training.
    pub sgt: &'a SgtConfig,
    /// How batches are drawn.
    pub gather: GatherOptions,
    /// Whether the network has dropout or batch norms: then saliency needs a forward pass of its
    /// own, in inference mode.
    pub inference_differs: bool,
    /// The last step with the batch's statistics in batch norms.
    pub freeze_after: Option<u64>,
    /// What becomes of a step with numbers that are none.
    pub on_non_finite: OnNonFinite,
}

impl<'a> StepOptions<'a> {
    /// Options for a network of `graph`.
    pub fn new(sgt: &'a SgtConfig, gather: GatherOptions, graph: &Graph) -> Self {
        StepOptions {
            sgt,
            gather,
            inference_differs: graph.differs_in_inference(),
            freeze_after: None,
            on_non_finite: OnNonFinite::Stop,
        }
    }
}
