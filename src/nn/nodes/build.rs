//! How a network's nodes are made of its graph: a node an operation, but for activations and
//! max-pools that are part of the node before.

use std::collections::HashMap;

use super::{BatchNorm, JoinedPool, Node, NodeKind, Weights, node::format_of};
use crate::{
    Error, Result,
    config::{Precision, Shape},
    gpu::{Buffer, Gpu},
    graph::{
        self, Graph, Op, OpKind, ValueId,
        plan::Source,
        rewrite::{self, Group},
    },
    kernels::{
        AveragePoolShape, BackwardLayout, Geometry, GroupedShape, PoolShape, PreluShape,
        WeightShape,
    },
    layout::groups,
    nn::{ConvolutionFamily, TileTable},
    quant::ActivationPlan,
    storage::{Format, Storage},
};

/// What a network is made for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkOptions {
    /// Images that the buffers hold.
    pub slots: u32,
    /// Whether weight gradients will be asked for.
    pub training: bool,
    /// Whether any gradient will be asked for.
    pub gradients: bool,
    /// How activations between layers and their gradients are stored.
    pub precision: Precision,
    /// Whether the second half of the slots is for masked images, which come after the gradients
    /// with respect to the first half's images were used: until then these lie there.
    pub masked: bool,
    /// Images whose gradients with respect to the images will be differentiated by the weights; 0
    /// for none.
    pub tangents: u32,
}

impl NetworkOptions {
    /// Whether max-pools can be part of the convolutions in front of them: nobody else reads what a
    /// network makes in between that trains, and tangents have a kernel each.
    fn keeps_windows_only(self) -> bool {
        self.training && self.gradients && self.tangents == 0
    }
}

/// How a network is put together for attribution, beside [`NetworkOptions`].
#[derive(Clone, Debug, Default)]
pub(in crate::nn) struct Assembly {
    /// Parameters of another network to work with.
    pub parameters: Option<Buffer>,
    /// Every activation is a node of its own, so that its input is kept.
    pub layer_by_layer: bool,
}

/// The nodes of `graph`, which reads the images in `input`.
///
/// # Errors
/// [`crate::Error::OutOfMemory`].
pub(in crate::nn) fn build(
    gpu: &Gpu,
    graph: &Graph,
    input: &Buffer,
    tiles: &TileTable,
    (options, layer_by_layer): (NetworkOptions, bool),
) -> Result<Vec<Node>> {
    let mut builder = Builder {
        gpu,
        graph,
        tiles,
        options,
        layer_by_layer,
        folded: None,
        nodes: Vec::new(),
        made: HashMap::new(),
        images: input,
    };
    let joined = rewrite::join(graph, !layer_by_layer, |op| builder.takes_pool(op));
    for group in joined {
        builder.add(group)?;
    }
    let mut nodes = builder.nodes;
    for index in 0..nodes.len() {
        let reads = nodes.iter().enumerate().flat_map(|(other, node)| {
            node.sources.iter().filter(|source| **source == Source::Step(index)).map(move |_| other)
        });
        let readers: Vec<usize> = reads.take(2).collect();
        nodes[index].reader = readers.first().copied().filter(|_| readers.len() == 1);
    }
    Ok(nodes)
}

/// Nodes in the making.
struct Builder<'a> {
    gpu: &'a Gpu,
    graph: &'a Graph,
    tiles: &'a TileTable,
    options: NetworkOptions,
    layer_by_layer: bool,
    /// Flat like the parameters; weights scaled by the batch norms behind them. Absent where none
    /// are.
    folded: Option<Buffer>,
    nodes: Vec<Node>,
    /// The nodes that make values.
    made: HashMap<ValueId, usize>,
    images: &'a Buffer,
}

