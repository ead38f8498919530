//! The loss L = CE + λ·D_KL with its gradients, what saliency is the gradient of, and their sums
//! over a batch.

use crate::{
    Result,
    batch::Batch,
    config::{SaliencyTarget, SgtConfig},
    gpu::{Binding, Buffer, Gpu, Recording},
    kernels::ImageRange,
    kernels::LANES,
    nn::Network,
    shaders::Specialization,
};

/// Sums of one step's losses, a slot a step.
pub struct Metrics {
    /// [image] (ce, kl, correct, 0).
    per_image: Buffer,
    /// `[slot]` (Σce, Σkl, Σcorrect, images).
    pub sums: Buffer,
    /// `[slot]` 1 if a loss was not finite.
    pub flags: Buffer,
    /// `[slot]` (cause, index): why the step was not counted, and the first parameter concerned;
    /// see [`super::record_judgement`].
    pub verdicts: Buffer,
    /// Number of slots.
    pub slots: u64,
}

impl Metrics {
    /// Room for `slots` steps of parts of up to `most` images.
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

/// The scalar of an image whose gradient explains it; the discriminants are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Log-softmax at the given label.
    LogSoftmaxLabel = 0,
    /// Logit at the given label.
    LogitLabel = 1,
    /// Logit at the predicted class.
    LogitPredicted = 2,
    /// Log-softmax at the predicted class.
    LogSoftmaxPredicted = 3,
}

impl From<SaliencyTarget> for Scalar {
    fn from(target: SaliencyTarget) -> Scalar {
        match target {
            SaliencyTarget::LogSoftmax => Scalar::LogSoftmaxLabel,
            SaliencyTarget::Label => Scalar::LogitLabel,
            SaliencyTarget::Predicted => Scalar::LogitPredicted,
        }
    }
}

fn class_shape(network: &Network) -> Specialization {
    shape_of(network.classes())
}

fn shape_of(classes: u32) -> Specialization {
    Specialization::new()
        .tile("LANES", LANES)
        .constant("CLASSES", classes)
        .constant("CLASS_STRIDE", classes.next_multiple_of(4))
}

/// Adds the gradient, with respect to the logits of `range`, of the scalar that saliency explains;
/// `labels` name the class of each image unless it is the predicted one.
pub fn record_saliency_seed(
    gpu: &Gpu,
    recording: &mut Recording,
    network: &Network,
    range: ImageRange<'_>,
    labels: &Buffer,
    scalar: Scalar,
) -> Result<()> {
    let kernel =
        gpu.kernel("saliency_seed", class_shape(network).constant("TARGET", scalar as u32))?;
    let bindings =
        [range.binding, network.logits().into(), labels.into(), network.logit_gradients()?.into()];
    recording.dispatch(gpu, "saliency seed", kernel, &bindings, [range.most.div_ceil(LANES), 1, 1])
}

/// Adds L = CE(f(X), y) + λ·D_KL(f(X) ‖ f(X̃)), its gradient with respect to both logits, and the
/// sums for the metrics.
pub fn record_loss(
    gpu: &Gpu,
    recording: &mut Recording,
    network: &Network,
    batch: &Batch,
    sgt: &SgtConfig,
    metrics: &Metrics,
) -> Result<()> {
    let specialization = class_shape(network)
        .constant("LAMBDA", sgt.lambda)
        .constant("STOP_GRADIENT", u32::from(sgt.stop_gradient))
        .constant("SGT", u32::from(sgt.enabled));
    let range = batch.clean();
    let bindings = [
        range.binding,
        network.logits().into(),
        (&batch.labels).into(),
        network.logit_gradients()?.into(),
        (&metrics.per_image).into(),
        (&batch.step).into(),
    ];
    let kernel = gpu.kernel("sgt_loss", specialization)?;
    recording.dispatch(gpu, "loss", kernel, &bindings, [range.most.div_ceil(LANES), 1, 1])?;
    let kernel = gpu.kernel("sum_metrics", Specialization::new().tile("WORKGROUP", LANES))?;
    let bindings = [
        range.binding,
        (&batch.step).into(),
        (&metrics.per_image).into(),
        (&metrics.sums).into(),
        (&metrics.flags).into(),
    ];
    recording.dispatch(gpu, "sum metrics", kernel, &bindings, [1, 1, 1])
}

/// Adds (ce, predicted class, probability of it, probability of the label) for every image of
/// `range`, at its place in the data set.
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

/// [`record_classification_of`] by `logits` of so many classes, whatever made them.
pub fn record_classification_by(
    gpu: &Gpu,
    recording: &mut Recording,
    (logits, classes): (&Buffer, u32),
    batch: &Batch,
    range: ImageRange<'_>,
    output: Binding<'_>,
) -> Result<()> {
    let kernel = gpu.kernel("classify", shape_of(classes))?;
    let bindings =
        [range.binding, logits.into(), (&batch.labels).into(), (&batch.step).into(), output];
    recording.dispatch(gpu, "classify", kernel, &bindings, [range.most.div_ceil(LANES), 1, 1])
}
