//! PReLUs.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{Prelu, PreluGradient, PreluRule, PreluShape, PreluSlopeGradient},
    nn::{nodes::Node, recorder::Recorder},
    storage::{Format, Storage},
};

/// Adds `node.value` = the function of `input`.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    shape: PreluShape,
    input: &Buffer,
) -> Result<()> {
    let function = Prelu {
        images: recorder.images,
        input: input.into(),
        output: (&node.value).into(),
        parameters: recorder.parameters.into(),
        shape,
        storage: node.value_storage(),
    };
    recorder.add(format!("{} forward", node.name), &function)
}

/// Formats of the input and of the gradient.
fn storage(node: &Node) -> Storage {
    Storage { input: Format::F32, state: node.storage.input, ..node.gradient_storage() }
}

/// Adds multiplying `gradient` at the output of `node`, in place, by what `rule` says.
pub fn gradient(
    recorder: &mut Recorder<'_>,
    label: String,
    node: &Node,
    (shape, rule): (PreluShape, PreluRule),
    gradient: Binding<'_>,
) -> Result<()> {
    let pass = PreluGradient {
        images: recorder.images,
        state: recorder.at(node.state(), node.output_elements(), node.storage.input),
        gradient,
        parameters: recorder.parameters.into(),
        shape,
        rule,
        storage: storage(node),
    };
    recorder.add(label, &pass)
}

/// Adds the gradient of the slopes, from `gradient` at the output of `node`, to the flat array
/// `gradients`.
pub fn slope_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    shape: PreluShape,
    gradient: Binding<'_>,
    gradients: &Buffer,
) -> Result<()> {
    let pass = PreluSlopeGradient {
        images: recorder.images,
        state: recorder.at(node.state(), node.output_elements(), node.storage.input),
        gradient,
        gradients,
        shape,
        storage: storage(node),
    };
    recorder.add(format!("{} slope gradient", node.name), &pass)
}