impl<'a> Builder<'a> {
    /// Adds the node of `group`: others may stand between its operations in the list.
    fn add(&mut self, group: Group) -> Result<()> {
        let op = self.graph.op(group.op);
        let read_id = op.inputs[0];
        let made = |id: &ValueId| match self.made.get(id) {
            Some(&at) => Ok(Source::Step(at)),
            None if *id == Graph::INPUT => Ok(Source::Images),
            None => Err(Error::Model(format!("{} reads what no layer in front makes", op.name))),
        };
        let sources: Vec<Source> = op.inputs.iter().map(made).collect::<Result<_>>()?;
        let source = sources[0].step();
        let input = self.graph.value(read_id).shape;
        let (read, format) = match source.map(|index| &self.nodes[index]) {
            Some(node) => (node.value.clone(), node.storage.output),
            None => (self.images.clone(), Format::F32),
        };
        let mut kind = self.kind(op, source)?;
        let activation = group.activation.map(|id| self.graph.op(id));
        if let (Some(own), NodeKind::Convolution { pool, .. }) = (group.pool, &mut kind) {
            let front = self.graph.output_of(activation.unwrap_or(op));
            let choice = self.choice(self.graph.output_of(self.graph.op(own)))?;
            *pool = Some(JoinedPool { map: front, choice });
        }
        let activation_name = activation.map(|own| own.name.clone());
        let activation = match activation.map(|own| &own.kind) {
            Some(OpKind::Activation(activation)) => activation.plan,
            _ => ActivationPlan::NONE,
        };
        let last = self.graph.op(group.last());
        let output = self.graph.output_of(last);
        let stored = if op.kind.is_in_place() { format } else { self.output_format(last) };
        let elements = u64::from(output.pixels() * groups(output.channels));
        let size = u64::from(self.options.slots) * elements * stored.group_bytes();
        let pre_activation = match kind {
            NodeKind::Prelu(_) => Some(read.clone()),
            _ if activation.is_derived_from_output() => None,
            NodeKind::Activation => Some(read.clone()),
            _ => Some(self.gpu.buffer("pre-activations", size)?),
        };
        let value = match kind {
            NodeKind::Dropout { .. } | NodeKind::Flatten if self.is_only_reader(op) => read,
            _ => self.gpu.buffer("activations", size)?,
        };
        let levels = self.graph.value(read_id).quantizer;
        let entering = |(id, source): (&ValueId, &Source)| {
            (self.graph.value(*id).shape, format_of(*source, &self.nodes))
        };
        let inputs = op.inputs.iter().zip(&sources).map(entering).collect();
        for part in [Some(group.op), group.activation, group.pool].into_iter().flatten() {
            self.made.insert(self.graph.op(part).output, self.nodes.len());
        }
        self.nodes.push(Node {
            name: op.name.clone(),
            activation_name,
            kind,
            sources,
            reader: None,
            input,
            inputs,
            output,
            storage: Storage { input: format, output: stored, state: stored },
            activation,
            value,
            input_levels: levels.map_or(ActivationPlan::NONE, |own| own.plan),
            pre_activation,
            gradient_by_pool: false,
        });
        Ok(())
    }

    /// Kind of the node of `op`.
    fn kind(&mut self, op: &Op, source: Option<usize>) -> Result<NodeKind> {
        let (input, output) = (self.graph.input_of(op), self.graph.output_of(op));
        Ok(match &op.kind {
            &OpKind::Convolution { window, groups: sets, ref weights } => {
                let shape = GroupedShape { input, output, window, sets };
                let is_dense = ConvolutionFamily::of(shape) == ConvolutionFamily::Dense;
                // The gradient of a narrow input, and that of a grouped convolution, have kernels
                // that read the forward pass's copy.
                let copied = self.options.gradients && is_dense && groups(input.channels) > 1;
                let layout = copied.then_some(BackwardLayout::TapsFirst);
                let [inputs, _] = shape.set_channels();
                let weights = self.weights(weights, (inputs, !is_dense), output, layout)?;
                NodeKind::Convolution { weights, window, sets, pool: None }
            }
            OpKind::Linear { weights } => {
                let [inputs, outputs] =
                    [input, output].map(|shape| shape.pixels() * groups(shape.channels));
                let geometry = Geometry::fully_connected(outputs, inputs);
                let copied = self.options.gradients && self.tiles.product_of(geometry).is_some();
                let layout = copied.then_some(BackwardLayout::OutputsFirst);
                NodeKind::FullyConnected {
                    weights: self.weights(weights, (input.channels, false), output, layout)?,
                }
            }
            OpKind::BatchNorm(norm) => {
                let front = self.graph.before(op).and_then(|front| front.kind.weights());
                let is_behind = front.is_some_and(|front| front.norm == Some(op.id));
                NodeKind::BatchNorm(self.batch_norm(norm, source.filter(|_| is_behind), output)?)
            }
            OpKind::Activation(_) => NodeKind::Activation,
            OpKind::Prelu(own) => {
                let slope = self.graph.parameter(own.slope);
                let (slope_index, per_channel) = (slope.offset, slope.len() > 1);
                NodeKind::Prelu(PreluShape { shape: output, slope_index, per_channel })
            }
            &OpKind::MaxPool(pool) => {
                let shape = PoolShape::of_maxima(input, output, pool);
                self.max_pool(shape, source.filter(|_| self.is_only_reader(op)))?
            }
            &OpKind::AveragePool(pool) => {
                NodeKind::AveragePool(AveragePoolShape { input, output, pool })
            }
            &OpKind::Dropout { rate, stream } => NodeKind::Dropout { rate, stream },
            OpKind::Add => NodeKind::Add,
            OpKind::Multiply => NodeKind::Multiply,
            OpKind::Concat => NodeKind::Concat,
            OpKind::Flatten => NodeKind::Flatten,
        })
    }

