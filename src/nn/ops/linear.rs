//! Fully connected layers.

use super::{
    products::{Product, cooperative},
    weights::{self, end, parts, work},
};
use crate::{
    Result,
    gpu::{Binding, Buffer},
    kernels::{
        Activated, ConvolutionWeightGradientTiled, Epilogue, FullyConnectedWeightGradient,
        Gradient, WeightShape,
    },
    nn::{
        nodes::{Node, Weights},
        recorder::Recorder,
    },
};

/// Adds `node.value` = activate(weights · `input` + bias).
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    weights: &Weights,
    input: &Buffer,
) -> Result<()> {
    let label = format!("{} forward", node.name);
    if let Some(product) = cooperative(recorder, node, weights, input.into()) {
        return recorder.add(label, &product);
    }
    let end = end(node, weights, recorder.parameters);
    sums(recorder, (label, node, weights), [input.into(), (&node.value).into()], end)
}

/// Adds `to` = weights · `from`: the derivative of the sums along a direction.
pub fn tangent(
    recorder: &mut Recorder<'_>,
    node: &Node,
    weights: &Weights,
    way: [Binding<'_>; 2],
    no_bias: &Buffer,
) -> Result<()> {
    let label = format!("{} tangent", node.name);
    let end = weights::no_end(no_bias, recorder.parameters);
    sums(recorder, (label, node, weights), way, end)
}

/// Adds `output` = the `end` of weights · `input`.
fn sums(
    recorder: &mut Recorder<'_>,
    (label, node, weights): (String, &Node, &Weights),
    [input, output]: [Binding<'_>; 2],
    end: Activated<'_>,
) -> Result<()> {
    let product = Product {
        images: recorder.images,
        vectors: input,
        matrix: (&weights.forward).into(),
        transposed: false,
        product: output,
        end: Epilogue::Activated(end),
        sizes: [node.input_elements(), node.output_elements()],
        storage: node.value_storage(),
        work: work(node, weights, recorder.images.most),
    };
    product.record(recorder.gpu, recorder.recording, recorder.tiles, label)
}

/// Adds the gradient with respect to the node's input, `to`, from its output's, `from`.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    weights: &Weights,
    [from, to]: [Binding<'_>; 2],
    end: Gradient,
) -> Result<()> {
    // Without a copy for it, the pass reads the forward pass's weights the other way round.
    let own = weights.backward.as_ref().map(|(buffer, _)| buffer);
    let product = Product {
        images: recorder.images,
        vectors: from,
        matrix: own.unwrap_or(&weights.forward).into(),
        transposed: own.is_none(),
        product: to,
        end: Epilogue::Gradient(end),
        sizes: [node.output_elements(), node.input_elements()],
        storage: node.input_gradient_storage(end),
        work: work(node, weights, recorder.images.most),
    };
    let label = format!("{} input gradient", node.name);
    product.record(recorder.gpu, recorder.recording, recorder.tiles, label)
}

/// Adds the gradient with respect to the node's weights and bias, in both stages, to the flat array
/// `gradients`; `shape` says which of them there are.
pub fn weight_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    (weights, shape): (&Weights, WeightShape),
    [input, output_gradient]: [Binding<'_>; 2],
    gradients: &Buffer,
) -> Result<()> {
    let label = format!("{} weight gradient", node.name);
    let (buffer, part_count) = parts(weights)?;
    let (images, geometry) = (recorder.images, node.geometry());
    let (storage, work) = (node.parameter_gradient_storage(), work(node, weights, images.most));
    match recorder.tiles.weight_gradient_product_of(geometry) {
        Some(tiles) => recorder.add(
            label,
            &ConvolutionWeightGradientTiled {
                images,
                input,
                output_gradient,
                parts: buffer.into(),
                part_count,
                geometry,
                tiles,
                storage,
                work,
            },
        )?,
        None => {
            let out_groups = node.output_elements();
            let tiles = recorder.tiles.fully_connected_weight_gradient(out_groups);
            recorder.add(
                label,
                &FullyConnectedWeightGradient {
                    images,
                    input,
                    output_gradient,
                    parts: buffer.into(),
                    part_count,
                    in_groups: node.input_elements(),
                    out_groups,
                    tiles,
                    storage,
                    work,
                },
            )?;
        }
    }
    weights::reduce(recorder, &node.name, (weights, shape), gradients)
}
