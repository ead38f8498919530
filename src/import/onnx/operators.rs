//! What becomes of a node, by its operator.

use std::rc::Rc;

use super::{
    Fallible, arithmetic, axes,
    constant::{BATCH, Constant},
    fold::{self, Folding},
    functions, integers, levels,
    lowering::Lowering,
    node::Node,
    pools, products, selection,
    value::{GateKind, Value},
};
use crate::config::ActivationFunction;

/// Operators on values that depend on the images.
const OPERATORS: &str = "Add, AveragePool, BatchNormalization, Cast, Clip, Concat, Conv, Div, \
    Dropout, Flatten, Gather of channels, Gemm, GlobalAveragePool, GlobalMaxPool, HardSigmoid, \
    HardSwish, Identity, LeakyRelu, MatMul, MaxPool, Mul, PRelu, Pad, ReduceMax, ReduceMean, Relu, \
    Reshape, Sigmoid, Slice, Split, Squeeze, Sub, Sum, Swish, Tanh, Transpose, Unsqueeze, and at \
    the end Softmax and LogSoftmax";

/// Operators on levels, see `integers`.
const LEVEL_OPERATORS: &str = "QLinearConv, QLinearMatMul, and of com.microsoft QGemm, \
    QLinearAdd, QLinearAveragePool, QLinearConcat, QLinearGlobalAveragePool, QLinearLeakyRelu, \
    QLinearMul and QLinearSigmoid";

/// Takes `node` in.
pub(super) fn node<'a>(on: &mut Lowering<'a>, node: Node<'a>) -> Fallible<()> {
    if let Some(taken) = integers::node(on, node) {
        return taken;
    }
    let operator = node.operator();
    let inputs: Vec<Option<Value>> = (0..node.0.input.len())
        .map(|index| node.input(index).map(|name| on.raw(name)).transpose())
        .collect::<Fallible<_>>()?;
    let constants: Option<Vec<Option<&Constant>>> = inputs
        .iter()
        .map(|input| match input {
            None => Some(None),
            Some(Value::Constant(constant)) => Some(Some(&**constant)),
            Some(_) => None,
        })
        .collect();
    let is_standard = !operator.contains("::");
    let value = match constants {
        Some(constants) if is_standard && (!constants.is_empty() || operator == "Constant") => {
            let mut folding = Folding { beside: on.beside, budget: &mut on.budget };
            Value::Constant(Rc::new(folding.compute(node, &constants)?))
        }
        _ if operator == "Split" => {
            let parts = selection::split(on, node)?;
            on.values.extend(parts);
            return Ok(());
        }
        _ => live_node(on, node, &operator)?,
    };
    on.values.insert(node.output()?, value);
    Ok(())
}

fn live_node<'a>(on: &mut Lowering<'a>, node: Node<'a>, operator: &str) -> Fallible<Value> {
    let moves = ["MaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"];
    if moves.contains(&operator)
        && let Value::Quantized(own) = on.raw(node.needed(0)?)?
    {
        return levels::moved_levels(on, node, operator, own);
    }
    let live = match operator {
        "Shape" => {
            let live = on.live(node, 0)?.unpadded()?;
            let size = |index: usize| match live.layout.is_batch(index) {
                true => on.batch.unwrap_or(BATCH),
                false => live.layout.size(index, live.shape) as i64,
            };
            let sizes: Vec<i64> = (0..live.layout.rank()).map(size).collect();
            return Ok(Value::Constant(Rc::new(fold::shape_of(node, &sizes)?)));
        }
        "Identity" => return on.raw(node.needed(0)?),
        "Cast" => {
            if !fold::is_float(node.integer("to", 0)?)? {
                return Err("it makes integers of what depends on the images".into());
            }
            return on.raw(node.needed(0)?);
        }
        "Dropout" => {
            let training = on.optional(node, 2)?;
            if training.is_some_and(|own| own.scalar() != Ok(0.0)) {
                return Err("it drops out in inference too (training_mode)".into());
            }
            return on.raw(node.needed(0)?);
        }
        "Softmax" | "LogSoftmax" => functions::softmax(on, node)?,
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => {
            return axes::relaid(on, node, operator);
        }
        "Relu" => functions::activation(on, node, ActivationFunction::Relu)?,
        "Tanh" => functions::activation(on, node, ActivationFunction::Tanh)?,
        "LeakyRelu" => {
            let slope = node.real("alpha", 0.01)?;
            functions::activation(on, node, ActivationFunction::LeakyRelu { slope })?
        }
        "PRelu" => functions::prelu(on, node)?,
        "HardSwish" => functions::activation(on, node, ActivationFunction::HardSwish)?,
        "Swish" => match node.real("alpha", 1.0)? {
            1.0 => functions::activation(on, node, ActivationFunction::Silu)?,
            alpha => return Err(format!("its alpha is {alpha}; 1 is supported")),
        },
        "Sigmoid" => return functions::gate(on, node, GateKind::Sigmoid),
        "HardSigmoid" => {
            let alpha = f64::from(node.real("alpha", 0.2)?);
            let beta = f64::from(node.real("beta", 0.5)?);
            return functions::gate(on, node, GateKind::Hard { alpha, beta });
        }
        "QuantizeLinear" => return levels::quantize(on, node),
        "DequantizeLinear" => levels::dequantize(on, node)?,
        "Clip" => {
            if let Value::Quantized(own) = on.raw(node.needed(0)?)? {
                return levels::clip_levels(on, node, own);
            }
            functions::clip(on, node)?
        }
        "Add" | "Sub" | "Mul" | "Div" => arithmetic::arithmetic(on, node, operator)?,
        "Sum" => arithmetic::sum(on, node)?,
        "Concat" => axes::concat(on, node)?,
        "Pad" => axes::pad(on, node)?,
        "Slice" => selection::slice(on, node)?,
        "Gather" => selection::gather(on, node)?,
        "Conv" => products::conv(on, node)?,
        "Gemm" => products::gemm(on, node)?,
        "MatMul" => products::mat_mul(on, node)?,
        "BatchNormalization" => products::batch_norm(on, node)?,
        "MaxPool" => pools::max_pool(on, node)?,
        "AveragePool" => pools::average_pool(on, node)?,
        "GlobalAveragePool" | "GlobalMaxPool" => {
            let own = on.live(node, 0)?.unpadded()?.in_order()?;
            pools::pool_plane(on, node, &own, operator == "GlobalMaxPool")?
        }
        "ReduceMean" | "ReduceMax" => pools::reduce(on, node, operator == "ReduceMax")?,
        _ => {
            return Err(format!(
                "operator {operator} is not supported; supported: {OPERATORS}; of levels \
                 {LEVEL_OPERATORS}; of constants also {}",
                fold::OPERATORS
            ));
        }
    };
    Ok(Value::Live(live))
}
