//! Products of two values. One may have one pixel, which meets all of the other's.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{Multiply, ProductSum},
    nn::{nodes::Node, pass::BackwardRule, recorder::Recorder},
    storage::{Format, Storage},
};

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

/// Adds the gradient with respect to input `number`, `to`, from the output's, `from`; `other` is the
/// value of the other input. What `rule` makes of a product ab:
///
/// - DeepLIFT's multipliers are the other's mean of image and baseline, so that contributions add up
///   to Δ(ab) = b̄·Δa + ā·Δb.
/// - Relevance goes to the larger value, the first of two of one shape, as if the other was a
///   constant (Arras et al. 2019, "signal takes all"): its multipliers are those of the gradient, the
///   other's are 0.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    number: usize,
    rule: BackwardRule,
    (other, other_format): (Binding<'_>, Format),
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let twins = rule == BackwardRule::Rescale;
    let is_gate = number != larger(node);
    let scale = match rule {
        BackwardRule::Rescale => 0.5,
        BackwardRule::Epsilon | BackwardRule::Positive if is_gate => 0.0,
        _ => 1.0,
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
