//! Convolutions.

use super::{
    products::cooperative,
    weights::{self, end, parts, work},
};
use crate::{
    Error, Result,
    gpu::{Binding, Buffer, Gpu},
    kernels::{
        Activated, Convolution, ConvolutionInputGradient, ConvolutionInputGradientNarrow,
        ConvolutionTiled, ConvolutionWeightGradient, ConvolutionWeightGradientTiled,
        DepthwiseConvolution, DepthwiseInputGradient, DepthwiseWeightGradient, Epilogue, Gradient,
        GroupedConvolution, GroupedConvolutionInputGradient, GroupedConvolutionWeightGradient,
        WeightShape,
    },
    layout::groups,
    nn::{
        ConvolutionFamily, StripShape, TileTable,
        nodes::{Node, NodeKind, Weights},
        recorder::Recorder,
        slices::WeightSlices,
    },
};

/// Gives a convolution the slices of weights that its kernels read, where they do.
pub fn slice_weights(gpu: &Gpu, node: &mut Node, tiles: &TileTable, gradients: bool) -> Result<()> {
    if node.family() != ConvolutionFamily::Dense {
        return Ok(());
    }
    let geometry = node.geometry();
    let mirrored = geometry.mirrored(node.output.channels);
    let has_groups = groups(node.input.channels) > 1;
    let NodeKind::Convolution { weights, .. } = &mut node.kind else { return Ok(()) };
    if let Some(strips) = tiles.strips(StripShape::of(geometry)) {
        weights.forward_slices = Some(WeightSlices::new(gpu, strips, geometry, false)?);
    }
    if let Some(strips) = tiles.strips(StripShape::of(mirrored))
        && gradients
        && has_groups
    {
        weights.backward_slices = Some(WeightSlices::new(gpu, strips, mirrored, true)?);
    }
    Ok(())
}

/// A convolution has either slices for strips or tiles for products.
fn no_kernel() -> Error {
    Error::Gpu("this network was made without the weights that its passes read".into())
}

/// The choices of the max-pool that is part of `node`, from the pass's first image on.
fn joined_choice<'b>(recorder: &Recorder<'_>, node: &'b Node) -> Option<Binding<'b>> {
    node.joined_pool().map(|pool| recorder.at_bytes(&pool.choice, 4 * node.output_elements()))
}

