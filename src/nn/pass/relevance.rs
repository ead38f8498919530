//! The rules of layer-wise relevance propagation that put other weights in the place of a layer's
//! own: they need a second network, with these weights.

use super::{
    backward::{Gradients, backward},
    walk::{BackwardRule, Walk},
};
use crate::{
    Error, Result,
    gpu::{Binding, Gpu, Recording},
    kernels::ImageRange,
    nn::{
        body::Body,
        nodes::NodeKind,
        ops::{
            convolution, linear,
            weights::{self, RelevanceWeights},
        },
    },
};

/// Adds turning the weights and biases of `body` into those of the rule: of the `weighted` network
/// of [`relevance_backward`].
///
/// # Errors
/// [`Error::Unfolded`] where a batch norm is not folded into its layer.
pub fn relevance_weights(
    body: &Body,
    gpu: &Gpu,
    recording: &mut Recording,
    rule: RelevanceWeights,
) -> Result<()> {
    for node in &body.nodes {
        if let NodeKind::BatchNorm(_) = node.kind {
            return Err(Error::Unfolded { norm: node.name.clone() });
        }
        if let Some(own) = node.weights() {
            weights::weigh_relevance(gpu, recording, &node.name, own, rule)?;
        }
    }
    Ok(())
}

/// Adds the backward pass of `images` by [`BackwardRule::Weighted`], after the forward pass of
/// `body`; `weighted` is the same network with the weights of the `rule`.
pub fn relevance_backward<'a>(
    body: &'a Body,
    weighted: &Body,
    gpu: &Gpu,
    recording: &mut Recording,
    images: ImageRange<'_>,
    rule: RelevanceWeights,
) -> Result<Binding<'a>> {
    for node in &weighted.nodes {
        // Both have the same nodes; what goes in is the network's own.
        let input = body.input_of(node);
        let recorder = &mut weighted.recorder(gpu, recording, images, 0);
        match &node.kind {
            NodeKind::Convolution { weights, .. } => {
                convolution::forward(recorder, node, weights, input)?;
            }
            NodeKind::FullyConnected { weights } => {
                linear::forward(recorder, node, weights, input)?
            }
            _ => {}
        }
    }
    let rule = BackwardRule::Weighted(rule);
    let walk = Walk { rule, stop: None, weighted: Some(weighted) };
    backward(body, gpu, recording, images.into(), None, Gradients::Input, walk)
}
