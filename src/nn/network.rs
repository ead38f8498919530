//! A sequential CNN on the GPU, and the dispatches of its passes.

use super::{
    ActivationPlan, ParameterLayout, TileTable, groups,
    node::{Node, NodeKind, Weights},
    weighted::{self, Pass},
};
use crate::{
    Error, Result,
    batch::flat_workgroups,
    config::{LayerConfig, NetworkConfig, QuantizationConfig, Shape},
    gpu::{Binding, Buffer, Gpu, Recording, Specialization, Work},
    quant::WeightQuantizerPlan,
};

/// Invocations of a workgroup of the elementwise kernels.
pub(super) const ELEMENTWISE: u32 = 64;

/// The images a pass works on: a range inside the buffers, known to the GPU alone, and the most it can be.
#[derive(Clone, Copy)]
pub struct ImageRange<'a> {
    /// A record of `first, count, batch, accumulate` (shaders/common/images.wgsl).
    pub binding: Binding<'a>,
    /// Upper bound of `count`; dispatches are as large as it needs.
    pub most: u32,
}

/// What a network is made for.
#[derive(Clone, Copy, Debug)]
pub struct NetworkOptions {
    /// Images that the buffers hold.
    pub slots: u32,
    /// Whether weight gradients will be asked for.
    pub training: bool,
    /// Whether any gradient will be asked for.
    pub gradients: bool,
}

/// Buffers for the gradients on their way through the network: written in turns.
struct GradientBuffers {
    turns: [Buffer; 2],
    logits: Buffer,
    partial_sums: Buffer,
}

/// A network with its parameters and activations on the GPU.
pub struct Network {
    /// Where each parameter is in the flat arrays.
    pub layout: ParameterLayout,
    /// All parameters, flat.
    pub parameters: Buffer,
    /// Their gradients, flat.
    pub gradients: Buffer,
    /// The images, [image, row, column, channel / 4] vec4, normalised.
    pub input: Buffer,
    input_shape: Shape,
    classes: u32,
    nodes: Vec<Node>,
    backward: Option<GradientBuffers>,
    tiles: TileTable,
}

/// `workgroups` spread over two dimensions.
pub(super) fn grid(workgroups: u32) -> [u32; 3] {
    flat_workgroups(u64::from(workgroups), 1)
}

fn bytes(slots: u32, elements: u32) -> u64 {
    u64::from(slots) * u64::from(elements) * 16
}

impl Network {
    /// Allocates everything that the passes of `options` need; parameters are zero.
    ///
    /// # Errors
    /// [`Error::Model`] for a network that cannot be built, [`Error::OutOfMemory`] where it does not fit the adapter.
    pub fn new(gpu: &Gpu, config: &NetworkConfig, quantization: &QuantizationConfig, options: NetworkOptions) -> Result<Network> {
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
        let layout = ParameterLayout::new(config, quantization)?;
        let input = gpu.buffer("images", bytes(options.slots, config.input.pixels() * groups(config.input.channels)))?;
        let mut network = Network {
            parameters: gpu.buffer("parameters", u64::from(layout.padded_length()) * 4)?,
            gradients: gpu.buffer("parameter gradients", u64::from(layout.padded_length()) * 4)?,
            layout,
            input,
            input_shape: config.input,
            classes: config.classes,
            nodes: Vec::new(),
            backward: None,
            tiles,
        };
        network.build_nodes(gpu, config, quantization, options)?;
        if options.gradients {
            network.backward = Some(network.gradient_buffers(gpu, options.slots)?);
        }
        Ok(network)
    }

