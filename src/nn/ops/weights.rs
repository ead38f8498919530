//! What convolutions and fully connected layers share: making their weights ready, and the second
//! stage of their gradient.

use crate::{
    Error, Result,
    gpu::{Binding, Buffer, Gpu, Launcher, Recording, Work},
    kernels::{
        Activated, FavorPositive, LearnedStep, LearnedStepGradient, PositivePart, PrepareWeights,
        ReduceWeightGradient, WeightRange, WeightScale, WeightShape,
    },
    layout::GROUP,
    nn::{
        nodes::{Node, NodeKind, Weights},
        recorder::Recorder,
    },
    quant::ActivationPlan,
    storage::Format,
};

/// The weights W′ and the bias b′ that a rule of relevance propagation puts in the place of a
/// layer's W and b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RelevanceWeights {
    /// max(W, 0), no bias: the z⁺ rule (Montavon et al. 2017; Captum's `Alpha1_Beta0_Rule` with
    /// biases set to zero).
    Positive,
    /// W + γ·max(W, 0) and b: the γ rule (Montavon et al. 2019; Captum's `GammaRule`).
    Gamma(f32),
}

/// Adds the fake quantization of a node's weights and their layouts.
pub fn prepare(
    gpu: &Gpu,
    recording: &mut Recording,
    name: &str,
    weights: &Weights,
    parameters: &Buffer,
) -> Result<()> {
    let Weights { shape, quantizer: plan, constants, statistics, .. } = weights;
    let (&shape, &plan, channels) = (shape, plan, shape.out_channels);
    let source = weights.source(parameters);
    if let Some(step_index) = weights.step_index {
        LearnedStep { parameters, quantizer: constants, channels, step_index, plan }.record(
            gpu,
            recording,
            format!("{name} weight step"),
        )?;
    } else if plan.is_active() {
        WeightRange { parameters: source, statistics, shape }.record(
            gpu,
            recording,
            format!("{name} weight range"),
        )?;
        WeightScale { statistics, quantizer: constants, channels, plan }.record(
            gpu,
            recording,
            format!("{name} weight scale"),
        )?;
    }
    let label = format!("{name} weights");
    PrepareWeights {
        parameters: source,
        quantizer: constants,
        forward_weight: &weights.forward,
        bias: &weights.bias,
        backward: weights.backward.as_ref().map(|(buffer, layout)| (buffer, *layout)),
        shape,
        plan,
    }
    .record(gpu, recording, label.as_str())?;
    slice(gpu, recording, &label, weights)
}

/// Adds turning weights and bias into those of a rule of relevance propagation.
pub fn weigh_relevance(
    gpu: &Gpu,
    recording: &mut Recording,
    name: &str,
    weights: &Weights,
    rule: RelevanceWeights,
) -> Result<()> {
    let label = format!("{name} relevance weights");
    let backward = weights.backward.as_ref().map(|(buffer, _)| buffer);
    for values in [Some(&weights.forward), backward].into_iter().flatten() {
        match rule {
            RelevanceWeights::Positive => {
                PositivePart { values }.record(gpu, recording, label.as_str())?;
            }
            RelevanceWeights::Gamma(gamma) => {
                FavorPositive { values, gamma }.record(gpu, recording, label.as_str())?;
            }
        }
    }
    slice(gpu, recording, &label, weights)?;
    if rule == RelevanceWeights::Positive {
        recording.clear(&weights.bias);
    }
    Ok(())
}

/// Adds cutting weights, as they are then, into the slices that kernels read.
fn slice(gpu: &Gpu, recording: &mut Recording, label: &str, weights: &Weights) -> Result<()> {
    if let Some(slices) = &weights.forward_slices {
        slices.record(gpu, recording, label, &weights.forward)?;
    }
    if let (Some(slices), Some((copy, _))) = (&weights.backward_slices, &weights.backward) {
        slices.record(gpu, recording, label, copy)?;
    }
    Ok(())
}

/// Bias and activation at the end of a node's sums.
pub fn end<'a>(node: &'a Node, weights: &'a Weights, parameters: &'a Buffer) -> Activated<'a> {
    Activated {
        bias: &weights.bias,
        activation: node.activation,
        pre_activation: node.pre_activation.as_ref().map(Binding::from),
        parameters,
    }
}

/// Nothing at the end of sums: no bias, of which `no_bias` has the zeros, and no activation.
pub fn no_end<'a>(no_bias: &'a Buffer, parameters: &'a Buffer) -> Activated<'a> {
    let activation = ActivationPlan::NONE;
    Activated { bias: no_bias, activation, pre_activation: None, parameters }
}

/// Where the parts of a node's weight gradient go, and their number.
///
/// # Errors
/// [`Error::Gpu`] in networks that do not train.
pub fn parts(weights: &Weights) -> Result<(&Buffer, u32)> {
    let missing = || Error::Gpu("this network was made without weight gradients".into());
    weights.parts.as_ref().map(|(buffer, count)| (buffer, *count)).ok_or_else(missing)
}

/// Adds the sum of the parts of a node's weight gradient into the flat array `gradients`, through
/// the quantizer's derivative; of its bias too, where `shape` has one.
pub fn reduce(
    recorder: &mut Recorder<'_>,
    name: &str,
    (weights, shape): (&Weights, WeightShape),
    gradients: &Buffer,
) -> Result<()> {
    let (buffer, part_count) = parts(weights)?;
    let (images, plan) = (recorder.images, weights.quantizer);
    let sum = ReduceWeightGradient {
        images,
        parts: buffer.into(),
        parameters: weights.source(recorder.parameters),
        quantizer: &weights.constants,
        gradients,
        terms: weights.step_terms.as_ref(),
        part_count,
        shape,
        plan,
    };
    recorder.add(format!("{name} weight gradient sum"), &sum)?;
    let (Some(terms), Some(step_index)) = (&weights.step_terms, weights.step_index) else {
        return Ok(());
    };
    let steps = if plan.is_per_channel() { weights.shape.out_channels } else { 1 };
    let elements = weights.shape.count() / steps;
    let gradient =
        LearnedStepGradient { images, terms, gradients, steps, elements, step_index, plan };
    recorder.add(format!("{name} step gradient"), &gradient)
}

/// A pass of a weighted layer over `images`: its multiply-adds, and its activations and weights
/// moved once.
pub fn work(node: &Node, weights: &Weights, images: u32) -> Work {
    let images = u64::from(images);
    let fan_in = u64::from(weights.shape.fan_in());
    let number_bytes = |format: Format| format.group_bytes() / u64::from(GROUP);
    let moved = u64::from(node.input.elements()) * number_bytes(node.storage.input)
        + u64::from(node.output.elements()) * number_bytes(node.storage.output);
    let outputs = match node.kind {
        NodeKind::Convolution { .. } => u64::from(node.activated().elements()),
        _ => u64::from(node.output.channels),
    };
    Work {
        flops: 2 * images * outputs * fan_in,
        bytes: images * moved + 4 * fan_in * u64::from(node.output.channels),
    }
}