    /// Whether nobody else reads what `op` reads first.
    fn is_only_reader(&self, op: &Op) -> bool {
        self.graph.value(op.inputs[0]).consumers.len() == 1
    }

    /// Buffers of the weights `own` of a layer that makes `output` of sums over `inputs`, which are
    /// `grouped` or all that there are.
    fn weights(
        &self,
        own: &graph::Weights,
        (inputs, grouped): (u32, bool),
        output: Shape,
        layout: Option<BackwardLayout>,
    ) -> Result<Weights> {
        let offset = |id| self.graph.parameter(id).offset;
        let shape = WeightShape {
            out_channels: output.channels,
            in_channels: inputs,
            grouped,
            taps: own.taps,
            weight_index: offset(own.weight),
            bias_index: own.bias.map(offset),
        };
        Weights::new(self.gpu, shape, layout, own.step.map(offset), own.quantizer)
    }

    /// A batch norm. The weights of the node `source` right in front of it are scaled by it where
    /// they are quantized.
    fn batch_norm(
        &mut self,
        norm: &graph::BatchNorm,
        source: Option<usize>,
        output: Shape,
    ) -> Result<BatchNorm> {
        let front = source.and_then(|index| self.nodes[index].weights_mut());
        let quantized = front.filter(|weights| weights.quantizer.is_active());
        let is_folded = quantized.is_some();
        if let Some(weights) = quantized {
            let folded = match &self.folded {
                Some(folded) => folded.clone(),
                None => {
                    let length = u64::from(self.graph.layout.padded_length());
                    self.gpu.buffer("folded weights", length * 4)?
                }
            };
            weights.folded = Some(folded.clone());
            self.folded = Some(folded);
        }
        let slots = self.options.training.then_some(self.options.slots);
        BatchNorm::new(self.gpu, self.graph, norm, output, is_folded, slots)
    }

    /// A max-pool, which takes the derivative of the activation in front of it along on the way
    /// back.
    fn max_pool(&mut self, shape: PoolShape, source: Option<usize>) -> Result<NodeKind> {
        let choice = self.choice(shape.output)?;
        if let Some(front) = source.map(|index| &mut self.nodes[index]) {
            front.gradient_by_pool = front.activation != ActivationPlan::NONE;
        }
        Ok(NodeKind::MaxPool { shape, choice })
    }

    /// Whether the max-pool behind the convolution `op` can be part of its node.
    fn takes_pool(&self, op: &Op) -> bool {
        let OpKind::Convolution { window, groups: sets, .. } = op.kind else { return false };
        let (input, output) = (self.graph.input_of(op), self.graph.output_of(op));
        let shape = GroupedShape { input, output, window, sets };
        self.options.keeps_windows_only()
            && !self.layer_by_layer
            && ConvolutionFamily::of(shape) == ConvolutionFamily::Dense
            && self.tiles.joins_pool(window, groups(input.channels))
    }

    /// Room for the positions of the maxima of a max-pool.
    fn choice(&self, output: Shape) -> Result<Buffer> {
        let elements = u64::from(output.pixels() * groups(output.channels));
        self.gpu.buffer("pooling choices", u64::from(self.options.slots) * elements * 4)
    }

    /// Format of what `last` puts out, the last operation of a node that is not in place.
    /// Operations that replace values or gradients in place have the format of what they replace,
    /// so that logits are f32 whatever of these stands behind.
    fn output_format(&self, last: &Op) -> Format {
        let mut op = last;
        loop {
            match self.graph.behind(op) {
                Some(next) if next.kind.is_in_place() => op = next,
                None if op.output == self.graph.output => return Format::F32,
                _ => return Format::of_values(self.options.precision),
            }
        }
    }
}
