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
    let pool = AveragePool {
        images: recorder.images,
        input: input.into(),
        output: (&node.value).into(),
        shape,
        integers: AverageOfIntegers { scale: 1.0, zero: 0.0 },
        storage: node.value_storage(),
    };
    recorder.add(format!("{} forward", node.name), &pool)
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
