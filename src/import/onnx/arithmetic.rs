//! Sums, products and the like, with constants and of two values.

use super::{
    Fallible,
    layers::{Made, Step},
    lowering::{Lowering, layer_name},
    node::Node,
    value::{GateKind, Live, Value},
};
use crate::config::{ActivationFunction, LayerKind};

/// Most values of a sum.
const MOST_TERMS: usize = 64;

/// The product of two values, of which one may have one pixel.
pub(super) fn product(
    on: &mut Lowering<'_>,
    name: String,
    first: &Live,
    second: &Live,
) -> Fallible<Live> {
    let is_larger = first.shape.pixels() >= second.shape.pixels();
    let (large, small) = if is_larger { (first, second) } else { (second, first) };
    let aligned = aligns(large, small);
    let (source, shape) = on.plain(name, LayerKind::Multiply {}, &[first, second])?;
    if !aligned || shape != large.shape {
        return Err("values of these axes cannot be multiplied".into());
    }
    Ok(large.made_by(source))
}

pub(super) fn arithmetic<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    operator: &str,
) -> Fallible<Live> {
    let name = layer_name(node, None);
    let [first, second] = [on.raw(node.needed(0)?)?, on.raw(node.needed(1)?)?];
    let (place, constant) = match (&first, &second) {
        (Value::Constant(constant), _) => (1, constant.clone()),
        (_, Value::Constant(constant)) => (0, constant.clone()),
        _ => return of_two(on, node, operator, [first, second]),
    };
    let own = on.live(node, place)?;
    let numbers = own.per_channel(&constant)?;
    let negated = |values: &[f64]| values.iter().map(|value| -value).collect::<Vec<f64>>();
    match (operator, place) {
        ("Add", _) => on.affine(&name, own, &[1.0], &numbers),
        ("Sub", 0) => on.affine(&name, own, &[1.0], &negated(&numbers)),
        ("Sub", _) => on.affine(&name, own, &[-1.0], &numbers),
        ("Mul", _) => on.affine(&name, own, &numbers, &[0.0]),
        ("Div", 0) => {
            let inverse: Vec<f64> = numbers.iter().map(|value| 1.0 / value).collect();
            on.affine(&name, own, &inverse, &[0.0])
        }
        _ => Err("a constant divided by what depends on the images is not supported".into()),
    }
}

/// Arithmetic of two values that depend on the images.
fn of_two<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    operator: &str,
    values: [Value; 2],
) -> Fallible<Live> {
    let name = layer_name(node, None);
    if operator == "Mul"
        && let [Value::Live(own), Value::Gate(gate)] | [Value::Gate(gate), Value::Live(own)] =
            &values
        && own.is_same(&gate.of)
    {
        let is_sixth = |alpha: f64, beta: f64| (6.0 * alpha - 1.0).abs() < 1e-5 && beta == 0.5;
        let function = match gate.kind {
            GateKind::Sigmoid => Some(ActivationFunction::Silu),
            GateKind::Hard { alpha, beta } => {
                is_sixth(alpha, beta).then_some(ActivationFunction::HardSwish)
            }
        };
        if let Some(function) = function {
            let own = on.live(node, if matches!(values[0], Value::Live(_)) { 0 } else { 1 })?;
            return on.activate(name, function, &own);
        }
    }
    let [first, second] = [on.live(node, 0)?.unpadded()?, on.live(node, 1)?.unpadded()?];
    match operator {
        "Add" => add(on, name, &[first, second]),
        "Mul" => {
            for (own, gate) in [(&first, &second), (&second, &first)] {
                if let Some(factor) = swish_factor(on, own, gate) {
                    let swish = on.activate(name.clone(), ActivationFunction::HardSwish, own)?;
                    return on.affine(&name, swish, &[6.0 * factor], &[0.0]);
                }
            }
            product(on, name, &first, &second)
        }
        _ => Err(format!("{operator} of two values of the images is not supported")),
    }
}

/// The factor f with which `gate` is f·ReLU6(`own` + 3).
fn swish_factor(on: &Lowering<'_>, own: &Live, gate: &Live) -> Option<f64> {
    let (mut index, mut factor) = (gate.source?, 1.0);
    let all = |values: &[f64], value: f64| values.iter().all(|own| *own == value);
    if let Step::Affine { scale, shift } = &on.layers[index].step
        && all(scale, scale[0])
        && all(shift, 0.0)
    {
        (factor, index) = (scale[0], on.layers[index].inputs[0]?);
    }
    let is_relu6 =
        |step: &Step| matches!(step, Step::Plain(LayerKind::Activation(ActivationFunction::Relu6)));
    let relu6 = Some(&on.layers[index]).filter(|layer| is_relu6(&layer.step))?;
    let shifted = &on.layers[relu6.inputs[0]?];
    match &shifted.step {
        Step::Affine { scale, shift } if all(scale, 1.0) && all(shift, 3.0) => {
            (shifted.inputs == [own.source] && own.layout == gate.layout).then_some(factor)
        }
        _ => None,
    }
}

pub(super) fn sum<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Live> {
    let mut terms = Vec::new();
    for index in 0..node.0.input.len() {
        terms.push(on.live(node, index)?.unpadded()?);
    }
    match terms.len() {
        0 => Err("it reads nothing".into()),
        1 => Ok(terms.remove(0)),
        _ => add(on, layer_name(node, None), &terms),
    }
}

/// The sum of `terms` from left to right. A sum whose only reader it is becomes part of it.
pub(super) fn add(on: &mut Lowering<'_>, name: String, terms: &[Live]) -> Fallible<Live> {
    let first = &terms[0];
    if terms.iter().any(|term| term.shape != first.shape || term.layout != first.layout) {
        let shapes: Vec<String> = terms.iter().map(|term| term.shape.to_string()).collect();
        return Err(format!("values of one shape can be added, not {}", shapes.join(" and ")));
    }
    let inner = first.source.map(|source| &on.layers[source]);
    let is_sum = |own: &&Made| {
        matches!(own.step, Step::Plain(LayerKind::Add {}))
            && !first.is_shared
            && own.inputs.len() + terms.len() <= MOST_TERMS
    };
    let mut inputs: Vec<Option<usize>> = match inner.filter(is_sum) {
        Some(inner) => inner.inputs.clone(),
        None => vec![first.source],
    };
    inputs.extend(terms[1..].iter().map(|term| term.source));
    let (source, _) = on.plain(name, LayerKind::Add {}, &[first, &terms[1]])?;
    on.layers[source].inputs = inputs;
    Ok(first.made_by(source))
}

/// Whether `small`, the same or a number a channel, is broadcast to `large` channel by channel.
fn aligns(large: &Live, small: &Live) -> bool {
    if small.shape == large.shape {
        return small.layout == large.layout;
    }
    let (rank, own) = (large.layout.rank(), small.layout.rank());
    small.shape.pixels() == 1
        && own <= rank
        && match (large.layout.channel_axis(), small.layout.channel_axis()) {
            (Some(large), Some(small)) => large == small + (rank - own),
            (None, None) => true,
            _ => false,
        }
}
