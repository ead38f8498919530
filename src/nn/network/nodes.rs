//! How a network's nodes are made from its configuration: a node a layer, but for activations and max-pools that are part of the node before.

use super::{Network, NetworkOptions, bytes};
use crate::{
    Error, Result,
    config::{LayerBits, LayerConfig, MAX_POOL_KERNEL, NetworkConfig, QuantizationConfig, Shape},
    gpu::{Buffer, Gpu},
    layout::groups,
    nn::{
        batch_norm::BatchNorm,
        node::{JoinedPool, Node, NodeKind, Weights},
    },
    quant::{ActivationPlan, WeightQuantizerPlan},
    storage::{Format, Storage},
};

/// A network whose nodes are being made, and where in the configuration that is.
pub(super) struct NodeBuilder<'a> {
    network: &'a mut Network,
    gpu: &'a Gpu,
    layers: &'a [LayerConfig],
    /// Of the layers' outputs.
    shapes: Vec<Shape>,
    quantization: &'a QuantizationConfig,
    options: NetworkOptions,
    /// The next layer.
    index: usize,
    /// Convolutions and fully connected layers so far.
    weighted: usize,
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
        config: &'a NetworkConfig,
        quantization: &'a QuantizationConfig,
        options: NetworkOptions,
    ) -> Result<NodeBuilder<'a>> {
        Ok(NodeBuilder {
            network,
            gpu,
            layers: &config.layers,
            shapes: config.shapes()?,
            quantization,
            options,
            index: 0,
            weighted: 0,
            shape: config.input,
            format: Format::F32,
            input_activation: ActivationPlan::NONE,
        })
    }

    /// Makes all nodes.
    pub fn build(mut self) -> Result<()> {
        while self.index < self.layers.len() {
            self.add_node()?;
        }
        Ok(())
    }

    fn add_node(&mut self) -> Result<()> {
        let mut output = self.shapes[self.index];
        let (name, mut kind) = self.kind(output)?;
        let (activation_name, activation) = self.activation(&name, &kind)?;
        if let NodeKind::Convolution { pool, stride, .. } = &mut kind
            && let Some(joined) = self.joined_pool(*stride, output)?
        {
            output = self.shapes[self.index];
            *pool = Some(joined);
        }
        self.index += 1;
        let in_place = matches!(kind, NodeKind::BatchNorm(_) | NodeKind::Activation | NodeKind::Dropout { .. });
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
        let next = if matches!(kind, NodeKind::MaxPool { .. }) { self.input_activation } else { activation };
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

    /// Name and kind of the next layer's node.
    fn kind(&mut self, output: Shape) -> Result<(String, NodeKind)> {
        let number = self.index + 1;
        Ok(match &self.layers[self.index] {
            LayerConfig::Conv { name, kernel, stride, padding, .. } => {
                let weights = self.weights(name, output, kernel * kernel)?;
                (name.clone(), NodeKind::Convolution { weights, kernel: *kernel, stride: *stride, padding: *padding, pool: None })
            }
            LayerConfig::Linear { name, .. } => {
                let weights = self.weights(name, output, self.shape.pixels())?;
                (name.clone(), NodeKind::FullyConnected { weights })
            }
            LayerConfig::BatchNorm { name } => (name.clone(), NodeKind::BatchNorm(self.batch_norm(name, output)?)),
            LayerConfig::Activation { name } => (name.clone(), NodeKind::Activation),
            LayerConfig::MaxPool { kernel, stride } => (format!("pool{number}"), self.max_pool(*kernel, *stride, output)?),
            LayerConfig::Dropout { rate } => {
                (format!("dropout{number}"), NodeKind::Dropout { rate: *rate, layer: self.index as u32 })
            }
        })
    }

    /// The weights of layer `name` with `taps` taps a filter.
    fn weights(&mut self, name: &str, output: Shape, taps: u32) -> Result<Weights> {
        let layout = &self.network.layout;
        let offset = |suffix: &str| layout.require(&format!("{name}.{suffix}")).map(|parameter| parameter.offset);
        let quantizer = WeightQuantizerPlan::new(self.quantization, self.quantization.layer_bits(self.weighted))?;
        let indices = [offset("weight")?, offset("bias")?];
        let step = quantizer.learns_step().then(|| offset("weight_step")).transpose()?;
        let weights = Weights::new(self.gpu, self.shape, output, taps, indices, step, quantizer)?;
        self.weighted += 1;
        Ok(weights)
    }

    /// A batch norm. The weights in front of it are scaled by it where they are quantized.
    fn batch_norm(&mut self, name: &str, output: Shape) -> Result<BatchNorm> {
        let last = self.network.nodes.last_mut().and_then(Node::weights_mut);
        let quantized = last.filter(|weights| weights.quantizer.is_active());
        let is_folded = quantized.is_some();
        if let Some(weights) = quantized {
            let folded = match &self.network.folded {
                Some(folded) => folded.clone(),
                None => self.gpu.buffer("folded weights", u64::from(self.network.layout.padded_length()) * 4)?,
            };
            weights.folded = Some(folded.clone());
            self.network.folded = Some(folded);
        }
        let slots = self.options.training.then_some(self.options.slots);
        BatchNorm::new(self.gpu, &self.network.layout, name, output, is_folded, slots)
    }

    /// A max-pool, which takes the derivative of the activation in front of it along on the way back.
    fn max_pool(&mut self, kernel: u32, stride: u32, output: Shape) -> Result<NodeKind> {
        if kernel > MAX_POOL_KERNEL {
            let number = self.index + 1;
            return Err(Error::Model(format!(
                "layer {number}: pooling windows are at most {MAX_POOL_KERNEL} × {MAX_POOL_KERNEL}, not {kernel}"
            )));
        }
        let choice = self.choice(output)?;
        if let Some(previous) = self.network.nodes.last_mut() {
            previous.gradient_by_pool = previous.activation != ActivationPlan::NONE;
        }
        Ok(NodeKind::MaxPool { kernel, stride, choice })
    }

    /// The activation that the node's kernel applies, and its name: the node itself, or the layer behind, which is taken along.
    fn activation(&mut self, name: &str, kind: &NodeKind) -> Result<(Option<String>, ActivationPlan)> {
        let applies = matches!(kind, NodeKind::Convolution { .. } | NodeKind::FullyConnected { .. } | NodeKind::BatchNorm(_));
        let name = match (kind, self.layers.get(self.index + 1)) {
            (NodeKind::Activation, _) => name,
            (_, Some(LayerConfig::Activation { name })) if applies && !self.network.layer_by_layer => {
                self.index += 1;
                name
            }
            _ => return Ok((None, ActivationPlan::NONE)),
        };
        // An activation has the bits of the last weighted layer.
        let bits = self.weighted.checked_sub(1).map_or(LayerBits::FLOAT, |last| self.quantization.layer_bits(last));
        let learned = match bits.quantizes_activations() {
            true => Some(self.network.layout.require_learned(name, self.quantization.act_quant)?.offset),
            false => None,
        };
        let plan = ActivationPlan::new(self.quantization, bits, learned)?;
        Ok((Some(name.to_string()), plan))
    }

    /// The max-pool behind a convolution that puts out `map`, where it is part of the convolution: it is taken along.
    fn joined_pool(&mut self, stride: u32, map: Shape) -> Result<Option<JoinedPool>> {
        let is_pool = matches!(self.layers.get(self.index + 1), Some(LayerConfig::MaxPool { kernel: 2, stride: 2 }));
        let joins = self.options.keeps_windows_only()
            && !self.network.layer_by_layer
            && self.network.tiles.joins_pool(stride, groups(self.shape.channels));
        if !is_pool || !joins {
            return Ok(None);
        }
        self.index += 1;
        let choice = self.choice(self.shapes[self.index])?;
        Ok(Some(JoinedPool { map, choice }))
    }

    /// Room for the positions of the maxima of a max-pool.
    fn choice(&self, output: Shape) -> Result<Buffer> {
        let elements = u64::from(self.options.slots) * u64::from(output.pixels() * groups(output.channels));
        self.gpu.buffer("pooling choices", elements * 4)
    }

    /// Format of the output of a node in front of the layer at `index`. Layers that replace values or gradients in place have the format of
    /// what they replace, so that logits are f32 whatever of these stands behind them.
    fn output_format(&self) -> Format {
        let in_place = |layer: &LayerConfig| {
            matches!(layer, LayerConfig::BatchNorm { .. } | LayerConfig::Activation { .. } | LayerConfig::Dropout { .. })
        };
        let makes_logits = self.layers[self.index..].iter().all(in_place);
        if makes_logits { Format::F32 } else { Format::of_values(self.options.precision) }
    }

    /// What comes in.
    fn last_value(&self) -> Buffer {
        self.network.nodes.last().map_or(&self.network.input, |node| &node.value).clone()
    }
}
