//! The z⁺ rule of layer-wise relevance propagation, which needs the network's positive weights too.

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
        ops::{convolution, linear, weights},
    },
};

/// Adds cutting the weights at 0, and setting biases to 0: of the `positive` network of
/// [`positive_backward`].
///
/// # Errors
/// [`Error::Unfolded`] where a batch norm is not folded into its layer.
pub fn keep_positive_weights(body: &Body, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
    for node in &body.nodes {
        if let NodeKind::BatchNorm(_) = node.kind {
            return Err(Error::Unfolded { norm: node.name.clone() });
        }
        if let Some(own) = node.weights() {
            weights::keep_positive(gpu, recording, &node.name, own)?;
        }
    }
    Ok(())
}

/// Adds the backward pass of `images` by [`BackwardRule::Positive`], after the forward pass of
/// `body`; `positive` is the same network with positive weights.
pub fn positive_backward<'a>(
    body: &'a Body,
    positive: &Body,
    gpu: &Gpu,
    recording: &mut Recording,
    images: ImageRange<'_>,
) -> Result<Binding<'a>> {
    for node in &positive.nodes {
        // Both have the same nodes; what goes in is the network's own.
        let input = body.input_of(node);
        let recorder = &mut positive.recorder(gpu, recording, images, 0);
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
    let walk = Walk { rule: BackwardRule::Positive, stop: None, positive: Some(positive) };
    backward(body, gpu, recording, images.into(), None, Gradients::Input, walk)
}
