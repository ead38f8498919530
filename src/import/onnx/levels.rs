//! Levels between QuantizeLinear and DequantizeLinear, and the activations that have them.

use super::{
    Fallible, axes,
    layers::{Grid, Step, same},
    lowering::{Lowering, layer_name},
    node::Node,
    pools,
    value::{Live, Quantized, Value},
};
use crate::config::ActivationFunction;

/// The scale of `node`, its input `place`, the zero point, which is the next, and the range of its
/// levels.
pub(super) fn scale_at<'a>(
    on: &Lowering<'a>,
    node: Node<'a>,
    place: usize,
) -> Fallible<(f32, i64, [i64; 2])> {
    let scale = on.constant(node, place)?.scalar()?;
    if !scale.is_normal() || scale <= 0.0 {
        return Err(format!("its scale is {scale}"));
    }
    let Some(zero) = on.optional(node, place + 1)? else {
        return Ok((scale, 0, [0, 255]));
    };
    match (zero.integers()?, zero.range) {
        (&[value], Some(range)) => Ok((scale, value, range)),
        _ => Err("its zero point is no integer of up to 16 bits".into()),
    }
}

pub(super) fn quantize<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Value> {
    let (scale, zero, range) = scale_at(on, node, 1)?;
    let of = on.live(node, 0)?.unpadded()?;
    Ok(Value::Quantized(Quantized { of, scale, zero, range, is_on_grid: false }))
}

pub(super) fn clip_levels<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    own: Quantized,
) -> Fallible<Value> {
    let end = |index: usize, other: i64| match on.optional(node, index)? {
        Some(end) => match end.integers()? {
            &[end] => Ok(end),
            _ => Err(String::from("its bound is no number")),
        },
        None => Ok(other),
    };
    let [lowest, highest] = own.range;
    let range = [end(1, lowest)?.max(lowest), end(2, highest)?.min(highest)];
    Ok(Value::Quantized(Quantized { range, is_on_grid: false, ..own }))
}

pub(super) fn dequantize<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let Value::Quantized(own) = on.raw(node.needed(0)?)? else {
        return Err("it reads no levels".into());
    };
    let (scale, zero, _) = scale_at(on, node, 1)?;
    if (scale, zero) != (own.scale, own.zero) {
        return Err("its scale or zero point is not that of its QuantizeLinear".into());
    }
    dequantized(on, own, layer_name(node, None))
}

/// `of` rounded to `grid`, by a layer called `name` where that takes one.
fn on_grid(on: &mut Lowering<'_>, of: Live, grid: Grid, name: String) -> Fallible<Live> {
    // What is on these levels already is rounded once more: those at the ends have no gradient.
    if let Some(source) = of.source
        && !of.is_shared
        && on.layers[source].quantize(grid)
    {
        return Ok(of);
    }
    let mut of = of;
    if !has_weights(on, of.source) {
        // The bits of an activation are those of a layer with weights in front of it.
        let (kind, shape, weight) = same(of.shape.channels);
        let weights = (shape, weight);
        let (source, _) = on.weighted(format!("{name}/same"), kind, weights, (None, None), &of)?;
        of = of.made_by(source);
    }
    // Quantizers whose lowest level is 0 stand in the place of a ReLU.
    let function = match grid.lowest {
        0 => ActivationFunction::Relu,
        _ => ActivationFunction::Identity,
    };
    let live = on.activate(name, function, &of)?;
    if let Some(source) = live.source {
        on.layers[source].grid = Some(grid);
    }
    Ok(live)
}

/// Whether there is a layer with weights on the way back from layer `source`.
fn has_weights(on: &Lowering<'_>, source: Option<usize>) -> bool {
    let mut open: Vec<usize> = source.into_iter().collect();
    let mut seen = vec![false; on.layers.len()];
    while let Some(index) = open.pop() {
        if matches!(on.layers[index].step, Step::Weighted { .. }) {
            return true;
        }
        if !std::mem::replace(&mut seen[index], true) {
            open.extend(on.layers[index].inputs.iter().flatten());
        }
    }
    false
}

/// The floats that the levels `own`, called `name`, stand for; others that read these levels
/// get the same.
pub(super) fn floats_of<'a>(
    on: &mut Lowering<'a>,
    name: &'a str,
    own: Quantized,
) -> Fallible<Live> {
    let is_shared = on.uses.get(name).is_some_and(|&uses| uses > 1);
    let live = dequantized(on, own.clone(), name.to_string())?;
    let live = Live { is_shared: live.is_shared || is_shared, ..live };
    let on_grid = Quantized { of: live.clone(), is_on_grid: true, ..own };
    on.values.insert(name, Value::Quantized(on_grid));
    Ok(live)
}

/// What `node`, an operator that takes maxima or moves values, makes of levels: some of them.
pub(super) fn moved_levels<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    operator: &str,
    own: Quantized,
) -> Fallible<Value> {
    if operator == "MaxPool" {
        let live = floats_of(on, node.needed(0)?, own.clone())?.in_order()?;
        let of = pools::max_pool_of(on, node, live)?;
        return Ok(Value::Quantized(Quantized { of, is_on_grid: true, ..own }));
    }
    Ok(match axes::relaid_of(on, node, operator, own.of.clone())? {
        Value::Live(of) => Value::Quantized(Quantized { of, ..own }),
        other => other,
    })
}

/// `own` as floats on its levels.
fn dequantized(on: &mut Lowering<'_>, own: Quantized, name: String) -> Fallible<Live> {
    let Quantized { of, scale, zero, range: [lowest, highest], is_on_grid } = own;
    if is_on_grid {
        return Ok(of);
    }
    let grid = Grid { scale, lowest: lowest - zero, highest: highest - zero };
    on_grid(on, of, grid, name)
}
