//! Products of two values. One may have one pixel, which meets all of the other's.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{Multiply, ProductSum},
    nn::{nodes::Node, recorder::Recorder},
    storage::{Format, Storage},
};

/// What a value is multiplied by on the way back to the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// The other value.
    Value,
    /// Its mean of image and baseline, which is behind the images.
    TwinMean,
    /// The other value, on the way to the larger one; 0 on the way to the smaller.
    ToLarger,
}

/// Which of the two inputs of `node` is the larger; the first of two of one shape.
fn larger(node: &Node) -> usize {
    usize::from(node.inputs[0].0 != node.output)
}

/// Adds the product of `inputs`, two with their formats.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    inputs: &[(&Buffer, Format)],
) -> Result<()> {
    let (left, left_format) = inputs[larger(node)];
    let (right, right_format) = inputs[1 - larger(node)];
    let product = Multiply {
        images: recorder.images,
        left: left.into(),
        right: right.into(),
        output: (&node.value).into(),
        shape: node.output,
        broadcast: node.inputs[0].0 != node.inputs[1].0,
        twins: false,
        scale: 1.0,
        storage: Storage { input: left_format, state: right_format, output: node.storage.output },
    };
    recorder.add(format!("{} forward", node.name), &product)
}

/// Adds the gradient with respect to input `number`, `to`, from the output's, `from`; `other` is
/// the value of the other input.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    number: usize,
    factor: Factor,
    (other, other_format): (Binding<'_>, Format),
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let twins = factor == Factor::TwinMean;
    let scale = match factor {
        Factor::TwinMean => 0.5,
        Factor::ToLarger if number != larger(node) => 0.0,
        Factor::Value | Factor::ToLarger => 1.0,
    };
    let (own, format) = node.inputs[number];
    let (images, shape) = (recorder.images, node.output);
    let storage = Storage {
        input: node.gradient_storage().output,
        state: other_format,
        output: format.of_gradient(),
    };
    let label = format!("{} gradient", node.name);
    let (left, right, output) = (from, other, to);
    if own != shape {
        let sum = ProductSum { images, left, right, output, shape, twins, scale, storage };
        return recorder.add(label, &sum);
    }
    let broadcast = node.inputs[1 - number].0 != shape;
    let product = Multiply { images, left, right, output, shape, broadcast, twins, scale, storage };
    recorder.add(label, &product)
}
