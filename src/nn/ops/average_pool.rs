//! Average-pools. They are linear: whatever a walk hands back, gradients or multipliers of an
//! attribution method, takes the same way, and nothing of the forward pass is needed for it.

use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{AverageOfIntegers, AveragePool, AveragePoolGradient, AveragePoolShape},
    nn::{nodes::Node, recorder::Recorder},
};

/// Adds the means of the windows of `input`.
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    shape: AveragePoolShape,
    input: &Buffer,
) -> Result<()> {
    let label = format!("{} forward", node.name);
    means(recorder, (label, node), shape, [input.into(), (&node.value).into()])
}

/// Adds the derivative of the means along a direction, `to`, from that at the input, `from`.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    shape: AveragePoolShape,
    way: [Binding<'_>; 2],
) -> Result<()> {
    means(recorder, (format!("{} tangent", node.name), node), shape, way)
}

/// Adds the means of the windows of `input`.
fn means(
    recorder: &mut Recorder<'_>,
    (label, node): (String, &Node),
    shape: AveragePoolShape,
    [input, output]: [Binding<'_>; 2],
) -> Result<()> {
    let pool = AveragePool {
        images: recorder.images,
        input,
        output,
        shape,
        integers: AverageOfIntegers { scale: 1.0, zero: 0.0 },
        storage: node.value_storage(),
    };
    recorder.add(label, &pool)
}

/// Adds the gradient with respect to the pool's input, `to`, from its output's, `from`.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    shape: AveragePoolShape,
    [from, to]: [Binding<'_>; 2],
) -> Result<()> {
    let pass = AveragePoolGradient {
        images: recorder.images,
        output_gradient: from,
        input_gradient: to,
        shape,
        storage: node.gradient_storage(),
    };
    recorder.add(format!("{} gradient", node.name), &pass)
}