    fn build_nodes(
        &mut self,
        gpu: &Gpu,
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        options: NetworkOptions,
    ) -> Result<()> {
        let shapes = config.shapes()?;
        let mut shape = config.input;
        let mut weighted = 0;
        let mut index = 0;
        while index < config.layers.len() {
            let output = shapes[index];
            let bits = quantization.layer_bits(weighted.max(1) - 1);
            let (name, kind) = match &config.layers[index] {
                LayerConfig::Conv { name, kernel, stride, padding, .. } => {
                    let weights = self.weights(gpu, name, shape, output, kernel * kernel, quantization, weighted)?;
                    (name.clone(), NodeKind::Convolution { weights, kernel: *kernel, stride: *stride, padding: *padding })
                }
                LayerConfig::Linear { name, .. } => {
                    let weights = self.weights(gpu, name, shape, output, shape.pixels(), quantization, weighted)?;
                    (name.clone(), NodeKind::FullyConnected { weights })
                }
                LayerConfig::Activation { name } => (name.clone(), NodeKind::Activation),
                LayerConfig::MaxPool { kernel, stride } => {
                    if *kernel > 15 {
                        return Err(Error::Model(format!(
                            "layer {}: pooling windows are at most 15 × 15, not {kernel}",
                            index + 1
                        )));
                    }
                    let elements = u64::from(options.slots) * u64::from(output.pixels() * groups(output.channels));
                    let choice = gpu.buffer("pooling choices", elements * 4)?;
                    (format!("pool{}", index + 1), NodeKind::MaxPool { kernel: *kernel, stride: *stride, choice })
                }
                LayerConfig::Dropout { rate } => {
                    (format!("dropout{}", index + 1), NodeKind::Dropout { rate: *rate, layer: index as u32 })
                }
            };
            let is_weighted = matches!(kind, NodeKind::Convolution { .. } | NodeKind::FullyConnected { .. });
            weighted += usize::from(is_weighted);
            let mut activation = ActivationPlan::NONE;
            let activation_name: Option<String> = match (&kind, config.layers.get(index + 1)) {
                (NodeKind::Activation, _) => Some(name.clone()),
                (_, Some(LayerConfig::Activation { name })) if is_weighted => {
                    index += 1;
                    Some(name.clone())
                }
                _ => None,
            };
            if let Some(activation_name) = &activation_name {
                let bits = if is_weighted { quantization.layer_bits(weighted - 1) } else { bits };
                let alpha = self.layout.find(&format!("{activation_name}.alpha")).map(|parameter| parameter.offset);
                activation = ActivationPlan::new(quantization.pact, bits, alpha)?;
            }
            let elements = output.pixels() * groups(output.channels);
            let value = match kind {
                NodeKind::Dropout { .. } => self.nodes.last().map_or(&self.input, |node| &node.value).clone(),
                _ => gpu.buffer("activations", bytes(options.slots, elements))?,
            };
            let pre_activation = match kind {
                NodeKind::Activation if activation.is_pact() => {
                    Some(self.nodes.last().map_or(&self.input, |node| &node.value).clone())
                }
                _ if activation.is_pact() => Some(gpu.buffer("pre-activations", bytes(options.slots, elements))?),
                _ => None,
            };
            if matches!(kind, NodeKind::MaxPool { .. })
                && let Some(previous) = self.nodes.last_mut()
            {
                previous.gradient_by_pool = previous.activation != ActivationPlan::NONE;
            }
            let mut node = Node {
                name,
                activation_name,
                kind,
                input: shape,
                output,
                activation,
                value,
                pre_activation,
                gradient_by_pool: false,
            };
            if options.training {
                let parts = if is_weighted { self.tiles.wanted_parts(&node, options.slots) } else { 0 };
                if let NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } = &mut node.kind {
                    weights.allocate_parts(gpu, shape, output, parts)?;
                }
            }
            self.nodes.push(node);
            shape = output;
            index += 1;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "every argument is one property of the layer")]
    fn weights(
        &self,
        gpu: &Gpu,
        name: &str,
        input: Shape,
        output: Shape,
        taps: u32,
        quantization: &QuantizationConfig,
        weighted: usize,
    ) -> Result<Weights> {
        let index = |suffix: &str| self.layout.find(&format!("{name}.{suffix}")).map_or(0, |parameter| parameter.offset);
        let quantizer = WeightQuantizerPlan::new(quantization, quantization.layer_bits(weighted))?;
        let step = self.layout.find(&format!("{name}.weight_step")).map(|parameter| parameter.offset);
        Weights::new(gpu, input, output, taps, [index("weight"), index("bias")], step, quantizer)
    }

    fn gradient_buffers(&self, gpu: &Gpu, slots: u32) -> Result<GradientBuffers> {
        // A gradient is written to the buffer that its own source is not in: nodes that change shape alternate.
        let mut largest = [0, 0];
        let mut turn = 0;
        for node in self.nodes.iter().rev() {
            if !matches!(node.kind, NodeKind::Activation | NodeKind::Dropout { .. }) {
                largest[turn] = largest[turn].max(node.input_elements());
                turn = 1 - turn;
            }
        }
        let partial_sums = self.nodes.iter().map(Node::output_elements).max().unwrap_or(1);
        let blocks =
            (u64::from(slots) * u64::from(partial_sums)).div_ceil(u64::from(ELEMENTWISE * self.tiles.elementwise_items()));
        Ok(GradientBuffers {
            turns: [
                gpu.buffer("activation gradients", bytes(slots, largest[0]))?,
                gpu.buffer("activation gradients", bytes(slots, largest[1]))?,
            ],
            logits: gpu.buffer("logit gradients", bytes(slots, groups(self.classes)))?,
            partial_sums: gpu.buffer("partial sums of α's gradient", blocks * 4)?,
        })
    }

    /// The output of the last layer, [image, class (padded)].
    pub fn logits(&self) -> &Buffer {
        self.nodes.last().map_or(&self.input, |node| &node.value)
    }

    /// Where the gradient of the loss with respect to the logits is to be written, [image, class (padded)].
    pub fn logit_gradients(&self) -> Result<&Buffer> {
        Ok(&self.backward_buffers()?.logits)
    }

    /// Shape of one input image.
    pub fn input_shape(&self) -> Shape {
        self.input_shape
    }

    /// Number of classes.
    pub fn classes(&self) -> u32 {
        self.classes
    }

    /// The layers' outputs, with their shapes, under the name of the activation where the layer has one.
    pub fn activations(&self) -> impl Iterator<Item = (&str, Shape, &Buffer)> {
        self.nodes.iter().map(|node| (node.activation_name.as_deref().unwrap_or(&node.name), node.output, &node.value))
    }

    /// The layers' weights as the passes use them, fake-quantized, under the layers' names: [tap, input channel (padded),
    /// output channel (padded)], filled by [`Self::record_weights`].
    pub fn layer_weights(&self) -> impl Iterator<Item = (&str, &Buffer)> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some((node.name.as_str(), &weights.forward))
            }
            _ => None,
        })
    }

    /// Lowest and highest quantized weight of every layer with quantized weights, as [`Self::record_weights`] last made them; the widest
    /// of output channels that have their own.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn weight_ranges(&self, gpu: &Gpu) -> Result<Vec<(&str, [f32; 2])>> {
        let mut ranges = Vec::new();
        for node in &self.nodes {
            if let NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } = &node.kind
                && weights.quantizer.is_active()
            {
                let constants: Vec<[f32; 4]> = gpu.read(&weights.constants, 0, u64::from(node.output.channels)).await?;
                let of_channels = constants.into_iter().map(|constants| weights.quantizer.range(constants));
                let widest =
                    of_channels.reduce(|[low, high], [other_low, other_high]| [low.min(other_low), high.max(other_high)]);
                ranges.push((node.name.as_str(), widest.unwrap_or_default()));
            }
        }
        Ok(ranges)
    }

    fn backward_buffers(&self) -> Result<&GradientBuffers> {
        self.backward.as_ref().ok_or_else(|| Error::Gpu("this network was made without gradient buffers".into()))
    }

    /// Adds the fake quantization and layout of every layer's weights: once a step, before the passes.
    pub fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        for node in &self.nodes {
            if let NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } = &node.kind {
                weighted::record_weights(gpu, recording, node, weights, &self.parameters)?;
            }
        }
        Ok(())
    }

    fn pass<'a>(&'a self, gpu: &'a Gpu, recording: &'a mut Recording, range: ImageRange<'a>) -> Pass<'a> {
        Pass { gpu, recording, range, parameters: &self.parameters, tiles: self.tiles }
    }

    /// Adds f(X) for the images of `range`. `step` is bound by dropout, which is left out where it is `None` (inference).
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        step: Option<&Buffer>,
    ) -> Result<()> {
        let mut input = &self.input;
        for node in &self.nodes {
            let label = format!("{} forward", node.name);
            match &node.kind {
                NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                    self.pass(gpu, recording, range).weighted_forward(node, weights, input)?;
                }
                NodeKind::Activation => {
                    let elements = node.output_elements();
                    let specialization = node.activation.forward(Specialization::new().constant("ELEMENTS", elements));
                    let mut bindings = vec![range.binding, input.into(), (&node.value).into()];
                    if node.activation.is_pact() {
                        bindings.push((&self.parameters).into());
                    }
                    let workgroups = grid((range.most * elements).div_ceil(ELEMENTWISE));
                    recording.dispatch(gpu, label, gpu.kernel("activation", specialization)?, &bindings, workgroups)?;
                }
                NodeKind::MaxPool { kernel, stride, choice } => {
                    let kernel = gpu.kernel("max_pool", pool_shape(node, *kernel, *stride))?;
                    let bindings = [range.binding, input.into(), (&node.value).into(), choice.into()];
                    let workgroups = grid((range.most * node.output_elements()).div_ceil(ELEMENTWISE));
                    recording.dispatch(gpu, label, kernel, &bindings, workgroups)?;
                    recording.note_work(elementwise_work(range.most, node.input_elements(), node.output_elements()));
                }
                NodeKind::Dropout { rate, layer } => {
                    if let Some(step) = step {
                        dropout(gpu, recording, label, [node.output_elements(), *layer], *rate, range, step, &node.value)?;
                    }
                }
            }
            input = &node.value;
        }
        Ok(())
    }

    /// Adds the backward pass from the logits' gradients for the images of `range`. Returns the buffer with ∂/∂X,
    /// [image, row, column, channel / 4] vec4, where `wanted` asks for it. `step` as in [`Self::record_forward`].
    pub fn record_backward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        step: Option<&Buffer>,
        wanted: Gradients,
    ) -> Result<&Buffer> {
        let backward = self.backward_buffers()?;
        let mut gradient = &backward.logits;
        let mut turn = 0;
        for (index, node) in self.nodes.iter().enumerate().rev() {
            let input = index.checked_sub(1).map_or(&self.input, |previous| &self.nodes[previous].value);
            if node.activation != ActivationPlan::NONE && !node.gradient_by_pool {
                self.record_activation_gradient(gpu, recording, node, range, gradient, wanted)?;
            }
            let needs_input_gradient = index > 0 || wanted == Gradients::Input;
            let next = &backward.turns[turn];
            match &node.kind {
                NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                    let mut pass = self.pass(gpu, recording, range);
                    if wanted == Gradients::Parameters {
                        pass.weight_gradient(node, weights, [input, gradient], &self.gradients)?;
                    }
                    if !needs_input_gradient {
                        break;
                    }
                    pass.weighted_input_gradient(node, weights, [gradient, next])?;
                }
                NodeKind::MaxPool { kernel, stride, choice } => {
                    self.record_pool_gradient(
                        gpu,
                        recording,
                        index,
                        [*kernel, *stride],
                        choice,
                        range,
                        [gradient, next],
                        wanted,
                    )?;
                }
                NodeKind::Dropout { rate, layer } => {
                    if let Some(step) = step {
                        let label = format!("{} gradient", node.name);
                        dropout(gpu, recording, label, [node.output_elements(), *layer], *rate, range, step, gradient)?;
                    }
                    continue;
                }
                NodeKind::Activation => continue,
            }
            gradient = next;
            turn = 1 - turn;
        }
        Ok(gradient)
    }

    fn record_activation_gradient(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        node: &Node,
        range: ImageRange<'_>,
        gradient: &Buffer,
        wanted: Gradients,
    ) -> Result<()> {
        let items = self.tiles.elementwise_items();
        let specialization = Specialization::new().tile("ITEMS", items).constant("ELEMENTS", node.output_elements());
        let kernel = gpu.kernel("activation_gradient", node.activation.backward(specialization))?;
        let mut bindings = vec![range.binding, node.state().into(), gradient.into()];
        self.bind_alpha_sums(node.activation, &mut bindings)?;
        let blocks = (range.most * node.output_elements()).div_ceil(ELEMENTWISE * items);
        recording.dispatch(gpu, format!("{} activation gradient", node.name), kernel, &bindings, grid(blocks))?;
        recording.note_work(elementwise_work(range.most, 2 * node.output_elements(), node.output_elements()));
        self.record_alpha_sum(gpu, recording, node, range, blocks, wanted)
    }

    #[expect(clippy::too_many_arguments, reason = "the pool, what is in front of it, and where gradients come from and go to")]
    fn record_pool_gradient(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        index: usize,
        [kernel, stride]: [u32; 2],
        choice: &Buffer,
        range: ImageRange<'_>,
        [from, to]: [&Buffer; 2],
        wanted: Gradients,
    ) -> Result<()> {
        let node = &self.nodes[index];
        let fused = index.checked_sub(1).map(|previous| &self.nodes[previous]).filter(|previous| previous.gradient_by_pool);
        let activation = fused.map_or(ActivationPlan::NONE, |previous| previous.activation);
        let state = fused.map_or(choice, |previous| previous.state());
        let items = self.tiles.elementwise_items();
        let specialization =
            activation.backward(pool_shape(node, kernel, stride).tile("ITEMS", items).tile("WINDOWS", kernel.div_ceil(stride)));
        let kernel = gpu.kernel("max_pool_gradient", specialization)?;
        let mut bindings = vec![range.binding, from.into(), choice.into(), state.into(), to.into()];
        self.bind_alpha_sums(activation, &mut bindings)?;
        let blocks = (range.most * node.input_elements()).div_ceil(ELEMENTWISE * items);
        recording.dispatch(gpu, format!("{} gradient", node.name), kernel, &bindings, grid(blocks))?;
        let read = node.output_elements() + if fused.is_some() { node.input_elements() } else { 0 };
        recording.note_work(elementwise_work(range.most, read, node.input_elements()));
        match fused {
            Some(previous) => self.record_alpha_sum(gpu, recording, previous, range, blocks, wanted),
            None => Ok(()),
        }
    }

    fn bind_alpha_sums<'a>(&'a self, activation: ActivationPlan, bindings: &mut Vec<Binding<'a>>) -> Result<()> {
        if activation.is_pact() {
            bindings.push((&self.parameters).into());
            bindings.push((&self.backward_buffers()?.partial_sums).into());
        }
        Ok(())
    }

    fn record_alpha_sum(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        node: &Node,
        range: ImageRange<'_>,
        blocks: u32,
        wanted: Gradients,
    ) -> Result<()> {
        let Some(index) = node.activation.alpha_index().filter(|_| wanted == Gradients::Parameters) else { return Ok(()) };
        let kernel = gpu.kernel("sum_partials", Specialization::new().constant("COUNT", blocks).constant("INDEX", index))?;
        let bindings = [range.binding, (&self.backward_buffers()?.partial_sums).into(), (&self.gradients).into()];
        recording.dispatch(gpu, format!("{} α gradient", node.name), kernel, &bindings, [1, 1, 1])
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
fn elementwise_work(images: u32, read: u32, written: u32) -> Work {
    Work { flops: 0, bytes: 16 * u64::from(images) * (u64::from(read) + u64::from(written)) }
}

fn pool_shape(node: &Node, kernel: u32, stride: u32) -> Specialization {
    Specialization::new()
        .constant("IN_HEIGHT", node.input.height)
        .constant("IN_WIDTH", node.input.width)
        .constant("GROUPS", groups(node.input.channels))
        .constant("OUT_HEIGHT", node.output.height)
        .constant("OUT_WIDTH", node.output.width)
        .constant("KERNEL", kernel)
        .constant("STRIDE", stride)
}

#[expect(clippy::too_many_arguments, reason = "the layer, its place in the random streams, and the buffers")]
fn dropout(
    gpu: &Gpu,
    recording: &mut Recording,
    label: String,
    [elements, layer]: [u32; 2],
    rate: f32,
    range: ImageRange<'_>,
    step: &Buffer,
    value: &Buffer,
) -> Result<()> {
    let specialization = Specialization::new()
        .tile("LANES", ELEMENTWISE)
        .constant("ELEMENTS", elements)
        .constant("LAYER", layer)
        .constant("RATE", f64::from(rate));
    let kernel = gpu.kernel("dropout", specialization)?;
    let bindings = [range.binding, step.into(), value.into()];
    recording.dispatch(gpu, label, kernel, &bindings, [elements.div_ceil(ELEMENTWISE), range.most, 1])
}
