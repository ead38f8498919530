//! Max-pools that are nodes of their own.

use super::activation::{LearnedGradient, learned_gradient};
use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{MaxPool, MaxPoolGradient, MaxPoolRescale, MaxPoolTangent, PoolShape},
    nn::{nodes::Node, recorder::Recorder},
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// Adds the maxima of the windows of `input`, and their positions.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    (shape, choice): (PoolShape, &Buffer),
    input: &Buffer,
) -> Result<()> {
    let pool = MaxPool {
        images: recorder.images,
        input: input.into(),
        output: (&node.value).into(),
        choice: Some(choice.into()),
        shape,
        storage: node.value_storage(),
    };
    recorder.add(format!("{} forward", node.name), &pool)
}

/// Adds the gradient with respect to the pool's input, `to`, from its output's, `from`; with
/// `front`, through the activation of that node, whose value the input is, too.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    (shape, choice): (PoolShape, &Buffer),
    front: Option<&Node>,
    [from, to]: [Binding<'_>; 2],
    learned: LearnedGradient<'_>,
) -> Result<()> {
    let choice = recorder.at_bytes(choice, 4 * node.output_elements());
    let state =
        front.map(|front| recorder.at(front.state(), node.input_elements(), front.storage.state));
    let state_format = front.map_or(Format::F32, |front| front.storage.state);
    let pass = MaxPoolGradient {
        images: recorder.images,
        output_gradient: from,
        choice,
        state: state.unwrap_or(choice),
        input_gradient: to,
        parameters: recorder.parameters.into(),
        partial_sums: learned.partial_sums.into(),
        offset_sums: learned.offset_sums.into(),
        shape,
        items: recorder.tiles.elementwise_items(),
        activation: front.map_or(ActivationPlan::NONE, |front| front.activation),
        storage: Storage { state: state_format, ..node.gradient_storage() },
    };
    recorder.add(format!("{} gradient", node.name), &pass)?;
    match front {
        Some(front) => learned_gradient(recorder, front, pass.blocks(), learned),
        None => Ok(()),
    }
}

/// Adds DeepLIFT's rescale rule: multipliers of the output go to the maxima of image and baseline.
pub fn rescale(
    recorder: &mut Recorder<'_>,
    node: &Node,
    (shape, choice): (PoolShape, &Buffer),
    input: &Buffer,
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let rule = MaxPoolRescale {
        images: recorder.images,
        input: input.into(),
        output: (&node.value).into(),
        choice: choice.into(),
        multiplier: from,
        input_multiplier: to,
        shape,
    };
    recorder.add(format!("{} multipliers", node.name), &rule)
}

/// Adds the derivative of the maxima along a direction, `to`, from that at the input, `from`.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    (shape, choice): (PoolShape, &Buffer),
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let pass = MaxPoolTangent {
        images: recorder.images,
        input: from,
        choice: choice.into(),
        output: to,
        shape,
    };
    recorder.add(format!("{} tangent", node.name), &pass)
}
