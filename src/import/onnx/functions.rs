//! Activations, clips, and the softmax at the end.

use super::{
    Fallible,
    layers::Step,
    lowering::{Lowering, layer_name},
    node::Node,
    value::{Gate, GateKind, Live, Value},
};
use crate::config::ActivationFunction;

pub(super) fn activation<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    function: ActivationFunction,
) -> Fallible<Live> {
    let own = on.live(node, 0)?.unpadded()?;
    on.activate(layer_name(node, None), function, &own)
}

pub(super) fn prelu<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.unpadded()?;
    let slopes = own.per_channel(&*on.constant(node, 1)?)?;
    if !slopes.iter().all(|slope| slope.is_finite()) {
        return Err("its slope is not finite".into());
    }
    let slopes = slopes.into_iter().map(|slope| slope as f32).collect();
    let name = layer_name(node, node.input(1));
    let (source, _) = on.push(name, Step::Prelu { slopes }, &[&own], None)?;
    Ok(own.made_by(source))
}

pub(super) fn gate<'a>(on: &mut Lowering<'a>, node: Node<'a>, kind: GateKind) -> Fallible<Value> {
    let of = on.live(node, 0)?.unpadded()?;
    Ok(Value::Gate(Gate { of, kind, name: layer_name(node, None) }))
}

pub(super) fn softmax<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?.unpadded()?;
    let default = if on.opset < 13 { 1 } else { -1 };
    let axis = own.layout.place(node.integer("axis", default)?)?;
    let is_over = |place: usize| own.layout.channel_axis() == Some(place);
    let is_over_classes = match on.opset < 13 {
        true => (axis..own.layout.rank()).any(is_over),
        false => is_over(axis),
    };
    if own.shape.pixels() != 1 || !is_over_classes {
        return Err("a softmax is supported over the classes, at the end only".into());
    }
    Ok(Live { is_probability: true, ..own })
}

pub(super) fn clip<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let bound = |index: usize, name: &str| match on.optional(node, index)? {
        Some(own) => own.scalar().map(Some),
        None if node.has(name) => node.real(name, 0.0).map(Some),
        None => Ok(None),
    };
    let low = bound(1, "min")?.filter(|&low| low > f32::MIN);
    let high = bound(2, "max")?.filter(|&high| high < f32::MAX);
    let own = on.live(node, 0)?.unpadded()?;
    let name = layer_name(node, None);
    match (low, high) {
        (None, None) => Ok(own),
        (Some(0.0), None) => on.activate(name, ActivationFunction::Relu, &own),
        (Some(0.0), Some(6.0)) => on.activate(name, ActivationFunction::Relu6, &own),
        // ReLU6 of what is moved and scaled to 0..6.
        (Some(low), Some(high)) if low < high => {
            let (low, high) = (f64::from(low), f64::from(high));
            let factor = 6.0 / (high - low);
            let scaled = on.affine(&name, own, &[factor], &[-low * factor])?;
            let clipped = on.activate(name.clone(), ActivationFunction::Relu6, &scaled)?;
            on.affine(&name, clipped, &[1.0 / factor], &[low])
        }
        (Some(low), None) => {
            let low = f64::from(low);
            let moved = on.affine(&name, own, &[1.0], &[-low])?;
            let clipped = on.activate(name.clone(), ActivationFunction::Relu, &moved)?;
            on.affine(&name, clipped, &[1.0], &[low])
        }
        (None, Some(high)) => {
            let high = f64::from(high);
            let room = on.affine(&name, own, &[-1.0], &[high])?;
            let clipped = on.activate(name.clone(), ActivationFunction::Relu, &room)?;
            on.affine(&name, clipped, &[-1.0], &[high])
        }
        (Some(low), Some(high)) => Err(format!("a Clip from {low} to {high} leaves one number")),
    }
}
