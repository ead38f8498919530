//! The loss L = CE + λ·D_KL with its gradients, the scalar whose gradient is the saliency, and
//! their sums over a batch.

use crate::{
    Result,
    batch::Batch,
    config::SgtConfig,
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    kernels::{Classify, ImageRange, LANES, SaliencySeed, Scalar, SgtLoss, SumMetrics},
    nn::Network,
};

/// Sums of the losses of each step, one slot per step.
pub struct Metrics {
    /// [image] (ce, kl, correct, 0).
    per_image: Buffer,
    /// `[slot]` (Σce, Σkl, Σcorrect, images).
    pub sums: Buffer,
    /// `[slot]` 1 if a loss was not finite.
    pub flags: Buffer,
    /// `[slot]` (cause, index): why the step did not count, and the first parameter concerned; see
    /// [`super::record_judgement`].
    pub verdicts: Buffer,
    /// Number of slots.
    pub slots: u64,
}

impl Metrics {
    /// Buffers for `slots` steps with parts of up to `most` images.
    pub fn new(gpu: &Gpu, most: u32, slots: u64) -> Result<Metrics> {
        Ok(Metrics {
            per_image: gpu.buffer("losses of the images", u64::from(most) * 16)?,
            sums: gpu.buffer("metrics", slots * 16)?,
            flags: gpu.buffer("metric flags", slots * 4)?,
            verdicts: gpu.buffer("verdicts", slots * 8)?,
            slots,
        })
    }
}

/// Adds the gradient of the scalar that saliency explains, with respect to the logits of `range`.
/// `labels` give the class of each image, unless it is the predicted class.
pub fn record_saliency_seed(
    gpu: &Gpu,
    recording: &mut Recording,
    network: &Network,
    range: ImageRange<'_>,
    labels: &Buffer,
    scalar: Scalar,
) -> Result<()> {
    let seed = SaliencySeed {
        images: range,
        logits: network.logits(),
        labels,
        gradient: network.logit_gradients()?,
        classes: network.classes(),
        target: scalar,
        lanes: LANES,
    };
    seed.record(gpu, recording, "saliency seed")
}

/// The settings of the loss, and where its values are stored.
#[derive(Clone, Copy)]
pub struct Losses<'a> {
    /// λ, and whether there are masked copies.
    pub sgt: &'a SgtConfig,
    /// The weight of each class in the cross entropy, if they differ.
    pub class_weights: Option<&'a Buffer>,
    /// The sums.
    pub metrics: &'a Metrics,
}

/// Adds L = CE(f(X), y) + λ·D_KL(f(X) ‖ f(X̃)), its gradient with respect to both logits, and the
/// sums for the metrics.
pub fn record_loss(
    gpu: &Gpu,
    recording: &mut Recording,
    network: &Network,
    batch: &Batch,
    losses: Losses<'_>,
) -> Result<()> {
    let Losses { sgt, class_weights, metrics } = losses;
    let loss = SgtLoss {
        images: batch.clean(),
        logits: network.logits(),
        labels: &batch.labels,
        gradient: network.logit_gradients()?,
        sums: &metrics.per_image,
        current: &batch.step,
        class_weights,
        classes: network.classes(),
        lambda: sgt.lambda,
        stop_gradient: sgt.stop_gradient,
        twins: sgt.enabled,
        lanes: LANES,
    };
    loss.record(gpu, recording, "loss")?;
    let sums = SumMetrics {
        images: batch.clean(),
        current: &batch.step,
        sums: &metrics.per_image,
        metrics: &metrics.sums,
        flags: &metrics.flags,
        workgroup: LANES,
    };
    sums.record(gpu, recording, "sum metrics")
}

/// Adds (ce, predicted class, its probability, probability of the label) for every image of
/// `range`, at the image's position in the data set.
pub fn record_classification_of(
    gpu: &Gpu,
    recording: &mut Recording,
    network: &Network,
    batch: &Batch,
    range: ImageRange<'_>,
    output: Binding<'_>,
) -> Result<()> {
    record_classification_by(
        gpu,
        recording,
        (network.logits(), network.classes()),
        batch,
        range,
        output,
    )
}

/// As [`record_classification_of`], for `logits` of `classes` classes from any source.
pub fn record_classification_by(
    gpu: &Gpu,
    recording: &mut Recording,
    (logits, classes): (&Buffer, u32),
    batch: &Batch,
    range: ImageRange<'_>,
    output: Binding<'_>,
) -> Result<()> {
    let classify = Classify {
        images: range,
        logits,
        labels: &batch.labels,
        current: &batch.step,
        predictions: output,
        classes,
        lanes: LANES,
    };
    classify.record(gpu, recording, "classify")
}
