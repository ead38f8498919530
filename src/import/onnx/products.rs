//! Layers with weights: convolutions, fully connected layers, batch norms.

use super::{
    Fallible,
    constant::{Constant, Levels},
    layers::Step,
    layout::Layout,
    lowering::{Lowering, layer_name},
    node::Node,
    value::Live,
    window::Window,
};
use crate::config::{BatchNorm, ChannelGroups, Convolution, LayerKind, Padding};

pub(super) fn conv<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.in_order()?;
    let weight = on.constant(node, 1)?;
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let bias = bias(on, node, outputs)?;
    conv_of(on, node, own, &weight, (layer_name(node, node.input(1)), bias))
}

/// A convolution of `own` with the window of `node`.
pub(super) fn conv_of<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    own: Live,
    weight: &Constant,
    (name, bias): (String, Option<Vec<f32>>),
) -> Fallible<Live> {
    let sizes = weight.shape.iter().map(|&size| u32::try_from(size).ok());
    let sizes = sizes.collect::<Option<Vec<u32>>>().unwrap_or_default();
    let [filters, inputs, height, width] = sizes[..] else {
        return Err(format!("weights of shape {:?}: those of images have 4", weight.shape));
    };
    let kernel = [height, width];
    let said: [u32; 2] = node.sizes("kernel_shape", 1, 0)?;
    if said != [0; 2] && said != kernel {
        return Err(format!("kernel_shape {said:?} differs from weights of {kernel:?}"));
    }
    let groups = node.integer("group", 1)?;
    let groups = u32::try_from(groups).ok().filter(|&groups| groups > 0);
    let groups = groups.ok_or("its group is no number above 0")?;
    if inputs.checked_mul(groups) != Some(own.shape.channels) {
        return Err(format!(
            "weights of shape {:?} in {groups} groups do not fit {} channels",
            weight.shape, own.shape.channels
        ));
    }
    let window = Window::new(node, kernel, own.shape, own.pads)?;
    let is_depthwise = groups > 1 && groups == own.shape.channels;
    let kind = LayerKind::Conv(Convolution {
        out_channels: filters,
        kernel,
        stride: window.stride,
        padding: Padding::Sides(window.sides),
        dilation: window.dilation,
        groups: match is_depthwise {
            true => ChannelGroups::Depthwise,
            false => ChannelGroups::Count(groups),
        },
        bias: false,
    });
    let weights = (weight.shape.clone(), weight.floats()?.to_vec());
    let (source, shape) = on.weighted(name, kind, weights, (bias, weight.levels.clone()), &own)?;
    Ok(Live::images(Some(source), shape))
}

/// Input 2 of `node` as a number a channel.
fn bias<'a>(on: &Lowering<'a>, node: Node<'a>, channels: usize) -> Fallible<Option<Vec<f32>>> {
    let Some(bias) = on.optional(node, 2)? else { return Ok(None) };
    let values = bias.floats()?;
    let is_row = bias.shape.iter().rev().skip(1).all(|&size| size == 1);
    match (is_row, values) {
        (true, &[one]) => Ok(Some(vec![one; channels])),
        (true, values) if values.len() == channels => Ok(Some(values.to_vec())),
        _ => Err(format!("a bias of shape {:?} for {channels} channels", bias.shape)),
    }
}

pub(super) fn gemm<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    if node.integer("transA", 0)? != 0 {
        return Err("transA is not supported".into());
    }
    let is_transposed = node.integer("transB", 0)? != 0;
    let [alpha, beta] = [node.real("alpha", 1.0)?, node.real("beta", 1.0)?];
    let own = on.live(node, 0)?.unpadded()?;
    let weight = on.constant(node, 1)?;
    let &[rows, columns] = &weight.shape[..] else {
        return Err(format!("weights of shape {:?} are no matrix", weight.shape));
    };
    let outputs = if is_transposed { rows } else { columns };
    let mut bias = bias(on, node, outputs)?;
    if beta != 1.0 {
        bias.iter_mut().flatten().for_each(|own| *own *= beta);
    }
    let name = layer_name(node, node.input(1));
    linear(on, name, &own, &weight, (is_transposed, alpha), bias)
}

