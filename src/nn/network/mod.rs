//! A sequential CNN on the GPU: its parameters, nodes and buffers, and what can be read of them.

mod backward;
mod buffers;
mod forward;
mod nodes;

use std::sync::Arc;

use nodes::NodeBuilder;

use super::{
    ProductShape, TileTable,
    batch_norm::BatchNorm,
    choices,
    chunks::BackwardPlan,
    node::{Node, NodeKind},
    weighted::{self, Pass},
};
use crate::{
    Error, Result,
    config::{NetworkConfig, Precision, QuantizationConfig, Shape},
    gpu::{Buffer, Gpu, Recording, Work},
    graph::Graph,
    kernels::ImageRange,
    kernels::flat_workgroups,
    layout::groups,
    quant::WeightQuantizerPlan,
    shaders::Specialization,
    storage::Format,
};

/// Invocations of a workgroup of the elementwise kernels.
pub(super) const ELEMENTWISE: u32 = 64;

/// A layer's weight quantizer with what it last computed.
#[derive(Clone, Copy, Debug)]
pub struct WeightQuantizerState<'a> {
    /// The layer.
    pub layer: &'a str,
    /// A vec4 of constants an output channel, as [`Network::record_weights`] last made them;
    /// padded.
    pub constants: &'a Buffer,
    /// Output channels.
    pub channels: u64,
    /// What the constants mean.
    pub quantizer: WeightQuantizerPlan,
}

/// A pass in training mode: dropout, and batch norms with the statistics of the batch. Passes
/// without one are for inference.
#[derive(Clone, Copy)]
pub struct TrainingPass<'a> {
    /// The current step's record (shaders/common/step.wgsl).
    pub step: &'a Buffer,
    /// Batches in the range that batch norms take apart: 2 where masked images stand behind the
    /// step's clean ones.
    pub batches: u32,
    /// The last step with the batch's statistics in batch norms; the running ones are frozen then
    /// and used from there on.
    pub freeze_after: Option<u64>,
}

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
}

impl NetworkOptions {
    /// Whether max-pools can be part of the convolutions in front of them: nobody else reads what a
    /// network makes in between that trains.
    fn keeps_windows_only(self) -> bool {
        self.training && self.gradients
    }
}

/// How a network is put together for attribution, beside [`NetworkOptions`].
#[derive(Clone, Debug, Default)]
pub(super) struct Assembly {
    /// Parameters of another network to work with.
    pub parameters: Option<Buffer>,
    /// Every activation is a node of its own, so that its input is kept.
    pub layer_by_layer: bool,
}

/// Buffers for the gradients on their way through the network.
struct GradientBuffers {
    plan: BackwardPlan,
    /// With respect to the logits, and to the images.
    logits: Buffer,
    input: Buffer,
    /// Those that exist for all images at once, and those that exist for a chunk of them: written
    /// in turns.
    whole: [Buffer; 2],
    chunk: [Buffer; 2],
    partial_sums: Buffer,
}

/// A network with its parameters and activations on the GPU.
pub struct Network {
    /// What it computes, and where each parameter is in the flat arrays.
    pub graph: Arc<Graph>,
    /// All parameters, flat.
    pub parameters: Buffer,
    /// Their gradients, flat.
    pub gradients: Buffer,
    /// The images, [image, row, column, channel / 4] vec4, normalised.
    pub input: Buffer,
    pub(super) nodes: Vec<Node>,
    backward: Option<GradientBuffers>,
    slots: u32,
    /// Flat like the parameters; weights scaled by the batch norms behind them. Absent where none
    /// are.
    folded: Option<Buffer>,
    tiles: TileTable,
    pub(super) layer_by_layer: bool,
}

/// `workgroups` spread over two dimensions.
pub(super) fn grid(workgroups: u32) -> [u32; 3] {
    flat_workgroups(u64::from(workgroups), 1)
}

/// Workgroups of an elementwise kernel over `elements` groups.
pub(crate) fn elementwise_grid(elements: u32) -> [u32; 3] {
    grid(elements.div_ceil(ELEMENTWISE))
}

fn bytes(slots: u32, elements: u32, format: Format) -> u64 {
    u64::from(slots) * u64::from(elements) * format.group_bytes()
}

impl Network {
    /// Allocates everything that the passes of `options` need; parameters are zero.
    ///
    /// # Errors
    /// [`Error::Model`] for a network that cannot be built, [`Error::OutOfMemory`] where it does
    /// not fit the adapter.
    pub fn new(
        gpu: &Gpu,
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        options: NetworkOptions,
    ) -> Result<Network> {
        Network::with_tiles(gpu, config, quantization, options, TileTable::new(gpu))
    }

