//! A sequential CNN on the GPU, and the dispatches of its passes.

use super::{
    ActivationPlan, Chunked, Format, ParameterLayout, ProductShape, Storage, TileTable,
    batch_norm::BatchNorm,
    chunks::BackwardPlan,
    groups,
    node::{JoinedPool, Node, NodeKind, Weights},
    rules::{BackwardRule, Walk},
    weighted::{self, Pass},
};
use crate::{
    Error, Result,
    batch::flat_workgroups,
    config::{LayerConfig, NetworkConfig, Precision, QuantizationConfig, Shape},
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

/// A layer's weight quantizer with what it last computed.
#[derive(Clone, Copy, Debug)]
pub struct WeightQuantizerState<'a> {
    /// The layer.
    pub layer: &'a str,
    /// A vec4 of constants an output channel, as [`Network::record_weights`] last made them; padded.
    pub constants: &'a Buffer,
    /// Output channels.
    pub channels: u64,
    /// What the constants mean.
    pub quantizer: WeightQuantizerPlan,
}

/// A pass in training mode: dropout, and batch norms with the statistics of the batch. Passes without one are for inference.
#[derive(Clone, Copy)]
pub struct TrainingPass<'a> {
    /// The current step's record (shaders/common/step.wgsl).
    pub step: &'a Buffer,
    /// Batches in the range that batch norms take apart: 2 where masked images stand behind the step's clean ones.
    pub batches: u32,
    /// The last step with the batch's statistics in batch norms; the running ones are frozen then and used from there on.
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
    /// Whether max-pools can be part of the convolutions in front of them: nobody else reads what a network makes in between that trains.
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
    /// Those that exist for all images at once, and those that exist for a chunk of them: written in turns.
    whole: [Buffer; 2],
    chunk: [Buffer; 2],
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
    pub(super) nodes: Vec<Node>,
    backward: Option<GradientBuffers>,
    slots: u32,
    /// Flat like the parameters; weights scaled by the batch norms behind them. Absent where none are.
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
        let layout = ParameterLayout::new(config, quantization)?;
        let input =
            gpu.buffer("images", bytes(options.slots, config.input.pixels() * groups(config.input.channels), Format::F32))?;
        let parameters = match assembly.parameters {
            Some(shared) => shared,
            None => gpu.buffer("parameters", u64::from(layout.padded_length()) * 4)?,
        };
        let mut network = Network {
            parameters,
            gradients: gpu.buffer("parameter gradients", u64::from(layout.padded_length()) * 4)?,
            layout,
            input,
            input_shape: config.input,
            classes: config.classes,
            nodes: Vec::new(),
            backward: None,
            slots: options.slots,
            folded: None,
            tiles,
            layer_by_layer: assembly.layer_by_layer,
        };
        network.build_nodes(gpu, config, quantization, options)?;
        for node in &mut network.nodes {
            weighted::slice_weights(gpu, node, tiles, options.gradients)?;
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
        let mut format = Format::F32; // of the images
        let mut input_activation = ActivationPlan::NONE;
        while index < config.layers.len() {
            let mut output = shapes[index];
            let bits = quantization.layer_bits(weighted.max(1) - 1);
            let (name, mut kind) = match &config.layers[index] {
                LayerConfig::Conv { name, kernel, stride, padding, .. } => {
                    let weights = self.weights(gpu, name, shape, output, kernel * kernel, quantization, weighted)?;
                    let pool = None;
                    (name.clone(), NodeKind::Convolution { weights, kernel: *kernel, stride: *stride, padding: *padding, pool })
                }
                LayerConfig::Linear { name, .. } => {
                    let weights = self.weights(gpu, name, shape, output, shape.pixels(), quantization, weighted)?;
                    (name.clone(), NodeKind::FullyConnected { weights })
                }
                LayerConfig::BatchNorm { name } => {
                    let slots = options.training.then_some(options.slots);
                    let folded = self.fold_last(gpu)?;
                    (name.clone(), NodeKind::BatchNorm(BatchNorm::new(gpu, &self.layout, name, output, folded, slots)?))
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
            let applies_activation = is_weighted || matches!(kind, NodeKind::BatchNorm(_));
            let mut activation = ActivationPlan::NONE;
            let activation_name: Option<String> = match (&kind, config.layers.get(index + 1)) {
                (NodeKind::Activation, _) => Some(name.clone()),
                (_, Some(LayerConfig::Activation { name })) if applies_activation && !self.layer_by_layer => {
                    index += 1;
                    Some(name.clone())
                }
                _ => None,
            };
            if let Some(activation_name) = &activation_name {
                let bits = if is_weighted { quantization.layer_bits(weighted - 1) } else { bits };
                let learned =
                    ["alpha", "step"].iter().find_map(|suffix| self.layout.find(&format!("{activation_name}.{suffix}")));
                activation = ActivationPlan::new(quantization, bits, learned.map(|parameter| parameter.offset))?;
            }
            if let NodeKind::Convolution { pool, stride, .. } = &mut kind
                && options.keeps_windows_only()
                && !self.layer_by_layer
                && self.tiles.joins_pool(*stride, groups(shape.channels))
                && let Some(LayerConfig::MaxPool { kernel: 2, stride: 2 }) = config.layers.get(index + 1)
            {
                index += 1;
                let (map, windows) = (output, shapes[index]);
                let elements = u64::from(options.slots) * u64::from(windows.pixels() * groups(windows.channels));
                *pool = Some(JoinedPool { map, choice: gpu.buffer("pooling choices", elements * 4)? });
                output = windows;
            }
            let elements = output.pixels() * groups(output.channels);
            // Values or gradients of these replace each other in place: both are stored alike.
            let in_place = |layer: &LayerConfig| {
                matches!(layer, LayerConfig::BatchNorm { .. } | LayerConfig::Activation { .. } | LayerConfig::Dropout { .. })
            };
            let input_format = format;
            if !matches!(kind, NodeKind::BatchNorm(_) | NodeKind::Activation | NodeKind::Dropout { .. }) {
                let makes_logits = config.layers[index + 1..].iter().all(in_place);
                format = if makes_logits { Format::F32 } else { Format::of_values(options.precision) };
            }
            let value = match kind {
                NodeKind::Dropout { .. } => self.nodes.last().map_or(&self.input, |node| &node.value).clone(),
                _ => gpu.buffer("activations", bytes(options.slots, elements, format))?,
            };
            let pre_activation = match kind {
                NodeKind::Activation if activation.is_pact() => {
                    Some(self.nodes.last().map_or(&self.input, |node| &node.value).clone())
                }
                _ if activation.is_pact() => Some(gpu.buffer("pre-activations", bytes(options.slots, elements, format))?),
                _ => None,
            };
            if matches!(kind, NodeKind::MaxPool { .. })
                && let Some(previous) = self.nodes.last_mut()
            {
                previous.gradient_by_pool = previous.activation != ActivationPlan::NONE;
            }
            let next = match kind {
                // A maximum is one of the values.
                NodeKind::MaxPool { .. } => input_activation,
                _ => activation,
            };
            self.nodes.push(Node {
                name,
                activation_name,
                kind,
                input: shape,
                output,
                storage: Storage { input: input_format, output: format, state: format },
                activation,
                value,
                input_activation,
                pre_activation,
                gradient_by_pool: false,
            });
            input_activation = next;
            shape = output;
            index += 1;
        }
        Ok(())
    }

    /// Has the weights of the last node scaled by a batch norm behind it where they are quantized, and says whether they are.
    fn fold_last(&mut self, gpu: &Gpu) -> Result<bool> {
        let last = self.nodes.last_mut().and_then(Node::weights_mut);
        let Some(weights) = last.filter(|weights| weights.quantizer.is_active()) else { return Ok(false) };
        let folded = match &self.folded {
            Some(folded) => folded.clone(),
            None => gpu.buffer("folded weights", u64::from(self.layout.padded_length()) * 4)?,
        };
        weights.folded = Some(folded.clone());
        self.folded = Some(folded);
        Ok(true)
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

    /// Networks that train go through a batch in chunks, to keep memory close to what must be kept; others take it whole, and so do
    /// batch norms, whose backward pass sums over the batch.
    fn backward_plan(&self, options: NetworkOptions) -> BackwardPlan {
        let has_batch_norm = self.nodes.iter().any(|node| matches!(node.kind, NodeKind::BatchNorm(_)));
        if !options.training || has_batch_norm {
            return BackwardPlan::whole(options.slots);
        }
        let parts =
            |node: &Node| Some(node.weights()?.part_bytes(node) * u64::from(self.tiles.wanted_parts(node, BackwardPlan::LEAST)));
        let copies: u64 = self.nodes.iter().filter_map(|node| Some(node.weights()?.copies_bytes())).sum();
        let fixed =
            self.parameters.size() + self.gradients.size() + copies + self.nodes.iter().filter_map(parts).max().unwrap_or(0);
        BackwardPlan::new(&self.nodes, self.kept_bytes(), options.slots, fixed)
    }

    /// Makes room for the partial sums of the weight gradients: of one layer at a time.
    fn allocate_parts(&mut self, gpu: &Gpu, plan: BackwardPlan) -> Result<()> {
        let wanted = |(index, node): (usize, &Node)| match node.weights() {
            Some(_) => self.tiles.wanted_parts(node, plan.images_of(index)),
            None => 0,
        };
        let counts: Vec<u32> = self.nodes.iter().enumerate().map(wanted).collect();
        let bytes =
            |(node, count): (&Node, &u32)| node.weights().map_or(0, |weights| weights.part_bytes(node) * u64::from(*count));
        let most = self.nodes.iter().zip(&counts).map(bytes).max().unwrap_or(0);
        let buffer = gpu.buffer("partial weight gradients", most)?;
        let term_bytes = |node: &Node| node.weights().map_or(0, |weights| weights.step_term_bytes(node));
        let most = self.nodes.iter().map(term_bytes).max().unwrap_or(0);
        let terms = (most > 0).then(|| gpu.buffer("terms of the steps' gradients", most)).transpose()?;
        for (node, count) in self.nodes.iter_mut().zip(counts) {
            if let Some(weights) = node.weights_mut() {
                weights.parts = Some((buffer.clone(), count));
                weights.step_terms = terms.clone().filter(|_| weights.step_index.is_some());
            }
        }
        Ok(())
    }

    fn gradient_buffers(&self, gpu: &Gpu, plan: BackwardPlan) -> Result<GradientBuffers> {
        let elements = self.nodes.iter().enumerate().map(|(index, node)| plan.images_of(index) * node.output_elements());
        let blocks = elements.max().unwrap_or(1).div_ceil(ELEMENTWISE * self.tiles.elementwise_items());
        let gradients = |images: u32, bytes: u64| gpu.buffer("activation gradients", u64::from(images) * bytes);
        let (whole, chunk) = (plan.turns(&self.nodes, true), plan.turns(&self.nodes, false));
        Ok(GradientBuffers {
            plan,
            logits: gpu.buffer("logit gradients", bytes(plan.slots, groups(self.classes), Format::F32))?,
            input: gpu.buffer("image gradients", bytes(plan.input_images(), self.input_elements(), Format::F32))?,
            whole: [gradients(plan.slots, whole[0])?, gradients(plan.slots, whole[1])?],
            chunk: [gradients(plan.chunk, chunk[0])?, gradients(plan.chunk, chunk[1])?],
            partial_sums: gpu.buffer("partial sums of α's gradient", u64::from(blocks) * 4)?,
        })
    }

    fn input_elements(&self) -> u32 {
        self.input_shape.pixels() * groups(self.input_shape.channels)
    }

    /// Bytes that must be kept from the forward pass for the backward pass, for all slots: the images, every layer's output, PACT's
    /// inputs and the choices of max-pooling, as far as the backward pass reads them.
    pub fn kept_bytes(&self) -> u64 {
        let nodes: u64 = (0..self.nodes.len())
            .map(|index| {
                let node = &self.nodes[index];
                let elements = u64::from(node.output_elements());
                let group_bytes = node.storage.output.group_bytes();
                // A pool in front of which there is PACT goes back through PACT's input alone.
                let by_input = node.pre_activation.is_some()
                    && self.nodes.get(index + 1).is_some_and(|next| matches!(next.kind, NodeKind::MaxPool { .. }));
                let own_input = node.pre_activation.is_some() && !matches!(node.kind, NodeKind::Activation);
                match node.kind {
                    NodeKind::Dropout { .. } => 0,
                    NodeKind::MaxPool { .. } => (group_bytes + 4) * elements,
                    NodeKind::Convolution { pool: Some(_), .. } => (group_bytes * (1 + u64::from(own_input)) + 4) * elements,
                    _ => group_bytes * elements * (u64::from(!by_input) + u64::from(own_input)),
                }
            })
            .sum();
        u64::from(self.slots) * (nodes + 16 * u64::from(self.input_elements()))
    }

    /// Bytes of the buffers that images and activations of all slots take, those for gradients not counted.
    pub fn activation_bytes(&self) -> u64 {
        let of = |node: &Node| {
            let own_input = node.pre_activation.as_ref().filter(|_| !matches!(node.kind, NodeKind::Activation));
            let choice = match &node.kind {
                NodeKind::MaxPool { choice, .. } => Some(choice),
                _ => None,
            };
            let value = Some(&node.value).filter(|_| !matches!(node.kind, NodeKind::Dropout { .. }));
            [value, own_input, choice].into_iter().flatten().map(Buffer::size).sum::<u64>()
        };
        self.input.size() + self.nodes.iter().map(of).sum::<u64>()
    }

    /// The matrix products of a training step on GPUs, under the labels of their dispatches.
    pub fn products(&self) -> Vec<(String, ProductShape)> {
        self.nodes.iter().filter(|node| node.weights().is_some()).flat_map(weighted::products).collect()
    }

    /// Images that a backward pass takes at a time.
    pub fn chunk(&self) -> u32 {
        self.backward.as_ref().map_or(self.slots, |backward| backward.plan.chunk)
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

    /// The first `images` images of the output of the layer or activation `name`, [image, row, column, channel (padded)]; none where
    /// there is no such layer.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_activation(&self, gpu: &Gpu, name: &str, images: u32) -> Result<Vec<f32>> {
        let Some(node) = self.nodes.iter().find(|node| node.activation_name.as_deref().unwrap_or(&node.name) == name) else {
            return Ok(Vec::new());
        };
        let format = node.storage.output;
        let words = bytes(images, node.output_elements(), format) / 4;
        Ok(format.decode(&gpu.read::<u32>(&node.value, 0, words).await?))
    }

    /// As [`Self::read_activation`], of what goes into the PACT `name`.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_pre_activation(&self, gpu: &Gpu, name: &str, images: u32) -> Result<Vec<f32>> {
        let found = self.nodes.iter().find(|node| node.activation_name.as_deref() == Some(name));
        let Some((node, buffer)) = found.and_then(|node| Some((node, node.pre_activation.as_ref()?))) else {
            return Ok(Vec::new());
        };
        let format = node.storage.state;
        let words = bytes(images, node.output_elements(), format) / 4;
        Ok(format.decode(&gpu.read::<u32>(buffer, 0, words).await?))
    }

    /// The layers' weights as the passes use them, fake-quantized (and scaled by a batch norm behind them then), under the layers' names: [tap, input channel (padded),
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
            let (layer, constants, quantizer) = (node.name.as_str(), &weights.constants, weights.quantizer);
            Some(WeightQuantizerState { layer, constants, channels: u64::from(node.output.channels), quantizer })
        })
    }

    fn backward_buffers(&self) -> Result<&GradientBuffers> {
        self.backward.as_ref().ok_or_else(|| Error::Gpu("this network was made without gradient buffers".into()))
    }

    /// The batch norm right behind node `index`, where there is one.
    fn batch_norm_behind(&self, index: usize) -> Option<(&Node, &BatchNorm)> {
        self.nodes.get(index + 1).and_then(|node| match &node.kind {
            NodeKind::BatchNorm(norm) => Some((node, norm)),
            _ => None,
        })
    }

    /// Adds the fake quantization and layout of every layer's weights, and what batch norms make of their running statistics: once a step,
    /// before the passes.
    pub fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        for (index, node) in self.nodes.iter().enumerate() {
            if let (Some(weights), Some((behind, norm))) = (node.weights(), self.batch_norm_behind(index)) {
                norm.record_inference(gpu, recording, behind, &self.parameters)?;
                if let Some(folded) = &weights.folded {
                    norm.record_fold(gpu, recording, node, weights, [&self.parameters, folded])?;
                }
            }
            if let NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } = &node.kind {
                weighted::record_weights(gpu, recording, node, weights, &self.parameters)?;
            }
        }
        Ok(())
    }

    pub(super) fn pass<'a>(&'a self, gpu: &'a Gpu, recording: &'a mut Recording, range: ImageRange<'a>, slot: u32) -> Pass<'a> {
        Pass { gpu, recording, range, slot, parameters: &self.parameters, tiles: self.tiles }
    }

    /// Adds f(X) for the images of `range`, in inference mode where `training` is `None`.
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        training: Option<TrainingPass<'_>>,
    ) -> Result<()> {
        let mut input = &self.input;
        for node in &self.nodes {
            let label = format!("{} forward", node.name);
            match &node.kind {
                NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                    self.pass(gpu, recording, range, 0).weighted_forward(node, weights, input)?;
                }
                NodeKind::BatchNorm(norm) => {
                    self.pass(gpu, recording, range, 0).batch_norm_forward(node, norm, input, training)?
                }
                NodeKind::Activation => {
                    let elements = node.output_elements();
                    let specialization = node.activation.forward(Specialization::new().constant("ELEMENTS", elements));
                    let specialization = node.value_storage().specialize(specialization);
                    let mut bindings = vec![range.binding, input.into(), (&node.value).into()];
                    if node.activation.is_pact() {
                        bindings.push((&self.parameters).into());
                    }
                    let workgroups = grid((range.most * elements).div_ceil(ELEMENTWISE));
                    recording.dispatch(gpu, label, gpu.kernel("activation", specialization)?, &bindings, workgroups)?;
                }
                NodeKind::MaxPool { kernel, stride, choice } => {
                    let kernel = gpu.kernel(
                        "max_pool",
                        node.value_storage().specialize(pool_shape([node.input, node.output], *kernel, *stride)),
                    )?;
                    let bindings = [range.binding, input.into(), (&node.value).into(), choice.into()];
                    let workgroups = grid((range.most * node.output_elements()).div_ceil(ELEMENTWISE));
                    recording.dispatch(gpu, label, kernel, &bindings, workgroups)?;
                    recording.note_work(elementwise_work(node, range.most, node.input_elements(), node.output_elements()));
                }
                NodeKind::Dropout { rate, layer } => {
                    if let Some(TrainingPass { step, .. }) = training {
                        let values = ((&node.value).into(), node.storage.output);
                        self.pass(gpu, recording, range, 0).dropout(
                            label,
                            [node.output_elements(), *layer],
                            *rate,
                            step,
                            values,
                        )?;
                    }
                }
            }
            input = &node.value;
        }
        Ok(())
    }

    /// Adds the backward pass from the logits' gradients for `images`. Returns the buffer with ∂/∂X, [image, row, column, channel / 4]
    /// vec4, where `wanted` asks for it. `training` as in [`Self::record_forward`].
    ///
    /// The small gradients of the last layers exist for all images at once; from the first large one on, images go back in chunks,
    /// whose weight gradients add up.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without gradients, for chunks of more images than [`Self::chunk`], or where gradients of a batch norm's
    /// parameters are wanted of a pass in inference mode.
    pub fn record_backward<'a>(
        &'a self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: impl Into<Chunked<'a>>,
        training: Option<TrainingPass<'_>>,
        wanted: Gradients,
    ) -> Result<&'a Buffer> {
        self.walk_back(gpu, recording, images.into(), training, wanted, Walk::GRADIENT)
    }

    /// The backward pass of [`Self::record_backward`]; in networks that do not train also with another rule in the place of derivatives,
    /// and no farther than to a layer's output.
    pub(super) fn walk_back<'a>(
        &'a self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: Chunked<'_>,
        training: Option<TrainingPass<'_>>,
        wanted: Gradients,
        walk: Walk<'_>,
    ) -> Result<&'a Buffer> {
        let backward = self.backward_buffers()?;
        let seam = backward.plan.seam;
        if images.size > backward.plan.chunk {
            return Err(Error::Gpu(format!(
                "a backward pass takes {} images at a time, not {}",
                backward.plan.chunk, images.size
            )));
        }
        let mut gradient = &backward.logits;
        let mut turn = 0;
        let mut pass = self.pass(gpu, recording, images.whole, 0);
        for index in (seam..self.nodes.len()).rev() {
            if walk.stop == Some(index) {
                return Ok(gradient);
            }
            self.record_node_gradient(&mut pass, index, gradient.into(), training, wanted, walk)?;
            if index > seam && !self.nodes[index].is_in_place() {
                let target = self.gradient_target(index, &backward.whole[turn]);
                self.record_input_gradient(&mut pass, index, [gradient.into(), target.into()], wanted, walk)?;
                (gradient, turn) = (target, 1 - turn);
            }
        }
        for (number, &range) in (0..).zip(&images.chunks) {
            let mut pass = self.pass(gpu, recording, range, number * images.size);
            let node = &self.nodes[seam];
            let mut gradient = pass.at(gradient, node.output_elements(), node.gradient_storage().output);
            let mut turn = 0;
            for index in (0..=seam).rev() {
                if index < seam {
                    self.record_node_gradient(&mut pass, index, gradient, training, wanted, walk)?;
                }
                if index == 0 && wanted == Gradients::Parameters {
                    break;
                }
                if !self.nodes[index].is_in_place() {
                    let buffer = self.gradient_target(index, &backward.chunk[turn]);
                    let is_last = std::ptr::eq(buffer, &backward.input);
                    let target = if is_last { pass.at(buffer, self.input_elements(), Format::F32) } else { buffer.into() };
                    self.record_input_gradient(&mut pass, index, [gradient, target], wanted, walk)?;
                    (gradient, turn) = (target, 1 - turn);
                }
            }
        }
        Ok(&backward.input)
    }

    /// Where the gradient with respect to a node's input goes: `turn`, unless it is the images'.
    fn gradient_target<'a>(&'a self, index: usize, turn: &'a Buffer) -> &'a Buffer {
        match &self.backward {
            Some(backward) if self.nodes[..index].iter().all(Node::is_in_place) => &backward.input,
            _ => turn,
        }
    }

    /// What a node does with the gradient of its own output: through its activation, in place, to its weights.
    fn record_node_gradient(
        &self,
        pass: &mut Pass<'_>,
        index: usize,
        gradient: Binding<'_>,
        training: Option<TrainingPass<'_>>,
        wanted: Gradients,
        walk: Walk<'_>,
    ) -> Result<()> {
        let node = &self.nodes[index];
        if let Some(positive) = walk.positive {
            self.record_positive_ratio(pass, index, gradient, positive)?;
        }
        if node.activation != ActivationPlan::NONE && !(node.gradient_by_pool && walk.joins_pools()) {
            match walk.rule {
                BackwardRule::Gradient => self.record_activation_gradient(pass, node, gradient, wanted)?,
                BackwardRule::Positive => {}
                rule => {
                    let input = index.checked_sub(1).map_or(&self.input, |previous| &self.nodes[previous].value);
                    pass.activation_rule(node, input, gradient, rule)?;
                }
            }
        }
        let input = index.checked_sub(1).map_or(&self.input, |previous| &self.nodes[previous].value);
        match (&node.kind, training) {
            (NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights }, _)
                if wanted == Gradients::Parameters =>
            {
                let input = pass.at(input, node.input_elements(), node.storage.input);
                pass.weight_gradient(node, weights, [input, gradient], &self.gradients)?;
                match (&weights.folded, self.batch_norm_behind(index)) {
                    (Some(_), Some((_, norm))) => {
                        let arrays = [&self.parameters, &self.gradients];
                        norm.record_fold_gradient(pass.gpu, pass.recording, node, weights, arrays)
                    }
                    _ => Ok(()),
                }
            }
            (NodeKind::BatchNorm(_), None) if wanted == Gradients::Parameters => {
                Err(Error::Gpu(format!("{}: inference has no gradients of its parameters", node.name)))
            }
            (NodeKind::BatchNorm(norm), training) => {
                pass.batch_norm_backward(node, norm, [input.into(), gradient], &self.gradients, training)
            }
            (NodeKind::Dropout { rate, layer }, Some(TrainingPass { step, .. })) => {
                let label = format!("{} gradient", node.name);
                let gradient = (gradient, node.gradient_storage().output);
                pass.dropout(label, [node.output_elements(), *layer], *rate, step, gradient)
            }
            _ => Ok(()),
        }
    }

    /// The gradient with respect to the input of a node that is not in place.
    fn record_input_gradient(
        &self,
        pass: &mut Pass<'_>,
        index: usize,
        [from, to]: [Binding<'_>; 2],
        wanted: Gradients,
        walk: Walk<'_>,
    ) -> Result<()> {
        let node = &self.nodes[index];
        match &node.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                pass.weighted_input_gradient(node, walk.weights(index, weights), [from, to])
            }
            NodeKind::MaxPool { kernel, stride, choice } if walk.rule == BackwardRule::Rescale => {
                let input = index.checked_sub(1).map_or(&self.input, |previous| &self.nodes[previous].value);
                let shape = pool_shape([node.input, node.output], *kernel, *stride).tile("WINDOWS", kernel.div_ceil(*stride));
                pass.pool_rescale(node, shape, [input.into(), choice.into(), from, to])
            }
            NodeKind::MaxPool { kernel, stride, choice } => {
                let joined = walk.joins_pools();
                self.record_pool_gradient(pass, index, [*kernel, *stride], choice, [from, to], wanted, joined)
            }
            NodeKind::BatchNorm(_) | NodeKind::Activation | NodeKind::Dropout { .. } => Ok(()),
        }
    }

    fn record_activation_gradient(
        &self,
        pass: &mut Pass<'_>,
        node: &Node,
        gradient: Binding<'_>,
        wanted: Gradients,
    ) -> Result<()> {
        let (items, elements) = (self.tiles.elementwise_items(), node.output_elements());
        let specialization = Specialization::new().tile("ITEMS", items).constant("ELEMENTS", elements);
        let storage = Storage { input: Format::F32, state: node.storage.state, ..node.gradient_storage() };
        let specialization = storage.specialize(specialization);
        let kernel = pass.gpu.kernel("activation_gradient", node.activation.backward(specialization))?;
        let mut bindings = vec![pass.range.binding, pass.at(node.state(), elements, node.storage.state), gradient];
        self.bind_alpha_sums(node.activation, &mut bindings)?;
        let images = pass.range.most;
        let blocks = (images * elements).div_ceil(ELEMENTWISE * items);
        pass.recording.dispatch(pass.gpu, format!("{} activation gradient", node.name), kernel, &bindings, grid(blocks))?;
        pass.recording.note_work(elementwise_work(node, images, 2 * elements, elements));
        self.record_alpha_sum(pass, node, blocks, wanted)
    }

    #[expect(clippy::too_many_arguments, reason = "the pool, where gradients come from and go to, and what for")]
    fn record_pool_gradient(
        &self,
        pass: &mut Pass<'_>,
        index: usize,
        [kernel, stride]: [u32; 2],
        choice: &Buffer,
        [from, to]: [Binding<'_>; 2],
        wanted: Gradients,
        joined: bool,
    ) -> Result<()> {
        let node = &self.nodes[index];
        let (read, written) = (node.output_elements(), node.input_elements());
        let choice = pass.at_bytes(choice, 4 * read);
        let previous = index.checked_sub(1).map(|previous| &self.nodes[previous]);
        let fused = previous.filter(|previous| previous.gradient_by_pool && joined);
        let activation = fused.map_or(ActivationPlan::NONE, |previous| previous.activation);
        let state = fused.map_or(choice, |previous| pass.at(previous.state(), written, previous.storage.state));
        let storage = Storage { state: fused.map_or(Format::F32, |previous| previous.storage.state), ..node.gradient_storage() };
        let items = self.tiles.elementwise_items();
        let specialization = activation.backward(
            pool_shape([node.input, node.output], kernel, stride).tile("ITEMS", items).tile("WINDOWS", kernel.div_ceil(stride)),
        );
        let kernel = pass.gpu.kernel("max_pool_gradient", storage.specialize(specialization))?;
        let mut bindings = vec![pass.range.binding, from, choice, state, to];
        self.bind_alpha_sums(activation, &mut bindings)?;
        let images = pass.range.most;
        let blocks = (images * written).div_ceil(ELEMENTWISE * items);
        pass.recording.dispatch(pass.gpu, format!("{} gradient", node.name), kernel, &bindings, grid(blocks))?;
        let state_read = if fused.is_some() { written } else { 0 };
        pass.recording.note_work(elementwise_work(node, images, read + state_read, written));
        match fused {
            Some(previous) => self.record_alpha_sum(pass, previous, blocks, wanted),
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

    fn record_alpha_sum(&self, pass: &mut Pass<'_>, node: &Node, blocks: u32, wanted: Gradients) -> Result<()> {
        let Some(index) = node.activation.alpha_index().filter(|_| wanted == Gradients::Parameters) else { return Ok(()) };
        let scale = node.activation.gradient_scale(node.activated().elements());
        let specialization = Specialization::new().constant("COUNT", blocks).constant("INDEX", index).constant("SCALE", scale);
        let kernel = pass.gpu.kernel("sum_partials", specialization)?;
        let bindings = [pass.range.binding, (&self.backward_buffers()?.partial_sums).into(), (&self.gradients).into()];
        pass.recording.dispatch(pass.gpu, format!("{} α gradient", node.name), kernel, &bindings, [1, 1, 1])
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
    Work { flops: 0, bytes: node.storage.output.group_bytes() * u64::from(images) * (u64::from(read) + u64::from(written)) }
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

impl Pass<'_> {
    /// Adds dropout of a layer's values, or of their gradient, in place.
    fn dropout(
        &mut self,
        label: String,
        [elements, layer]: [u32; 2],
        rate: f32,
        step: &Buffer,
        (values, format): (Binding<'_>, Format),
    ) -> Result<()> {
        let specialization = Specialization::new()
            .tile("LANES", ELEMENTWISE)
            .constant("ELEMENTS", elements)
            .constant("LAYER", layer)
            .constant("RATE", f64::from(rate));
        let storage = Storage::new(Format::F32, format);
        let kernel = self.gpu.kernel("dropout", storage.specialize(specialization))?;
        let bindings = [self.range.binding, step.into(), values];
        let workgroups = [elements.div_ceil(ELEMENTWISE), self.range.most, 1];
        self.recording.dispatch(self.gpu, label, kernel, &bindings, workgroups)
    }
}
