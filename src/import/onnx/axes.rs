//! Nodes that move values or put them beside others: axes, padding, concatenations.

use super::{
    Fallible,
    layout::{Axis, Layout},
    lowering::{Lowering, layer_name},
    node::Node,
    selection,
    value::{Live, Value},
};
use crate::config::{LayerKind, Shape};

/// The axis of the channels, and all axes for images of a shape.
type Order = (usize, fn(Shape) -> Layout);

/// Other axes for the same numbers.
pub(super) fn relaid<'a>(on: &mut Lowering<'a>, node: Node<'a>, operator: &str) -> Fallible<Value> {
    let name = node.needed(0)?;
    let own = match on.raw(name)? {
        Value::Live(live) => live,
        _ => on.live(node, 0)?,
    };
    relaid_of(on, node, operator, own)
}

/// `own` with the axes that `node` gives it.
pub(super) fn relaid_of<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    operator: &str,
    own: Live,
) -> Fallible<Value> {
    if operator == "Transpose" {
        let order = node.integers("perm").ok_or("it has no perm")?;
        let layout = own.layout.transposed(order)?;
        return Ok(Value::Live(own.laid_out(layout)));
    }
    let own = own.unpadded()?;
    let axes = match (node.integers("axes"), operator) {
        (Some(axes), _) => Some(axes.to_vec()),
        (None, "Squeeze" | "Unsqueeze") => match on.optional(node, 1)? {
            Some(axes) => Some(axes.integers()?.to_vec()),
            None => None,
        },
        _ => None,
    };
    let layout = match operator {
        "Flatten" => own.layout.flattened(node.integer("axis", 1)?)?,
        "Squeeze" if axes.is_none() && on.batch == Some(1) => {
            return Err("it may take the batch away: it names no axes".into());
        }
        "Squeeze" => own.layout.squeezed(axes.as_deref(), own.shape)?,
        "Unsqueeze" => own.layout.unsqueezed(&axes.ok_or("it has no axes")?)?,
        _ => {
            let target = match node.integers("shape") {
                Some(own) => own.to_vec(),
                None => on.constant(node, 1)?.integers()?.to_vec(),
            };
            let zero_is_size = node.integer("allowzero", 0)? != 0;
            own.layout.reshaped(&target, zero_is_size, on.batch, own.shape)?
        }
    };
    Ok(Value::Live(shuffled(on, node, own.laid_out(layout))?))
}

/// `own` with its channels in the order of its axes, if they are shuffled.
fn shuffled<'a>(on: &mut Lowering<'a>, node: Node<'a>, own: Live) -> Fallible<Live> {
    let Some(groups) = own.layout.shuffled() else { return Ok(own) };
    let members = own.shape.channels / groups;
    let member = |member: u32| (0..groups).map(move |group| Some(group * members + member));
    let order: Vec<Option<u32>> = (0..members).flat_map(member).collect();
    let layout = own.layout.in_order();
    selection::channels(on, layer_name(node, None), &own.laid_out(layout), &order)
}

pub(super) fn concat<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let mut parts = Vec::new();
    for index in 0..node.0.input.len() {
        parts.push(on.live(node, index)?.unpadded()?);
    }
    concat_of(on, node, &parts)
}

/// The channels of `parts`, along the axis that `node` names.
pub(super) fn concat_of<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    parts: &[Live],
) -> Fallible<Live> {
    let [first, others @ ..] = parts else { return Err("it reads nothing".into()) };
    if others.is_empty() {
        return Ok(first.clone());
    }
    let axis = first.layout.place(node.integer("axis", 1)?)?;
    let orders: [Order; 3] = [(1, Layout::images), (3, Layout::channels_last), (1, Layout::rows)];
    let order = orders.into_iter().find(|(channels, order)| {
        // A row of pixels is no row of channels.
        let is_row = |part: &Live| part.layout.rank() > 2 || part.shape.pixels() == 1;
        *channels == axis
            && parts.iter().all(|part| is_row(part) && part.layout == order(part.shape))
    });
    let Some((_, order)) = order else {
        return Err("values can stand one after another along the channels only".into());
    };
    let inputs: Vec<&Live> = parts.iter().collect();
    let (source, shape) = on.plain(layer_name(node, None), LayerKind::Concat {}, &inputs)?;
    Ok(Live { layout: order(shape), ..Live::images(Some(source), shape) })
}

pub(super) fn pad<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let own = on.live(node, 0)?;
    let mode = node.text("mode").unwrap_or("constant");
    if mode != "constant" {
        return Err(format!("a Pad of mode {mode} is not supported; constant 0 is"));
    }
    let value = match on.optional(node, 2)? {
        Some(value) => value.scalar()?,
        None => node.real("value", 0.0)?,
    };
    if value != 0.0 {
        return Err(format!("a Pad with {value} is not supported; one with 0 is"));
    }
    let amounts = match node.integers("pads") {
        Some(own) => own.to_vec(),
        None => on.constant(node, 1)?.integers()?.to_vec(),
    };
    let axes = match on.optional(node, 3)? {
        Some(axes) => axes.integers()?.to_vec(),
        None => (0..own.layout.rank() as i64).collect(),
    };
    if amounts.len() != 2 * axes.len() {
        return Err(format!("{} amounts for {} axes", amounts.len(), axes.len()));
    }
    let mut pads = own.pads;
    // Channels of 0 in front of and behind the others.
    let mut channels = [0; 2];
    for (index, &axis) in axes.iter().enumerate() {
        let place = own.layout.place(axis)?;
        for (end, amount) in [amounts[index], amounts[index + axes.len()]].iter().enumerate() {
            if *amount == 0 {
                continue;
            }
            let amount = u32::try_from(*amount).map_err(|_| "it cuts pixels off")?;
            if own.layout.axis(place) == [Axis::Channel] {
                channels[end] = amount;
                continue;
            }
            let side = own.layout.plane_axis(place, own.shape);
            let side = side.ok_or("only channels, rows and columns can be padded")?;
            let pad = &mut pads[2 * end + side];
            *pad = pad.checked_add(amount).ok_or("it pads too much")?;
        }
    }
    if channels == [0; 2] {
        return Ok(Live { pads, ..own });
    }
    let own = own.unpadded()?;
    let [front, behind] = channels.map(|count| std::iter::repeat_n(None, count as usize));
    let all = front.chain((0..own.shape.channels).map(Some)).chain(behind);
    // As many as there may be weights, one more to be refused.
    let all: Vec<Option<u32>> = all.take(1 << 23).collect();
    let own = selection::channels(on, layer_name(node, None), &own, &all)?;
    Ok(Live { pads, ..own })
}
