//! How a network's nodes and buffers are made from its configuration.

use super::{ELEMENTWISE, GradientBuffers, Network, NetworkOptions, bytes};
use crate::{
    Error, Result,
    config::{LayerConfig, NetworkConfig, QuantizationConfig, Shape},
    gpu::Gpu,
    layout::groups,
    nn::{
        batch_norm::BatchNorm,
        chunks::BackwardPlan,
        node::{JoinedPool, Node, NodeKind, Weights},
    },
    quant::{ActivationPlan, WeightQuantizerPlan},
    storage::{Format, Storage},
};

impl Network {
    pub(super) fn build_nodes(
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
    pub(super) fn backward_plan(&self, options: NetworkOptions) -> BackwardPlan {
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
    pub(super) fn allocate_parts(&mut self, gpu: &Gpu, plan: BackwardPlan) -> Result<()> {
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

    pub(super) fn gradient_buffers(&self, gpu: &Gpu, plan: BackwardPlan) -> Result<GradientBuffers> {
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
}
