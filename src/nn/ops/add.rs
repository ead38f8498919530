//! Sums of several values, and of the shares that several layers have in a gradient.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{Add, Addend},
    nn::{nodes::Node, recorder::Recorder},
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// Adds the sum of `inputs`, two or more, from left to right.
pub fn forward(recorder: &mut Recorder<'_>, node: &Node, inputs: &[&Buffer]) -> Result<()> {
    let [left, right, others @ ..] = inputs else { return Ok(()) };
    let label = format!("{} forward", node.name);
    let sum = Add {
        images: recorder.images,
        left: (*left).into(),
        addend: Addend::Right((*right).into()),
        output: (&node.value).into(),
        pre_activation: node.pre_activation.as_ref().map(Binding::from),
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        activation: node.activation,
        storage: node.value_storage(),
    };
    recorder.add(label.as_str(), &sum)?;
    others.iter().try_for_each(|other| {
        let left = (*other).into();
        recorder.add(label.as_str(), &Add { left, addend: Addend::Output, ..sum })
    })
}

/// Adds `part`, the share of `node` in the gradient of what it reads, to `gradient`, which has the
/// shares of the layers behind it; or sets `gradient` to it, where it is the first.
pub fn share(
    recorder: &mut Recorder<'_>,
    node: &Node,
    part: Binding<'_>,
    gradient: Binding<'_>,
    addend: Addend<'_>,
) -> Result<()> {
    let format = node.gradient_storage().input;
    let sum = Add {
        images: recorder.images,
        left: part,
        addend,
        output: gradient,
        pre_activation: None,
        parameters: recorder.parameters.into(),
        elements: node.input_elements(),
        activation: ActivationPlan::NONE,
        storage: Storage::new(format, format),
    };
    recorder.add(format!("{} gradient share", node.name), &sum)
}

/// Adds copying the values that `node` reads to its own, which it changes in place.
pub fn copy(
    recorder: &mut Recorder<'_>,
    node: &Node,
    (input, format): (&Buffer, Format),
) -> Result<()> {
    let copy = Add {
        images: recorder.images,
        left: input.into(),
        addend: Addend::None,
        output: (&node.value).into(),
        pre_activation: None,
        parameters: recorder.parameters.into(),
        elements: node.output_elements(),
        activation: ActivationPlan::NONE,
        storage: Storage::new(format, format),
    };
    recorder.add(format!("{} copy", node.name), &copy)
}