pub(super) fn mat_mul<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.unpadded()?;
    let weight = on.constant(node, 1)?;
    let name = layer_name(node, node.input(1));
    linear(on, name, &own, &weight, (false, 1.0), None)
}

/// A fully connected layer of `weight`, [features, outputs] or the transpose, times a factor.
pub(super) fn linear(
    on: &mut Lowering<'_>,
    name: String,
    own: &Live,
    weight: &Constant,
    (is_transposed, factor): (bool, f32),
    bias: Option<Vec<f32>>,
) -> Fallible<Live> {
    let &[rows, columns] = &weight.shape[..] else {
        return Err(format!("weights of shape {:?} are no matrix", weight.shape));
    };
    let (inputs, outputs) = if is_transposed { (columns, rows) } else { (rows, columns) };
    if own.layout.rank() != 2 || !own.layout.is_batch(0) {
        return Err("it reads no row of features an image".into());
    }
    let features = own.layout.size(1, own.shape);
    if features != inputs as u64 {
        return Err(format!("weights of {inputs} features for {features}"));
    }
    let numbers = weight.floats()?;
    let places = own.layout.feature_places(1, own.shape);
    let mut values = vec![0.0; numbers.len()];
    for output in 0..outputs {
        for (feature, &place) in places.iter().enumerate() {
            let from = match is_transposed {
                true => output * inputs + feature,
                false => feature * outputs + output,
            };
            values[output * inputs + place] = numbers[from] * factor;
        }
    }
    let out_features = u32::try_from(outputs).map_err(|_| "it has too many outputs")?;
    let kind = LayerKind::Linear { out_features, bias: false };
    // A scale is of an output, which is the first axis of the transpose only.
    let is_kept = |levels: &&Levels| factor == 1.0 && (levels.scales.len() == 1 || is_transposed);
    let levels = weight.levels.as_ref().filter(is_kept).cloned();
    let weights = (vec![outputs, inputs], values);
    let (source, shape) = on.weighted(name, kind, weights, (bias, levels), own)?;
    Ok(Live { layout: Layout::rows(shape), ..Live::images(Some(source), shape) })
}

pub(super) fn batch_norm<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    if node.integer("training_mode", 0)? != 0 {
        return Err("it normalises by the statistics of its batch (training_mode)".into());
    }
    let own = on.live(node, 0)?.unpadded()?;
    let channels = own.shape.channels as usize;
    let is_channel = own.layout.rank() > 1
        && (own.layout.channel_axis() == Some(1) || channels == 1 && own.layout.axis(1).is_empty());
    if !is_channel {
        return Err("its second axis has not the channels alone".into());
    }
    let mut parameters: [Vec<f32>; 4] = Default::default();
    for (index, values) in parameters.iter_mut().enumerate() {
        let constant = on.constant(node, index + 1)?;
        *values = constant.floats()?.to_vec();
        if constant.shape != [channels] || !values.iter().all(|value| value.is_finite()) {
            return Err(format!("its input {} is not a finite number a channel", index + 2));
        }
    }
    let momentum = 1.0 - f64::from(node.real("momentum", 0.9)?);
    let batch_norm = BatchNorm {
        epsilon: node.real("epsilon", 1e-5)?,
        // The other program's share is of the statistics that stay.
        momentum: ((momentum * 1e6).round() / 1e6) as f32,
    };
    let step = Step::Norm { own: batch_norm, parameters };
    let kind = LayerKind::BatchNorm(batch_norm);
    let name = layer_name(node, node.input(1));
    let (source, _) = on.push(name, step, &[&own], Some(&kind))?;
    Ok(own.made_by(source))
}
