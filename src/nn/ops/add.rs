//! Sums of several values, and of the shares that several layers have in a gradient.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{Activation, Add},
    nn::{nodes::Node, recorder::Recorder},
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// Adds the sum of `inputs`, two or more with their formats, from left to right.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    inputs: &[(&Buffer, Format)],
) -> Result<()> {
    let [(left, left_format), (right, right_format), others @ ..] = inputs else { return Ok(()) };
    let output = node.storage.output;
    let label = format!("{} forward", node.name);
    let sum = Add {
        images: recorder.images,
        left: (*left).into(),
        right: Some((*right).into()),
        output: (&node.value).into(),
        pre_activation: node.pre_activation.as_ref().map(Binding::from),
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        activation: node.activation,
        storage: Storage { input: *left_format, output, state: *right_format },
    };
    recorder.add(label.as_str(), &sum)?;
    others.iter().try_for_each(|(other, format)| {
        let (left, storage) = ((*other).into(), Storage::new(*format, output));
        recorder.add(label.as_str(), &Add { left, right: None, storage, ..sum })
    })
}

/// Adds the sum of the derivatives `inputs` along a direction.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    inputs: &[Binding<'_>],
    to: Binding<'_>,
) -> Result<()> {
    let &[left, right, ref others @ ..] = inputs else { return Ok(()) };
    let format = node.storage.output;
    let label = format!("{} tangent", node.name);
    let sum = Add {
        images: recorder.images,
        left,
        right: Some(right),
        output: to,
        pre_activation: None,
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        activation: ActivationPlan::NONE,
        storage: Storage { input: format, output: format, state: format },
    };
    recorder.add(label.as_str(), &sum)?;
    let storage = Storage::new(format, format);
    let more = |&left: &Binding<'_>| {
        recorder.add(label.as_str(), &Add { left, right: None, storage, ..sum })
    };
    others.iter().try_for_each(more)
}

/// Adds `part`, the share of `node` in the gradient of its input `input`, to `gradient`, which has
/// the shares of the layers behind it. `formats` are those of both.
pub fn share(
    recorder: &mut Recorder<'_>,
    (node, input): (&Node, usize),
    [part, gradient]: [Binding<'_>; 2],
    formats: [Format; 2],
) -> Result<()> {
    let sum = Add {
        images: recorder.images,
        left: part,
        right: None,
        output: gradient,
        pre_activation: None,
        parameters: recorder.parameters.into(),
        elements: node.elements_of_input(input),
        activation: ActivationPlan::NONE,
        storage: Storage::new(formats[0], formats[1]),
    };
    recorder.add(format!("{} gradient share", node.name), &sum)
}

/// Adds copying `part`, the first share in a gradient, to `gradient`; else as [`share`].
pub fn first_share(
    recorder: &mut Recorder<'_>,
    (node, input): (&Node, usize),
    [part, gradient]: [Binding<'_>; 2],
    formats: [Format; 2],
) -> Result<()> {
    let copy = Activation {
        images: recorder.images,
        input: part,
        output: gradient,
        parameters: recorder.parameters.into(),
        elements: node.elements_of_input(input),
        channels: node.inputs[input].0.channels,
        activation: ActivationPlan::NONE,
        storage: Storage::new(formats[0], formats[1]),
    };
    recorder.add(format!("{} gradient share", node.name), &copy)
}
