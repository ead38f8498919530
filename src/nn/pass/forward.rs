//! The dispatches that make the weights ready, and of the forward pass.

use crate::{
    Result,
    gpu::{Gpu, Recording},
    kernels::ImageRange,
    nn::{
        body::Body,
        nodes::NodeKind,
        ops::{
            activation, add, average_pool,
            batch_norm::{self, TrainingPass},
            concat, convolution, dropout, linear, max_pool, multiply, prelu, weights,
        },
    },
};

/// Adds the fake quantization and layout of every layer's weights, and what batch norms make of
/// their running statistics.
pub fn prepare_weights(body: &Body, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
    for node in &body.nodes {
        if let NodeKind::BatchNorm(norm) = &node.kind
            && !body.is_right_behind_weights(node)
        {
            batch_norm::prepare(gpu, recording, (node, norm), &body.parameters)?;
        }
        let Some(own) = node.weights() else { continue };
        if let Some((behind, norm)) = body.batch_norm_behind(node) {
            batch_norm::prepare(gpu, recording, (behind, norm), &body.parameters)?;
            batch_norm::fold(gpu, recording, norm, (node, own), &body.parameters)?;
        }
        weights::prepare(gpu, recording, &node.name, own, &body.parameters)?;
    }
    Ok(())
}

/// Adds f(X) for `images`, in inference mode where `training` is `None`.
pub fn forward(
    body: &Body,
    gpu: &Gpu,
    recording: &mut Recording,
    images: ImageRange<'_>,
    training: Option<TrainingPass<'_>>,
) -> Result<()> {
    for node in &body.nodes {
        let input = body.input_of(node);
        let recorder = &mut body.recorder(gpu, recording, images, 0);
        match &node.kind {
            NodeKind::Convolution { weights, .. } => {
                convolution::forward(recorder, node, weights, input)?;
            }
            NodeKind::FullyConnected { weights } => {
                linear::forward(recorder, node, weights, input)?
            }
            NodeKind::BatchNorm(norm) => {
                batch_norm::forward(recorder, node, norm, input, training)?;
            }
            NodeKind::Activation => activation::forward(recorder, node, input)?,
            &NodeKind::Prelu(shape) => prelu::forward(recorder, node, shape, input)?,
            NodeKind::MaxPool { shape, choice } => {
                max_pool::forward(recorder, node, (*shape, choice), input)?;
            }
            &NodeKind::AveragePool(shape) => average_pool::forward(recorder, node, shape, input)?,
            NodeKind::Add | NodeKind::Multiply | NodeKind::Concat => {
                let input = |&source| (body.value_of(source), body.format_of(source));
                let inputs: Vec<_> = node.sources.iter().map(input).collect();
                match &node.kind {
                    NodeKind::Multiply => multiply::forward(recorder, node, &inputs)?,
                    NodeKind::Concat => concat::forward(recorder, node, &inputs)?,
                    _ => add::forward(recorder, node, &inputs)?,
                }
            }
            NodeKind::Dropout { .. } | NodeKind::Flatten => {
                // Others read what goes in too: a copy of it is changed in place.
                if !node.value.is(input) {
                    activation::forward(recorder, node, input)?;
                }
                if let &NodeKind::Dropout { rate, stream } = &node.kind
                    && let Some(TrainingPass { step, .. }) = training
                {
                    let values = ((&node.value).into(), node.storage.output);
                    let label = format!("{} forward", node.name);
                    dropout::apply(recorder, label, node, (rate, stream), step, values)?;
                }
            }
        }
    }
    Ok(())
}
