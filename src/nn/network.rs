//! A network on the GPU: its parameters, nodes and buffers, the passes over them, and what can be
//! read of them.

use std::sync::Arc;

use super::{
    ProductShape, TileTable,
    body::Body,
    nodes::{Assembly, NetworkOptions, Node, NodeKind, build},
    ops::{
        batch_norm::TrainingPass, convolution::slice_weights, products::products,
        weights::RelevanceWeights,
    },
    pass::{self, BackwardRule, Gradients, Walk},
    tangents::GradientMap,
};
use crate::{
    Error, Result,
    batch::Chunked,
    config::{NetworkConfig, QuantizationConfig, Shape},
    gpu::{Binding, Buffer, Gpu, Launcher, Recording},
    graph::Graph,
    kernels::{Add, ImageRange, WeightShape},
    layout::groups,
    quant::{ActivationPlan, WeightQuantizerPlan},
    storage::{Format, Storage},
};

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

/// What a network keeps of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The outputs of weighted layers after their activations: the fastest.
    Joined,
    /// Outputs before and after every activation: what [`BackwardRule::Rescale`] and
    /// [`BackwardRule::Epsilon`] need.
    Separate,
}

/// A network with its parameters and activations on the GPU.
pub struct Network {
    /// What it computes, and where each parameter is in the flat arrays.
    pub graph: Arc<Graph>,
    body: Body,
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

    fn assemble(
        gpu: &Gpu,
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        options: NetworkOptions,
        tiles: TileTable,
        assembly: Assembly,
    ) -> Result<Network> {
        let graph = Arc::new(Graph::new(config, quantization)?);
        let length = u64::from(graph.layout.padded_length()) * 4;
        let elements = u64::from(config.input.pixels() * groups(config.input.channels));
        let image_bytes = elements * Format::F32.group_bytes();
        let input = gpu.buffer("images", u64::from(options.slots) * image_bytes)?;
        let parameters = match assembly.parameters {
            Some(shared) => shared,
            None => gpu.buffer("parameters", length)?,
        };
        let gradients = gpu.buffer("parameter gradients", length)?;
        let layer_by_layer = assembly.layer_by_layer;
        let mut nodes = build(gpu, &graph, &input, &tiles, (options, layer_by_layer))?;
        for node in &mut nodes {
            slice_weights(gpu, node, &tiles, options.gradients)?;
        }
        let slots = options.slots;
        let mut body = Body {
            parameters,
            gradients,
            input,
            nodes,
            backward: None,
            tangents: None,
            slots,
            tiles,
            layer_by_layer,
        };
        if options.gradients {
            body.allocate_backward(gpu, options.training, options.masked)?;
        }
        if options.tangents > 0 {
            body.allocate_tangents(gpu, options.tangents)?;
        }
        Ok(Network { graph, body })
    }

