//! How a network's nodes are made from its configuration: a node a layer, but for activations and
//! max-pools that are part of the node before.

use super::{Network, NetworkOptions, bytes};
use crate::{
    Error, Result,
    config::{MAX_POOL_KERNEL, Shape},
    gpu::{Buffer, Gpu},
    graph::{self, Graph, Op, OpKind, Window},
    layout::groups,
    nn::{
        batch_norm::BatchNorm,
        node::{JoinedPool, Node, NodeKind, Weights},
    },
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// A network whose nodes are being made, and where in the configuration that is.
pub(super) struct NodeBuilder<'a> {
    network: &'a mut Network,
    gpu: &'a Gpu,
    graph: &'a Graph,
    options: NetworkOptions,
    /// The next operation.
    index: usize,
    /// Shape and format of what comes in, and the activation whose values it is.
    shape: Shape,
    format: Format,
    input_activation: ActivationPlan,
}

impl<'a> NodeBuilder<'a> {
    /// Nothing made yet: what comes in are the images.
    pub fn new(
        network: &'a mut Network,
        gpu: &'a Gpu,
        graph: &'a Graph,
        options: NetworkOptions,
    ) -> NodeBuilder<'a> {
        NodeBuilder {
            network,
            gpu,
            graph,
            options,
            index: 0,
            shape: graph.input(),
            format: Format::F32,
            input_activation: ActivationPlan::NONE,
        }
    }

    /// Makes all nodes.
    pub fn build(mut self) -> Result<()> {
        while self.index < self.graph.ops.len() {
            self.add_node()?;
        }
        Ok(())
    }

    /// The operation behind the next one, where it is the only reader of what that makes.
    fn behind(&self) -> Option<&'a Op> {
        self.graph.behind(&self.graph.ops[self.index])
    }

    fn add_node(&mut self) -> Result<()> {
        let op = &self.graph.ops[self.index];
        let name = op.name.clone();
        let mut output = self.graph.output_of(op);
        let mut kind = self.kind(op, output)?;
        let (activation_name, activation) = self.activation(op);
        if let NodeKind::Convolution { pool, stride, .. } = &mut kind
            && let Some(joined) = self.joined_pool(*stride, output)?
        {
            output = self.graph.output_of(&self.graph.ops[self.index]);
            *pool = Some(joined);
        }
        self.index += 1;
        let in_place = matches!(
            kind,
            NodeKind::BatchNorm(_) | NodeKind::Activation | NodeKind::Dropout { .. }
        );
        let format = if in_place { self.format } else { self.output_format() };
        let size = bytes(self.options.slots, output.pixels() * groups(output.channels), format);
        let value = match kind {
            NodeKind::Dropout { .. } => self.last_value(),
            _ => self.gpu.buffer("activations", size)?,
        };
        let pre_activation = match kind {
            _ if !activation.is_pact() => None,
            NodeKind::Activation => Some(self.last_value()),
            _ => Some(self.gpu.buffer("pre-activations", size)?),
        };
        // A maximum is one of the values.
        let next = if matches!(kind, NodeKind::MaxPool { .. }) {
            self.input_activation
        } else {
            activation
        };
        self.network.nodes.push(Node {
            name,
            activation_name,
            kind,
            input: self.shape,
            output,
            storage: Storage { input: self.format, output: format, state: format },
            activation,
            value,
            input_activation: self.input_activation,
            pre_activation,
            gradient_by_pool: false,
        });
        (self.shape, self.format, self.input_activation) = (output, format, next);
        Ok(())
    }

    /// Kind of the node of `op`.
    fn kind(&mut self, op: &Op, output: Shape) -> Result<NodeKind> {
        Ok(match &op.kind {
            OpKind::Convolution { window, weights } => {
                let Window { kernel, stride, padding } = *window;
                let weights = self.weights(weights, output)?;
                NodeKind::Convolution { weights, kernel, stride, padding, pool: None }
            }
            OpKind::Linear { weights } => {
                NodeKind::FullyConnected { weights: self.weights(weights, output)? }
            }
            OpKind::BatchNorm(norm) => NodeKind::BatchNorm(self.batch_norm(norm, output)?),
            OpKind::Activation(_) => NodeKind::Activation,
            OpKind::MaxPool { kernel, stride } => {
                self.max_pool(&op.name, *kernel, *stride, output)?
            }
            OpKind::Dropout { rate, stream } => NodeKind::Dropout { rate: *rate, layer: *stream },
        })
    }

    /// Buffers of the weights `own` of a layer that puts out `output`.
    fn weights(&mut self, own: &graph::Weights, output: Shape) -> Result<Weights> {
        let offset = |id| self.graph.parameter(id).offset;
        let indices = [own.weight, own.bias].map(offset);
        let step = own.step.map(offset);
        Weights::new(self.gpu, self.shape, output, own.taps, indices, step, own.quantizer)
    }

    /// A batch norm. The weights in front of it are scaled by it where they are quantized.
    fn batch_norm(&mut self, norm: &graph::BatchNorm, output: Shape) -> Result<BatchNorm> {
        let last = self.network.nodes.last_mut().and_then(Node::weights_mut);
        let quantized = last.filter(|weights| weights.quantizer.is_active());
        let is_folded = quantized.is_some();
        if let Some(weights) = quantized {
            let folded = match &self.network.folded {
                Some(folded) => folded.clone(),
                None => {
                    let length = u64::from(self.graph.layout.padded_length());
                    self.gpu.buffer("folded weights", length * 4)?
                }
            };
            weights.folded = Some(folded.clone());
            self.network.folded = Some(folded);
        }
        let slots = self.options.training.then_some(self.options.slots);
        BatchNorm::new(self.gpu, self.graph, norm, output, is_folded, slots)
    }

    /// A max-pool, which takes the derivative of the activation in front of it along on the way
    /// back.
    fn max_pool(
        &mut self,
        name: &str,
        kernel: u32,
        stride: u32,
        output: Shape,
    ) -> Result<NodeKind> {
        if kernel > MAX_POOL_KERNEL {
            return Err(Error::Model(format!(
                "{name}: pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not {kernel}"
            )));
        }
        let choice = self.choice(output)?;
        if let Some(previous) = self.network.nodes.last_mut() {
            previous.gradient_by_pool = previous.activation != ActivationPlan::NONE;
        }
        Ok(NodeKind::MaxPool { kernel, stride, choice })
    }

    /// The activation that the kernel of `op` applies, and its name: `op` itself, or the operation
    /// behind, which is taken along.
    fn activation(&mut self, op: &Op) -> (Option<String>, ActivationPlan) {
        let applies = op.kind.weights().is_some() || matches!(op.kind, OpKind::BatchNorm(_));
        let (name, own) = match (&op.kind, self.behind()) {
            (OpKind::Activation(own), _) => (&op.name, own),
            (_, Some(Op { name, kind: OpKind::Activation(own), .. }))
                if applies && !self.network.layer_by_layer =>
            {
                self.index += 1;
                (name, own)
            }
            _ => return (None, ActivationPlan::NONE),
        };
        (Some(name.clone()), own.plan)
    }

    /// The max-pool behind a convolution that puts out `map`, where it is part of the convolution:
    /// it is taken along.
    fn joined_pool(&mut self, stride: u32, map: Shape) -> Result<Option<JoinedPool>> {
        let windows = OpKind::MaxPool { kernel: 2, stride: 2 };
        let is_pool = self.behind().is_some_and(|op| op.kind == windows);
        let joins = self.options.keeps_windows_only()
            && !self.network.layer_by_layer
            && self.network.tiles.joins_pool(stride, groups(self.shape.channels));
        if !is_pool || !joins {
            return Ok(None);
        }
        self.index += 1;
        let choice = self.choice(self.graph.output_of(&self.graph.ops[self.index]))?;
        Ok(Some(JoinedPool { map, choice }))
    }

    /// Room for the positions of the maxima of a max-pool.
    fn choice(&self, output: Shape) -> Result<Buffer> {
        let elements =
            u64::from(self.options.slots) * u64::from(output.pixels() * groups(output.channels));
        self.gpu.buffer("pooling choices", elements * 4)
    }

    /// Format of the output of a node in front of the layer at `index`. Layers that replace values
    /// or gradients in place have the format of what they replace, so that logits are f32 whatever
    /// of these stands behind them.
    fn output_format(&self) -> Format {
        let in_place = |op: &Op| {
            matches!(op.kind, OpKind::BatchNorm(_) | OpKind::Activation(_) | OpKind::Dropout { .. })
        };
        let makes_logits = self.graph.ops[self.index..].iter().all(in_place);
        if makes_logits { Format::F32 } else { Format::of_values(self.options.precision) }
    }

    /// What comes in.
    fn last_value(&self) -> Buffer {
        self.network.nodes.last().map_or(&self.network.input, |node| &node.value).clone()
    }
}