/// Adds `node.value` = activate(weights · `input` + bias).
pub fn forward(
    recorder: &mut Recorder<'_>,
    node: &Node,
    weights: &Weights,
    input: &Buffer,
) -> Result<()> {
    let label = format!("{} forward", node.name);
    let is_strips = node.family() != ConvolutionFamily::Dense || weights.forward_slices.is_some();
    if !is_strips && let Some(product) = cooperative(recorder, node, weights, input.into()) {
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
    let (images, geometry, storage) = (recorder.images, node.geometry(), node.value_storage());
    let work = work(node, weights, images.most);
    match (node.family(), node.grouped()) {
        (ConvolutionFamily::Depthwise, _) => {
            let (weight, tiles) = (&weights.forward, recorder.tiles.depthwise(geometry));
            let own = DepthwiseConvolution {
                images,
                input,
                weight,
                output,
                end: Epilogue::Activated(end),
                geometry,
                tiles,
                storage,
                work,
            };
            return recorder.add(label, &own);
        }
        (ConvolutionFamily::Grouped, Some(shape)) => {
            let weight = &weights.forward;
            let own = GroupedConvolution {
                images,
                input,
                weight,
                output,
                end: Epilogue::Activated(end),
                integers: false,
                shape,
                storage,
                work,
            };
            return recorder.add(label, &own);
        }
        _ => {}
    }
    if let Some(slices) = &weights.forward_slices {
        let choice = node.joined_pool().map(|pool| Binding::from(&pool.choice));
        return slices.iter().try_for_each(|own| {
            let slice = Convolution {
                images,
                input,
                weights: own,
                output,
                end,
                choice,
                geometry,
                tiles: slices.tiles,
                storage,
                work,
            };
            recorder.add(label.as_str(), &slice)
        });
    }
    let product = ConvolutionTiled {
        images,
        input,
        weight: (&weights.forward).into(),
        output,
        end: Epilogue::Activated(end),
        geometry,
        mirrored: false,
        tiles: recorder.tiles.product_of(geometry).ok_or_else(no_kernel)?,
        storage,
        work,
    };
    recorder.add(label, &product)
}

/// Adds the gradient with respect to the node's input, `to`, from its output's, `from`.
pub fn input_gradient(
    recorder: &mut Recorder<'_>,
    node: &Node,
    weights: &Weights,
    [from, to]: [Binding<'_>; 2],
    end: Gradient,
) -> Result<()> {
    let label = format!("{} input gradient", node.name);
    let (images, geometry) = (recorder.images, node.geometry());
    let work = work(node, weights, images.most);
    // But for an image's, the pass is a convolution whose input is the output's gradient.
    let mirrored = geometry.mirrored(node.output.channels);
    let (weight, storage) = (&weights.forward, node.input_gradient_storage(end));
    match (node.family(), node.grouped()) {
        (ConvolutionFamily::Depthwise, _) => {
            let own = DepthwiseInputGradient {
                images,
                output_gradient: from,
                weight,
                input_gradient: to,
                end,
                geometry: mirrored,
                tiles: recorder.tiles.depthwise(mirrored),
                storage,
                work,
            };
            return recorder.add(label, &own);
        }
        (ConvolutionFamily::Grouped, Some(shape)) => {
            let own = GroupedConvolutionInputGradient {
                images,
                output_gradient: from,
                weight,
                input_gradient: to,
                end,
                shape,
                storage,
                work,
            };
            return recorder.add(label, &own);
        }
        _ => {}
    }
    if let Some(slices) = &weights.backward_slices {
        let chosen = joined_choice(recorder, node);
        return slices.iter().try_for_each(|own| {
            let slice = ConvolutionInputGradient {
                images,
                output_gradient: from,
                weights: own,
                input_gradient: to,
                chosen,
                end,
                geometry: mirrored,
                tiles: slices.tiles,
                storage,
                work,
            };
            recorder.add(label.as_str(), &slice)
        });
    }
    if groups(node.input.channels) == 1 && end == Gradient::Plain {
        let narrow = ConvolutionInputGradientNarrow {
            images,
            output_gradient: from,
            weight,
            input_gradient: to,
            geometry,
            channels: node.input.channels,
            tiles: recorder.tiles.narrow_input_gradient(geometry, node.input.channels),
            storage: node.gradient_storage(),
            work,
        };
        return recorder.add(label, &narrow);
    }
    let product = ConvolutionTiled {
        images,
        input: from,
        weight: weights.backward.as_ref().map(|(copy, _)| copy.into()).ok_or_else(no_kernel)?,
        output: to,
        end: Epilogue::Gradient(end),
        geometry: mirrored,
        mirrored: true,
        tiles: recorder.tiles.product_of(mirrored).ok_or_else(no_kernel)?,
        storage,
        work,
    };
    recorder.add(label, &product)
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
    match (node.family(), node.grouped()) {
        (ConvolutionFamily::Depthwise, _) => {
            let own = DepthwiseWeightGradient {
                images,
                input,
                output_gradient,
                parts: buffer.into(),
                part_count,
                geometry,
                tiles: recorder.tiles.depthwise(geometry),
                storage,
                work,
            };
            recorder.add(label, &own)?;
            return weights::reduce(recorder, &node.name, (weights, shape), gradients);
        }
        (ConvolutionFamily::Grouped, Some(grouped)) => {
            let own = GroupedConvolutionWeightGradient {
                images,
                input,
                output_gradient,
                parts: buffer.into(),
                part_count,
                shape: grouped,
                storage,
                work,
            };
            recorder.add(label, &own)?;
            return weights::reduce(recorder, &node.name, (weights, shape), gradients);
        }
        _ => {}
    }
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
            let chosen = joined_choice(recorder, node);
            let tiles = recorder.tiles.convolution_weight_gradient(geometry);
            recorder.add(
                label,
                &ConvolutionWeightGradient {
                    images,
                    input,
                    output_gradient,
                    parts: buffer.into(),
                    chosen,
                    part_count,
                    geometry,
                    tiles,
                    storage,
                    work,
                },
            )?;
        }
    }
    weights::reduce(recorder, &node.name, (weights, shape), gradients)
}