    /// A network that works with `parameters`, another one's or the caller's, and trains nothing.
    /// Dropout and the like are left out of its passes.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn for_attribution(
        gpu: &Gpu,
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        (slots, layers): (u32, Layers),
        gradients: bool,
        parameters: &Buffer,
    ) -> Result<Network> {
        let options =
            NetworkOptions { slots, training: false, gradients, ..NetworkOptions::default() };
        let assembly = Assembly {
            parameters: Some(parameters.clone()),
            layer_by_layer: layers == Layers::Separate,
        };
        Network::assemble(gpu, config, quantization, options, TileTable::new(gpu), assembly)
    }

    /// Adds the fake quantization and layout of every layer's weights, and what batch norms make of
    /// their running statistics: once a step, before the passes.
    ///
    /// # Errors
    /// As [`Recording::launch`], here and in the other passes.
    pub fn record_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        pass::prepare_weights(&self.body, gpu, recording)
    }

    /// Adds f(X) for `images`, in inference mode where `training` is `None`.
    ///
    /// # Errors
    /// As [`Recording::launch`].
    pub fn record_forward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: ImageRange<'_>,
        training: Option<TrainingPass<'_>>,
    ) -> Result<()> {
        pass::forward(&self.body, gpu, recording, images, training)
    }

    /// Adds the backward pass from the logits' gradients for `images`. Returns where
    /// ∂/∂X is, [image, row, column, channel / 4] vec4, where `wanted` asks for it. `training` as
    /// in [`Self::record_forward`]. A pass for [`Gradients::Parameters`] replaces activations by
    /// their gradients: another pass backward needs another forward pass first.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without gradients, for chunks of more images than
    /// [`Self::chunk`], or where gradients of a batch norm's parameters are wanted of a pass in
    /// inference mode.
    pub fn record_backward<'a>(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: impl Into<Chunked<'a>>,
        training: Option<TrainingPass<'_>>,
        wanted: Gradients,
    ) -> Result<Binding<'_>> {
        let walk = Walk::GRADIENT;
        pass::backward(&self.body, gpu, recording, images.into(), training, wanted, walk)
    }

    /// Adds the backward pass of `images` from what [`Self::logit_gradients`] holds, by `rule`;
    /// down to the output of layer `stop` (a number counted from 0, of [`Self::layer`]) or to the
    /// input. Returns where the result is. With [`BackwardRule::Rescale`] the baselines'
    /// forward pass must be behind the images', as many as there are.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the network does not keep what the rule needs.
    pub fn record_backward_by(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: ImageRange<'_>,
        rule: BackwardRule,
        stop: Option<usize>,
    ) -> Result<Binding<'_>> {
        if let BackwardRule::Weighted(_) = rule {
            return Err(Error::Gpu("the rule needs a network with its own weights".into()));
        }
        let needs_inputs = matches!(rule, BackwardRule::Rescale | BackwardRule::Epsilon);
        if needs_inputs && !self.body.layer_by_layer {
            return Err(Error::Gpu("this network was made without its activations' inputs".into()));
        }
        let walk = Walk { rule, stop, weighted: None };
        let wanted = Gradients::Input;
        pass::backward(&self.body, gpu, recording, images.into(), None, wanted, walk)
    }

    /// Adds turning the weights that [`Self::record_weights`] made into those of the `rule`: for a
    /// network that is to be the `weighted` one of [`Self::record_relevance_backward`].
    ///
    /// # Errors
    /// [`Error::Unfolded`] where a batch norm is not folded into its layer.
    pub fn record_relevance_weights(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        rule: RelevanceWeights,
    ) -> Result<()> {
        pass::relevance_weights(&self.body, gpu, recording, rule)
    }

    /// Adds the backward pass of `images` by [`BackwardRule::Weighted`], after this network's
    /// forward pass; `weighted` is the same network with [`Self::record_relevance_weights`].
    ///
    /// # Errors
    /// As [`Self::record_backward_by`].
    pub fn record_relevance_backward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: ImageRange<'_>,
        weighted: &Network,
        rule: RelevanceWeights,
    ) -> Result<Binding<'_>> {
        pass::relevance_backward(&self.body, &weighted.body, gpu, recording, images, rule)
    }

    /// Adds the map of gradients ∂s/∂X of `images` from what [`Self::map_logit_gradients`] holds,
    /// after a forward pass in inference mode; all gradients on the way are kept.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without tangents; as [`Recording::launch`].
    pub fn record_map(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: ImageRange<'_>,
    ) -> Result<GradientMap<'_>> {
        pass::kept_backward(&self.body, self.body.tangents()?, gpu, recording, images)
    }

    /// Adds ∂⟨∂s/∂X, v⟩/∂θ for the pass that made `map`, with the v that is in its place now. The
    /// forward pass's values must be there still.
    ///
    /// # Errors
    /// As [`Self::record_map`].
    pub fn record_map_gradient(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: ImageRange<'_>,
        map: &GradientMap<'_>,
    ) -> Result<()> {
        let tangents = self.body.tangents()?;
        recording.clear(&tangents.gradients);
        pass::tangent(&self.body, tangents, gpu, recording, images, map)
    }

    /// Adds adding what [`Self::record_map_gradient`] made to [`Self::gradients`].
    ///
    /// # Errors
    /// As [`Self::record_map`].
    pub fn record_adding_map_gradient(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        let tangents = self.body.tangents()?;
        let sum = Add {
            images: ImageRange { binding: (&tangents.one).into(), most: 1 },
            left: (&tangents.gradients).into(),
            right: None,
            output: (&self.body.gradients).into(),
            pre_activation: None,
            parameters: (&self.body.parameters).into(),
            elements: groups(self.graph.layout.length),
            activation: ActivationPlan::NONE,
            storage: Storage::new(Format::F32, Format::F32),
        };
        sum.record(gpu, recording, "gradients of maps")
    }

    /// Where the gradient of s with respect to the logits is to be written, of which
    /// [`Self::record_map`] makes the map, [image, class (padded)].
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without tangents.
    pub fn map_logit_gradients(&self) -> Result<&Buffer> {
        Ok(&self.body.tangents()?.backward.logits)
    }

    /// ∂⟨∂s/∂X, v⟩/∂θ, flat, as [`Self::record_map_gradient`] made it.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without tangents.
    pub fn map_gradients(&self) -> Result<&Buffer> {
        Ok(&self.body.tangents()?.gradients)
    }

    /// All parameters, flat.
    pub fn parameters(&self) -> &Buffer {
        &self.body.parameters
    }

    /// Their gradients, flat.
    pub fn gradients(&self) -> &Buffer {
        &self.body.gradients
    }

    /// The images, [image, row, column, channel / 4] vec4, normalised.
    pub fn input(&self) -> &Buffer {
        &self.body.input
    }

    /// Name, output shape and output of layer `number`.
    pub fn layer(&self, number: usize) -> (&str, Shape, &Buffer) {
        let node = &self.body.nodes[number];
        (&node.name, node.output, &node.value)
    }

    /// Bytes that must be kept from the forward pass for the backward pass, for all slots: the
    /// images, every layer's output, PACT's inputs and the choices of max-pooling, as far as the
    /// backward pass reads them.
    pub fn kept_bytes(&self) -> u64 {
        self.body.kept_bytes()
    }

    /// Bytes of the buffers that images and activations of all slots take, those for gradients not
    /// counted.
    pub fn activation_bytes(&self) -> u64 {
        let of = |node: &Node| {
            let own_input = node.pre_activation.as_ref().filter(|_| !node.kind.is_function());
            let choice = match &node.kind {
                NodeKind::MaxPool { choice, .. } => Some(choice),
                _ => None,
            };
            let value = Some(&node.value).filter(|_| !node.shares_value(&self.body.nodes));
            [value, own_input, choice].into_iter().flatten().map(Buffer::size).sum::<u64>()
        };
        self.body.input.size() + self.body.nodes.iter().map(of).sum::<u64>()
    }

    /// The matrix products of a training step on GPUs, under the labels of their dispatches.
    pub fn products(&self) -> Vec<(String, ProductShape)> {
        self.body.nodes.iter().filter(|node| node.weights().is_some()).flat_map(products).collect()
    }

    /// Images that a backward pass takes at a time.
    pub fn chunk(&self) -> u32 {
        self.body.backward.as_ref().map_or(self.body.slots, |backward| backward.plan.chunk)
    }

    /// The output of the last layer, [image, class (padded)].
    pub fn logits(&self) -> &Buffer {
        self.body.nodes.last().map_or(&self.body.input, |node| &node.value)
    }

    /// Where the gradient of the loss with respect to the logits is to be written, [image, class
    /// (padded)].
    pub fn logit_gradients(&self) -> Result<&Buffer> {
        Ok(&self.body.backward_buffers()?.logits)
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
        self.body.nodes.iter().map(|node| {
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
            .body
            .nodes
            .iter()
            .find(|node| node.activation_name.as_deref().unwrap_or(&node.name) == name);
        let node = found.ok_or_else(|| Error::Model(format!("the network has no layer {name}")))?;
        let format = node.storage.output;
        let words = u64::from(images * node.output_elements()) * format.group_bytes() / 4;
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
        let found =
            self.body.nodes.iter().find(|node| node.activation_name.as_deref() == Some(name));
        let kept = found.and_then(|node| Some((node, node.pre_activation.as_ref()?)));
        let (node, buffer) = kept.ok_or_else(|| {
            Error::Model(format!("the network keeps no input of an activation {name}"))
        })?;
        let format = node.storage.state;
        let words = u64::from(images * node.output_elements()) * format.group_bytes() / 4;
        Ok(format.decode(&gpu.read::<u32>(buffer, 0, words).await?))
    }

    /// The layers' weights as the passes use them, fake-quantized (and scaled by a batch norm
    /// behind them then), under the layers' names: [tap, input channel
    /// ([stored](WeightShape::stored_inputs)), output channel (padded)], filled by
    /// [`Self::record_weights`].
    pub fn layer_weights(&self) -> impl Iterator<Item = (&str, WeightShape, &Buffer)> {
        self.body.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Convolution { weights, .. } | NodeKind::FullyConnected { weights } => {
                Some((node.name.as_str(), weights.shape, &weights.forward))
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
        self.body.nodes.iter().filter_map(|node| {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LayerBits, LayerConfig},
        gpu::{Abilities, Command},
    };

    /// The kernel of the forward pass of a fully connected layer of `inputs` behind an activation,
    /// both of `bits`.
    fn kernel_of(inputs: u32, bits: u32) -> &'static str {
        let linear = |name: &str, out_features| LayerConfig::linear(name, out_features);
        let layers =
            vec![linear("fc1", inputs), LayerConfig::activation("act1"), linear("fc2", 16)];
        let network = NetworkConfig { input: Shape::new(1, 1, 4), classes: 16, layers };
        let bits = vec![
            LayerBits { weight: 32, activation: bits },
            LayerBits { weight: bits, activation: 32 },
        ];
        let quantization = QuantizationConfig { bits, ..QuantizationConfig::default() };
        let gpu =
            Gpu::noop(false, Abilities { subgroup_lanes: Some(32), cooperative_side: Some(16) });
        let options = NetworkOptions { slots: 1, ..NetworkOptions::default() };
        let network = Network::new(&gpu, &network, &quantization, options).unwrap();
        let range = gpu.uniform("range", 16).unwrap();
        let mut recording = Recording::new();
        network
            .record_forward(
                &gpu,
                &mut recording,
                ImageRange { binding: (&range).into(), most: 1 },
                None,
            )
            .unwrap();
        let forward = recording.commands().iter().find_map(|command| match command {
            Command::Dispatch { kernel, label, .. } if label == "fc2 forward" => {
                Some(kernel.name())
            }
            _ => None,
        });
        forward.unwrap()
    }

    #[test]
    fn cooperative_matrices_multiply_where_their_sums_are_exact() {
        assert_eq!(
            [kernel_of(258, 8), kernel_of(259, 8)],
            ["convolution_cooperative", "convolution_tiled"]
        );
        assert_eq!(kernel_of(3000, 4), "convolution_cooperative");
    }

    #[test]
    fn what_the_network_does_not_have_is_not_read_from_elsewhere() {
        let gpu = Gpu::noop(true, Abilities::default());
        let config =
            NetworkConfig::table_one(Shape::new(1, 12, 12), 3, [0.0, 0.0]).with_batch_norm();
        let options = NetworkOptions { slots: 1, ..NetworkOptions::default() };
        let network = Network::new(&gpu, &config, &QuantizationConfig::default(), options).unwrap();
        for error in [
            pollster::block_on(network.read_activation(&gpu, "act9", 1)).unwrap_err(),
            pollster::block_on(network.read_pre_activation(&gpu, "act9", 1)).unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Model(reason) if reason.contains("act9")), "{error}");
        }
    }
}
