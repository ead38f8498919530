//! The derivative of a map of gradients by the weights.
//!
//! For a network that is linear in the images between kinks, ⟨∇ₓs, v⟩ is the derivative of s along
//! v. With the decisions of the forward pass as constants (which side of a kink, which pixel of a
//! window) it is what a linear network makes of v, so that the gradient of a layer's weights is
//! that of the layer with the derivatives along v in the place of its input: ∂⟨∇ₓs, v⟩/∂W = δ ⊗ ȧ,
//! δ the gradients of the pass that made the map, ȧ what v becomes on its way forward. Biases and
//! what activations learn have none, the slopes of PReLUs among them.

use super::backward::weight_gradient;
use crate::{
    Error, Result,
    gpu::{Binding, Gpu, Recording},
    graph::plan::Source,
    kernels::{ImageRange, PreluRule, WeightShape},
    nn::{
        body::Body,
        nodes::NodeKind,
        ops::{
            activation::{self, LearnedGradient},
            add, average_pool, batch_norm, concat, convolution, linear, max_pool, prelu,
        },
        tangents::{GradientMap, Tangents},
    },
    quant::ActivationPlan,
};

/// Adds ∂⟨∇ₓs, v⟩/∂θ for the pass that made `map`, where v is now, to the flat gradients of
/// `tangents`.
pub fn tangent(
    body: &Body,
    tangents: &Tangents,
    gpu: &Gpu,
    recording: &mut Recording,
    images: ImageRange<'_>,
    map: &GradientMap<'_>,
) -> Result<()> {
    let recorder = &mut body.recorder(gpu, recording, images, 0);
    let buffers = &tangents.backward;
    let unused = LearnedGradient {
        partial_sums: &buffers.partial_sums,
        offset_sums: &buffers.offset_sums,
        gradients: None,
    };
    let gradients = &tangents.gradients;
    // Of the outputs of nodes.
    let mut along: Vec<Binding<'_>> = Vec::with_capacity(body.nodes.len());
    for (index, node) in body.nodes.iter().enumerate() {
        let of = |source: &Source| source.step().map_or(map.map, |front| along[front]);
        let inputs: Vec<Binding<'_>> = node.sources.iter().map(of).collect();
        let from = inputs[0];
        if let (Some(gradient), Some(weights)) = (map.gradients[index], node.weights()) {
            let shape = WeightShape { bias_index: None, ..weights.shape };
            let from = [from, gradient];
            weight_gradient(body, recorder, node, (weights, shape), from, gradients)?;
        }
        if let (Some(gradient), NodeKind::BatchNorm(norm)) = (map.gradients[index], &node.kind)
            && !norm.folded
        {
            batch_norm::scale_gradient(recorder, node, norm, [from, gradient], gradients)?;
        }
        // The logits' own derivative has no use.
        if index + 1 == body.nodes.len() {
            break;
        }
        let Some(own) = &tangents.values[index] else {
            along.push(from);
            continue;
        };
        let (to, no_bias) = (Binding::from(own), &tangents.no_bias);
        match &node.kind {
            NodeKind::Convolution { weights, .. } => {
                convolution::tangent(recorder, node, weights, [from, to], no_bias)?;
            }
            NodeKind::FullyConnected { weights } => {
                linear::tangent(recorder, node, weights, [from, to], no_bias)?;
            }
            NodeKind::MaxPool { shape, choice } => {
                max_pool::tangent(recorder, node, (*shape, choice), [from, to])?;
            }
            &NodeKind::AveragePool(shape) => {
                average_pool::tangent(recorder, node, shape, [from, to])?;
            }
            NodeKind::Add => add::tangent(recorder, node, &inputs, to)?,
            NodeKind::Concat => concat::tangent(recorder, node, &inputs, to)?,
            NodeKind::BatchNorm(norm) => {
                let label = format!("{} tangent copy", node.name);
                activation::copy(recorder, label, node, [from, to])?;
                batch_norm::tangent(recorder, node, norm, to)?;
            }
            &NodeKind::Prelu(shape) => {
                let label = format!("{} tangent copy", node.name);
                activation::copy(recorder, label, node, [from, to])?;
                let label = format!("{} tangent", node.name);
                prelu::gradient(recorder, label, node, (shape, PreluRule::Gradient), to)?;
            }
            NodeKind::Activation => {
                let label = format!("{} tangent copy", node.name);
                activation::copy(recorder, label, node, [from, to])?;
            }
            NodeKind::Multiply | NodeKind::Dropout { .. } | NodeKind::Flatten => {
                let name = &node.name;
                return Err(Error::Gpu(format!("{name}: has no tangent of its own")));
            }
        }
        if node.activation != ActivationPlan::NONE {
            activation::tangent(recorder, node, to, unused)?;
        }
        along.push(to);
    }
    Ok(())
}
