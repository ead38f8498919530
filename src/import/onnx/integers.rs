//! Operators that read and write levels: ONNX's QLinearConv and QLinearMatMul, and those of the
//! `com.microsoft` set that ONNX Runtime's static quantizer writes in its QOperator form. Each is
//! what DequantizeLinear, the operator on floats and QuantizeLinear make together.

use std::rc::Rc;

use super::{
    Fallible, arithmetic, axes,
    constant::Constant,
    fold, levels,
    lowering::{Lowering, layer_name},
    node::Node,
    pools, products,
    value::{Live, Quantized, Value},
};
use crate::config::ActivationFunction;

/// Takes `node` in, if it is one of these.
pub(super) fn node<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Option<Fallible<()>> {
    let operator = node.operator();
    let operator = operator.strip_prefix("com.microsoft::").unwrap_or(&operator);
    let made = match operator {
        "QLinearConv" => integer_conv(on, node),
        "QLinearMatMul" => integer_product(on, node, 6, None),
        "QGemm" => integer_product(on, node, 7, Some(6)),
        "QLinearAdd" | "QLinearMul" => integers_of_two(on, node, operator),
        "QLinearGlobalAveragePool" => integer_mean(on, node),
        "QLinearAveragePool" => floats_at(on, node, 0).and_then(|own| {
            let made = pools::average_pool_of(on, node, own.in_order()?)?;
            levels(on, node, made, 3)
        }),
        "QLinearLeakyRelu" | "QLinearSigmoid" => integer_function(on, node, operator),
        "QLinearConcat" => integer_concat(on, node),
        _ => return None,
    };
    Some(made.and_then(|made| {
        on.values.insert(node.output()?, made);
        Ok(())
    }))
}

/// The floats that the levels of input `place` stand for, whose scale and zero point are the inputs
/// behind.
fn floats_at<'a>(on: &mut Lowering<'a>, node: Node<'a>, place: usize) -> Fallible<Live> {
    let name = node.needed(place)?;
    let Value::Quantized(own) = on.raw(name)? else {
        return Err(format!("its input {} are no levels of the images", place + 1));
    };
    let (scale, zero, _) = levels::scale_at(on, node, place + 1)?;
    if (scale, zero) != (own.scale, own.zero) {
        return Err("its scale or zero point is not that of what it reads".into());
    }
    levels::floats_of(on, name, own)
}

/// `of` as levels, whose scale is input `place` of `node` and whose zero point is the next.
fn levels<'a>(on: &mut Lowering<'a>, node: Node<'a>, of: Live, place: usize) -> Fallible<Value> {
    let (scale, zero, range) = levels::scale_at(on, node, place)?;
    Ok(Value::Quantized(Quantized { of, scale, zero, range, is_on_grid: false }))
}

/// The weights of `node`, whose levels, scales and zero points are inputs 3, 4 and 5, and their
/// scales; a scale may be of a slice along `axis`.
fn integer_weights<'a>(
    on: &Lowering<'a>,
    node: Node<'a>,
    axis: usize,
) -> Fallible<(Constant, Rc<Constant>)> {
    let (levels, scale) = (on.constant(node, 3)?, on.constant(node, 4)?);
    let zero = on.optional(node, 5)?;
    Ok((fold::dequantized(&levels, &scale, zero.as_deref(), axis)?, scale))
}

/// Input `place` of `node`, in products of a level of `node`'s input 0 and one of its weights.
fn integer_bias<'a>(
    on: &Lowering<'a>,
    node: Node<'a>,
    place: usize,
    scales: &Constant,
    outputs: usize,
) -> Fallible<Option<Vec<f32>>> {
    let Some(bias) = on.optional(node, place)? else { return Ok(None) };
    let (sums, scales) = (bias.integers()?, scales.floats()?);
    if sums.len() != outputs {
        return Err(format!("a bias of shape {:?} for {outputs} outputs", bias.shape));
    }
    let own = f64::from(on.constant(node, 1)?.scalar()?);
    let of = |(output, &sum): (usize, &i64)| {
        (sum as f64 * own * f64::from(scales[output % scales.len()])) as f32
    };
    Ok(Some(sums.iter().enumerate().map(of).collect()))
}

fn integer_conv<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Value> {
    let own = floats_at(on, node, 0)?.in_order()?;
    let (weight, scales) = integer_weights(on, node, 0)?;
    let outputs = weight.shape.first().copied().unwrap_or(0);
    let bias = integer_bias(on, node, 8, &scales, outputs)?;
    let name = layer_name(node, None);
    let made = products::conv_of(on, node, own, &weight, (name, bias))?;
    levels(on, node, made, 6)
}

/// A matrix product with a bias at input `bias`; the scale of the output is input `place`, without
/// which it is floats, and its zero point is the next.
fn integer_product<'a>(
    on: &mut Lowering<'a>,
    node: Node<'a>,
    place: usize,
    bias: Option<usize>,
) -> Fallible<Value> {
    let is_gemm = bias.is_some();
    if is_gemm && node.integer("transA", 0)? != 0 {
        return Err("transA is not supported".into());
    }
    let is_transposed = is_gemm && node.integer("transB", 0)? != 0;
    let alpha = if is_gemm { node.real("alpha", 1.0)? } else { 1.0 };
    let own = floats_at(on, node, 0)?.unpadded()?;
    let axis = if is_transposed { 0 } else { 1 };
    let (weight, scales) = integer_weights(on, node, axis)?;
    let outputs = weight.shape.get(axis).copied().unwrap_or(0);
    let bias = match bias {
        Some(place) => integer_bias(on, node, place, &scales, outputs)?,
        None => None,
    };
    let bias = bias.map(|own| own.into_iter().map(|value| value * alpha).collect());
    let name = layer_name(node, None);
    let made = products::linear(on, name, &own, &weight, (is_transposed, alpha), bias)?;
    match node.input(place) {
        Some(_) => levels(on, node, made, place),
        None => Ok(Value::Live(made)),
    }
}

fn integers_of_two<'a>(on: &mut Lowering<'a>, node: Node<'a>, operator: &str) -> Fallible<Value> {
    let first = floats_at(on, node, 0)?.unpadded()?;
    let second = floats_at(on, node, 3)?.unpadded()?;
    let name = layer_name(node, None);
    let made = match operator {
        "QLinearAdd" => arithmetic::add(on, name, &[first, second])?,
        _ => arithmetic::product(on, name, &first, &second)?,
    };
    levels(on, node, made, 6)
}

fn integer_mean<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Value> {
    if node.integer("channels_last", 0)? != 0 {
        return Err("channels_last is not supported".into());
    }
    let own = floats_at(on, node, 0)?.unpadded()?.in_order()?;
    let made = pools::pool_plane(on, node, &own, false)?;
    levels(on, node, made, 3)
}

fn integer_function<'a>(on: &mut Lowering<'a>, node: Node<'a>, operator: &str) -> Fallible<Value> {
    let own = floats_at(on, node, 0)?.unpadded()?;
    let function = match operator {
        "QLinearSigmoid" => ActivationFunction::Sigmoid,
        _ => ActivationFunction::LeakyRelu { slope: node.real("alpha", 0.01)? },
    };
    let made = on.activate(layer_name(node, None), function, &own)?;
    levels(on, node, made, 3)
}

fn integer_concat<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<Value> {
    let mut parts = Vec::new();
    for first in (2..node.0.input.len()).step_by(3) {
        parts.push(floats_at(on, node, first)?.unpadded()?);
    }
    let made = axes::concat_of(on, node, &parts)?;
    levels(on, node, made, 0)
}