    /// As [`Network::new`], with tile sizes other than the adapter's own.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn with_tiles(
        gpu: &Gpu,
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        options: NetworkOptions,
        tiles: TileTable,
    ) -> Result<Network> {
        Network::assemble(gpu, config, quantization, options, tiles, Assembly::default())
    }

    pub(super) fn assemble(
        gpu: &Gpu,
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        options: NetworkOptions,
        tiles: TileTable,
        assembly: Assembly,
    ) -> Result<Network> {
        let graph = Arc::new(Graph::new(config, quantization)?);
        let layout = &graph.layout;
        let input = gpu.buffer(
            "images",
            bytes(
                options.slots,
                config.input.pixels() * groups(config.input.channels),
                Format::F32,
            ),
        )?;
        let parameters = match assembly.parameters {
            Some(shared) => shared,
            None => gpu.buffer("parameters", u64::from(layout.padded_length()) * 4)?,
        };
        let mut network = Network {
            parameters,
            gradients: gpu.buffer("parameter gradients", u64::from(layout.padded_length()) * 4)?,
            graph: graph.clone(),
            input,
            nodes: Vec::new(),
            backward: None,
            slots: options.slots,
            folded: None,
            tiles,
            layer_by_layer: assembly.layer_by_layer,
        };
        NodeBuilder::new(&mut network, gpu, &graph, options).build()?;
        for node in &mut network.nodes {
            weighted::slice_weights(gpu, node, &network.tiles, options.gradients)?;
        }
        if options.gradients {
            let plan = network.backward_plan(options);
            if options.training {
                network.allocate_parts(gpu, plan)?;
            }
            network.backward = Some(network.gradient_buffers(gpu, plan)?);
        }
        Ok(network)
    }

    fn input_elements(&self) -> u32 {
        self.input_shape().pixels() * groups(self.input_shape().channels)
    }

    /// Bytes that must be kept from the forward pass for the backward pass, for all slots: the
    /// images, every layer's output, PACT's inputs and the choices of max-pooling, as far as the
    /// backward pass reads them.
    pub fn kept_bytes(&self) -> u64 {
        let nodes: u64 = (0..self.nodes.len())
            .map(|index| {
                let node = &self.nodes[index];
                let elements = u64::from(node.output_elements());
                let group_bytes = node.storage.output.group_bytes();
                // A pool in front of which there is PACT goes back through PACT's input alone.
                let by_input = node.pre_activation.is_some()
                    && self
                        .nodes
                        .get(index + 1)
                        .is_some_and(|next| matches!(next.kind, NodeKind::MaxPool { .. }));
                let own_input =
                    node.pre_activation.is_some() && !matches!(node.kind, NodeKind::Activation);
                match node.kind {
                    NodeKind::Dropout { .. } => 0,
                    NodeKind::MaxPool { .. } => (group_bytes + 4) * elements,
                    NodeKind::Convolution { pool: Some(_), .. } => {
                        (group_bytes * (1 + u64::from(own_input)) + 4) * elements
                    }
                    _ => group_bytes * elements * (u64::from(!by_input) + u64::from(own_input)),
                }
            })
            .sum();
        u64::from(self.slots) * (nodes + 16 * u64::from(self.input_elements()))
    }

    /// Bytes of the buffers that images and activations of all slots take, those for gradients not
    /// counted.
    pub fn activation_bytes(&self) -> u64 {
        let of = |node: &Node| {
            let own_input =
                node.pre_activation.as_ref().filter(|_| !matches!(node.kind, NodeKind::Activation));
            let choice = match &node.kind {
                NodeKind::MaxPool { choice, .. } => Some(choice),
                _ => None,
            };
            let value =
                Some(&node.value).filter(|_| !matches!(node.kind, NodeKind::Dropout { .. }));
            [value, own_input, choice].into_iter().flatten().map(Buffer::size).sum::<u64>()
        };
        self.input.size() + self.nodes.iter().map(of).sum::<u64>()
    }

    /// The matrix products of a training step on GPUs, under the labels of their dispatches.
    pub fn products(&self) -> Vec<(String, ProductShape)> {
        self.nodes
            .iter()
            .filter(|node| node.weights().is_some())
            .flat_map(choices::products)
            .collect()
    }

    /// Images that a backward pass takes at a time.
    pub fn chunk(&self) -> u32 {
        self.backward.as_ref().map_or(self.slots, |backward| backward.plan.chunk)
    }

    /// The output of the last layer, [image, class (padded)].
    pub fn logits(&self) -> &Buffer {
        self.nodes.last().map_or(&self.input, |node| &node.value)
    }

    /// Where the gradient of the loss with respect to the logits is to be written, [image, class
    /// (padded)].
    pub fn logit_gradients(&self) -> Result<&Buffer> {
        Ok(&self.backward_buffers()?.logits)
    }

    /// Shape of one input image.
    pub fn input_shape(&self) -> Shape {
        self.graph.input()
    }

    /// Number of classes.
    pub fn classes(&self) -> u32 {
        self.graph.classes
    }

    /// The layers' outputs, with their shapes, under the name of the activation where the layer has
    /// one.
    pub fn activations(&self) -> impl Iterator<Item = (&str, Shape, &Buffer)> {
        self.nodes.iter().map(|node| {
            (node.activation_name.as_deref().unwrap_or(&node.name), node.output, &node.value)
        })
    }

    /// The first `images` images of the output of the layer or activation `name`, [image, row,
    /// column, channel (padded)].
    ///
    /// # Errors
    /// [`Error::Model`] where there is no such layer; as [`Gpu::read`].
    pub async fn read_activation(&self, gpu: &Gpu, name: &str, images: u32) -> Result<Vec<f32>> {
        let found = self
            .nodes
            .iter()
            .find(|node| node.activation_name.as_deref().unwrap_or(&node.name) == name);
        let node = found.ok_or_else(|| Error::Model(format!("the network has no layer {name}")))?;
        let format = node.storage.output;
        let words = bytes(images, node.output_elements(), format) / 4;
        Ok(format.decode(&gpu.read::<u32>(&node.value, 0, words).await?))
    }

    /// As [`Self::read_activation`], of what goes into the PACT `name`.
    ///
    /// # Errors
    /// [`Error::Model`] where there is no such activation, or its input is not kept; as
    /// [`Gpu::read`].
    pub async fn read_pre_activation(
        &self,
        gpu: &Gpu,
        name: &str,
        images: u32,
    ) -> Result<Vec<f32>> {
        let found = self.nodes.iter().find(|node| node.activation_name.as_deref() == Some(name));
        let kept = found.and_then(|node| Some((node, node.pre_activation.as_ref()?)));
        let (node, buffer) = kept.ok_or_else(|| {
            Error::Model(format!("the network keeps no input of an activation {name}"))
        })?;
        let format = node.storage.state;
        let words = bytes(images, node.output_elements(), format) / 4;
        Ok(format.decode(&gpu.read::<u32>(buffer, 0, words).await?))
    }

    /// The layers' weights as the passes use them, fake-quantized (and scaled by a batch norm
    /// behind them then), under the layers' names: [tap, input channel (padded), output channel
    /// (padded)], filled by [`Self::record_weights`].
    pub fn layer_weights(&self) -> impl Iterator<Item = (&str, &Buffer)> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some((node.name.as_str(), &weights.forward))
            }
            _ => None,
        })
    }

    /// Lowest and highest quantized weight of every layer with quantized weights, as
    /// [`Self::record_weights`] last made them; the widest of output channels that have their own.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn weight_ranges(&self, gpu: &Gpu) -> Result<Vec<(&str, [f32; 2])>> {
        let mut ranges = Vec::new();
        for own in self.weight_quantizers() {
            let constants: Vec<[f32; 4]> = gpu.read(own.constants, 0, own.channels).await?;
            ranges.push((own.layer, own.quantizer.widest_range(&constants)));
        }
        Ok(ranges)
    }

    /// The quantizers of the layers with quantized weights, in order.
    pub fn weight_quantizers(&self) -> impl Iterator<Item = WeightQuantizerState<'_>> {
        self.nodes.iter().filter_map(|node| {
            let weights = node.weights().filter(|weights| weights.quantizer.is_active())?;
            let (layer, constants, quantizer) =
                (node.name.as_str(), &weights.constants, weights.quantizer);
            Some(WeightQuantizerState {
                layer,
                constants,
                channels: u64::from(node.output.channels),
                quantizer,
            })
        })
    }

    fn backward_buffers(&self) -> Result<&GradientBuffers> {
        self.backward
            .as_ref()
            .ok_or_else(|| Error::Gpu("this network was made without gradient buffers".into()))
    }

    /// The batch norm right behind node `index`, where there is one.
    fn batch_norm_behind(&self, index: usize) -> Option<(&Node, &BatchNorm)> {
        self.nodes.get(index + 1).and_then(|node| match &node.kind {
            NodeKind::BatchNorm(norm) => Some((node, norm)),
            _ => None,
        })
    }

    pub(super) fn pass<'a>(
        &'a self,
        gpu: &'a Gpu,
        recording: &'a mut Recording,
        range: ImageRange<'a>,
        slot: u32,
    ) -> Pass<'a> {
        Pass { gpu, recording, range, slot, parameters: &self.parameters, tiles: &self.tiles }
    }
}

/// What a backward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    /// ∂/∂X only: saliency.
    Input,
    /// ∂/∂θ only: the first layer's input gradient is not computed.
    Parameters,
}

/// An elementwise pass that reads and writes `read` and `written` groups of 4 values an image.
pub(super) fn elementwise_work(node: &Node, images: u32, read: u32, written: u32) -> Work {
    Work {
        flops: 0,
        bytes: node.storage.output.group_bytes()
            * u64::from(images)
            * (u64::from(read) + u64::from(written)),
    }
}

/// Constants of `max_pool` from shape to shape.
pub(crate) fn pool_shape([input, output]: [Shape; 2], kernel: u32, stride: u32) -> Specialization {
    Specialization::new()
        .constant("IN_HEIGHT", input.height)
        .constant("IN_WIDTH", input.width)
        .constant("GROUPS", groups(input.channels))
        .constant("OUT_HEIGHT", output.height)
        .constant("OUT_WIDTH", output.width)
        .constant("KERNEL", kernel)
        .constant("STRIDE", stride)
}
