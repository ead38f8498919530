//! Operators on integers as the operators on floats that the standard defines them by.

use std::collections::HashMap;

use super::{
    graph::integer,
    schema::{AttributeProto, NodeProto},
    tensor::{Elements, Tensor, bad},
};
use crate::Result;

/// What is left where every operator is one on floats.
pub(super) struct Expansion {
    pub nodes: Vec<NodeProto>,
    /// How far rounding to an integer moved each number of a bias at most, by the bias's name.
    pub moved_biases: HashMap<String, Vec<f64>>,
}

/// `nodes` with QLinearConv and QGemm as DequantizeLinear, Conv or Gemm, Add and QuantizeLinear.
/// The biases, which are of integers, join `constants` as floats.
///
/// # Errors
/// [`crate::Error::Model`] for inputs that do not fit.
pub(super) fn expanded(
    nodes: Vec<NodeProto>,
    constants: &mut HashMap<String, Tensor>,
) -> Result<Expansion> {
    let mut expansion = Expansion { nodes: Vec::new(), moved_biases: HashMap::new() };
    for node in nodes {
        match node.op_type() {
            "QLinearConv" => expansion.layer(&node, ("Conv", [6, 7], 8), constants)?,
            "QGemm" => expansion.layer(&node, ("Gemm", [7, 8], 6), constants)?,
            _ => expansion.nodes.push(node),
        }
    }
    Ok(expansion)
}

impl Expansion {
    /// Adds `node` as `operator`, with the scale and the zero point of its output and its bias at
    /// these inputs.
    fn layer(
        &mut self,
        node: &NodeProto,
        (operator, to, bias): (&str, [usize; 2], usize),
        constants: &mut HashMap<String, Tensor>,
    ) -> Result<()> {
        let given = |at: usize| node.input.get(at).filter(|name| !name.is_empty());
        let needed = |at: usize| {
            given(at).cloned().ok_or_else(|| bad(format!("{}: no input {at}", node.name())))
        };
        let [output] = &node.output[..] else {
            return Err(bad(format!("{} with several outputs", node.op_type())));
        };
        let base = output.strip_suffix("/output").unwrap_or(output);
        let part = |part: &str| format!("{base}/{part}");
        let scales =
            constants.get(&needed(4)?).ok_or_else(|| bad("a scale that is no constant"))?;
        let (scales, per_channel) = (scales.real()?.to_vec(), !scales.shape.is_empty());
        let axis = if per_channel { vec![integer("axis", 0)] } else { Vec::new() };
        let [value, weight, mut sum] = ["value", "weight", "sum"].map(part);
        let read = [needed(0)?, needed(1)?, needed(2)?];
        self.push("DequantizeLinear", part("from"), (read.to_vec(), value.clone()), Vec::new());
        let read = [needed(3)?, needed(4)?, needed(5)?];
        self.push("DequantizeLinear", part("weights"), (read.to_vec(), weight.clone()), axis);
        let quantizes = given(to[0]).is_some();
        let is_last = given(bias).is_none() && !quantizes;
        if is_last {
            sum = output.clone();
        }
        let inputs = vec![value, weight];
        self.push(operator, node.name().into(), (inputs, sum.clone()), node.attribute.clone());
        if let Some(bias) = given(bias) {
            let step =
                constants.get(&needed(1)?).ok_or_else(|| bad("a scale that is no constant"))?;
            let step = step.scalar()?;
            let own = constants.get(bias).ok_or_else(|| bad("a bias that is no constant"))?;
            let levels = own.whole()?.1;
            let steps: Vec<f64> =
                (0..levels.len()).map(|at| step * scales[at % scales.len().max(1)]).collect();
            let values = levels.iter().zip(&steps).map(|(&level, step)| level as f64 * step);
            let mut shape = vec![levels.len()];
            if operator == "Conv" {
                shape.extend([1, 1]);
            }
            let tensor = Tensor { shape, elements: Elements::Real(values.collect()) };
            self.moved_biases.insert(part("bias"), steps.iter().map(|step| step / 2.0).collect());
            constants.insert(part("bias"), tensor);
            let biased = part("biased");
            self.push(
                "Add",
                part("add_bias"),
                (vec![sum, part("bias")], biased.clone()),
                Vec::new(),
            );
            sum = biased;
        }
        if quantizes {
            let inputs = vec![sum, needed(to[0])?, needed(to[1])?];
            self.push("QuantizeLinear", base.into(), (inputs, output.clone()), Vec::new());
        }
        Ok(())
    }

    fn push(
        &mut self,
        operator: &str,
        name: String,
        (input, output): (Vec<String>, String),
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            input,
            output: vec![output],
            name: Some(name),
            op_type: Some(operator.into()),
            attribute,
            domain: None,
        });
    }
}
