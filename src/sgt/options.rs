//! The inputs and options of a training step.

use super::{Masking, Metrics, Teaching};
use crate::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{OnNonFinite, SgtConfig},
    gpu::Buffer,
    graph::Graph,
    nn::{Network, Optimizer},
};

/// The inputs of a step, in buffers that exist already.
#[derive(Clone, Copy)]
pub struct StepInputs<'a> {
    /// θ and f.
    pub network: &'a Network,
    /// The training images.
    pub data: &'a ResidentData,
    /// The images of the step: X, and X̃ behind them if there is [`Self::masking`].
    pub batch: &'a Batch,
    /// The selection and fill of masked features; `None` for plain training.
    pub masking: Option<&'a Masking>,
    /// The weight of each class in the cross entropy, if they differ; the records of steps then
    /// have the sums.
    pub class_weights: Option<&'a Buffer>,
    /// The terms of a teacher, if there is one.
    pub teaching: Option<&'a Teaching>,
    /// Where the losses are stored.
    pub metrics: &'a Metrics,
    /// The update rule.
    pub optimizer: &'a Optimizer,
}

/// Options of a step.
pub struct StepOptions<'a> {
    /// Settings of Saliency Guided Training; plain training has it disabled.
    pub sgt: &'a SgtConfig,
    /// How batches are drawn.
    pub gather: GatherOptions,
    /// Whether the network has dropout or batch norms. Saliency then needs a forward pass of its
    /// own in inference mode.
    pub inference_differs: bool,
    /// The last step in which batch norms use the statistics of the batch.
    pub freeze_after: Option<u64>,
    /// What happens to a training step whose numbers are not finite.
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
