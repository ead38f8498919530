//! A network as plain data, worked out once: operations, the values between them, and the
//! parameters with their places. No GPU, no files.
//!
//! [`Graph::new`] lowers a configuration. What comes after it reads the graph and derives nothing
//! anew: which bits a layer has, what its shapes are, which activation its input carries, what
//! stands behind it.

mod ids;
mod lower;
mod memory;
mod op;
mod parameters;
pub mod plan;
pub mod rewrite;
mod value;

pub use ids::{OpId, ValueId};
pub use memory::{Lifetime, Memory, place};
pub use op::{Activation, BatchNorm, Op, OpKind, Prelu, Weights};
pub use parameters::{Parameter, ParameterId, ParameterLayout, ParameterRole};
pub use value::{Value, ValueQuantizer};

use crate::{
    Error, Result,
    config::{NetworkConfig, QuantizationConfig, Shape},
};

/// A network: operations in an order in which they can be computed.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Number of classes: channels of the output.
    pub classes: u32,
    /// Operations, each behind those whose values it reads.
    pub ops: Vec<Op>,
    /// All tensors between operations; the first is the images.
    pub values: Vec<Value>,
    /// The logits.
    pub output: ValueId,
    /// Where each parameter lives in the flat array.
    pub layout: ParameterLayout,
}

impl Graph {
    /// The images.
    pub const INPUT: ValueId = ValueId::IMAGES;

    /// The graph of `network` with `quantization`.
    ///
    /// # Errors
    /// [`Error::Model`] where shapes do not fit, names repeat, or there are more than 2^28
    /// parameters; [`Error::Settings`] for bits that a quantizer does not have.
    pub fn new(network: &NetworkConfig, quantization: &QuantizationConfig) -> Result<Graph> {
        let lower::Lowered { ops, values, output, layout } = lower::lower(network, quantization)?;
        Ok(Graph { classes: network.classes, ops, values, output, layout })
    }

    /// The operation `id`.
    pub fn op(&self, id: OpId) -> &Op {
        &self.ops[id.0]
    }

    /// The value `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Shape of the images.
    pub fn input(&self) -> Shape {
        self.value(Graph::INPUT).shape
    }

    /// Shape of the first value that `op` reads.
    pub fn input_of(&self, op: &Op) -> Shape {
        self.value(op.inputs[0]).shape
    }

    /// Shape of the value that `op` makes.
    pub fn output_of(&self, op: &Op) -> Shape {
        self.value(op.output).shape
    }

    /// The operation that makes the first value that `op` reads; none where that is the images.
    pub fn before(&self, op: &Op) -> Option<&Op> {
        self.value(op.inputs[0]).producer.map(|id| self.op(id))
    }

    /// Whether it computes something else in training than in inference: dropout and batch norms
    /// do.
    pub fn differs_in_inference(&self) -> bool {
        self.ops.iter().any(|op| match op.kind {
            OpKind::Dropout { rate, .. } => rate > 0.0,
            OpKind::BatchNorm(_) => true,
            _ => false,
        })
    }

    /// Whether it is linear in the images between kinks.
    pub fn is_piecewise_linear(&self) -> bool {
        self.bent().is_none()
    }

    /// The first operation that is not linear in what it reads between kinks: a product of two
    /// values, or a function like tanh.
    pub fn bent(&self) -> Option<&Op> {
        self.ops.iter().find(|op| match &op.kind {
            OpKind::Multiply => true,
            OpKind::Activation(activation) => !activation.function.is_piecewise_linear(),
            _ => false,
        })
    }

    /// The operation that reads what `op` makes, where it is the only one.
    pub fn behind(&self, op: &Op) -> Option<&Op> {
        match self.value(op.output).consumers[..] {
            [only] => Some(self.op(only)),
            _ => None,
        }
    }

    /// Convolutions and fully connected layers with their weights, in order.
    pub fn weighted(&self) -> impl Iterator<Item = (&Op, &Weights)> {
        self.ops.iter().filter_map(|op| Some((op, op.kind.weights()?)))
    }

    /// Activations, in order.
    pub fn activations(&self) -> impl Iterator<Item = (&Op, &Activation)> {
        self.ops.iter().filter_map(|op| match &op.kind {
            OpKind::Activation(activation) => Some((op, activation)),
            _ => None,
        })
    }

    /// The operation called `name`.
    pub fn find(&self, name: &str) -> Option<&Op> {
        self.ops.iter().find(|op| op.name == name)
    }

    /// The parameter `id`.
    pub fn parameter(&self, id: ParameterId) -> &Parameter {
        &self.layout.parameters[id.0]
    }

    /// The values of parameter `id` in the flat array `all`.
    ///
    /// # Errors
    /// [`Error::Model`] that names it, where `all` is too short to hold it.
    pub fn values_of<'a, T>(&self, id: ParameterId, all: &'a [T]) -> Result<&'a [T]> {
        let parameter = self.parameter(id);
        let short = || {
            Error::Model(format!("{} is not among the {} parameters", parameter.name, all.len()))
        };
        all.get(parameter.range()).ok_or_else(short)
    }
}
