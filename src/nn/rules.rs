//! Backward passes other than the gradient's: rules that attribution methods put in the place of
//! the derivatives of activations and pools. Weighted layers hand everything back through their
//! transposed weights, whatever the rule.

use super::{
    Gradients, Network, NetworkOptions, TileTable,
    network::{Assembly, ELEMENTWISE, elementwise_work, grid},
    node::{Node, NodeKind, Weights},
    weighted::{self, Pass},
};
use crate::{
    Error, Result,
    config::{NetworkConfig, QuantizationConfig, Shape},
    gpu::{Binding, Buffer, Gpu, Recording},
    kernels::ImageRange,
    shaders::Specialization,
};

/// What an activation does to what comes back through it; y = activate(x), g the value at its
/// output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackwardRule {
    /// y′·g, by the straight-through estimator.
    #[default]
    Gradient,
    /// max(y′·g, 0): guided back-propagation (Springenberg et al. 2015).
    Guided,
    /// Δy/Δx·g, with differences from a baseline's forward pass (DeepLIFT's rescale rule, Shrikumar
    /// et al. 2017); max-pooling sends the difference of its outputs to the larger one's maximum.
    Rescale,
    /// y/(x ± ε)·g: layer-wise relevance propagation's ε rule (Bach et al. 2015) for relevances
    /// divided by the values they are of, y·g.
    Epsilon,
    /// y/ẑ·g at every weighted layer z = Wx + b with ẑ = max(W, 0)·x, and max(W, 0)ᵀ in the place
    /// of Wᵀ: the z⁺ rule, of the same multipliers (Montavon et al. 2017; Captum's
    /// `Alpha1_Beta0_Rule` with biases set to zero). See [`Network::record_positive_backward`].
    Positive,
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

/// Which way back: the rule, the node at whose output to stop (`None`: the input), and the network
/// with the positive weights where the rule wants one.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub rule: BackwardRule,
    pub stop: Option<usize>,
    pub positive: Option<&'a Network>,
}

impl<'a> Walk<'a> {
    pub const GRADIENT: Walk<'static> =
        Walk { rule: BackwardRule::Gradient, stop: None, positive: None };

    /// Whether a max-pool takes the derivative of the activation in front of it along.
    pub fn joins_pools(self) -> bool {
        self.rule == BackwardRule::Gradient && self.stop.is_none()
    }

    /// The weights that node `index` hands back through: `own`, or their positive part.
    pub fn weights(self, index: usize, own: &'a Weights) -> &'a Weights {
        self.positive.and_then(|network| network.nodes[index].weights()).unwrap_or(own)
    }
}

impl Network {
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

    /// Adds the backward pass of `range` from what [`Self::logit_gradients`] holds, by `rule`; down
    /// to the output of layer `stop` (a number counted from 0, of [`Self::layer`]) or to the input.
    /// Returns the buffer with the result. With [`BackwardRule::Rescale`] the baselines' forward
    /// pass must be behind the images', as many as there are.
    ///
    /// # Errors
    /// [`Error::Gpu`] where the network does not keep what the rule needs.
    pub fn record_backward_by(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        rule: BackwardRule,
        stop: Option<usize>,
    ) -> Result<&Buffer> {
        let needs_inputs = matches!(rule, BackwardRule::Rescale | BackwardRule::Epsilon);
        if needs_inputs && !self.layer_by_layer {
            return Err(Error::Gpu("this network was made without its activations' inputs".into()));
        }
        self.walk_back(
            gpu,
            recording,
            range.into(),
            None,
            Gradients::Input,
            Walk { rule, stop, positive: None },
        )
    }

    /// Adds cutting the weights that [`Self::record_weights`] made at 0, and setting biases to 0:
    /// for a network that is to be the `positive` one of [`Self::record_positive_backward`].
    ///
    /// # Errors
    /// [`Error::Usage`] where a batch norm is not folded into its layer.
    pub fn record_positive_weights(&self, gpu: &Gpu, recording: &mut Recording) -> Result<()> {
        for node in &self.nodes {
            if let NodeKind::BatchNorm(_) = node.kind {
                return Err(Error::Usage(
                    "the z-plus rule needs batch norms folded into their layers; `saliq export` folds them".into(),
                ));
            }
            let Some(weights) = node.weights() else { continue };
            let label = format!("{} positive weights", node.name);
            for buffer in [&weights.forward, &weights.backward] {
                let count = (buffer.size() / 16) as u32;
                let kernel =
                    gpu.kernel("positive_part", Specialization::new().constant("COUNT", count))?;
                let workgroups = grid(count.div_ceil(ELEMENTWISE));
                recording.dispatch(gpu, label.as_str(), kernel, &[buffer.into()], workgroups)?;
            }
            weighted::record_slices(gpu, recording, &label, weights)?;
            recording.clear(&weights.bias);
        }
        Ok(())
    }

    /// Adds the backward pass of `range` by [`BackwardRule::Positive`], after this network's
    /// forward pass; `positive` is the same network with [`Self::record_positive_weights`].
    ///
    /// # Errors
    /// As [`Self::record_backward_by`].
    pub fn record_positive_backward(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        range: ImageRange<'_>,
        positive: &Network,
    ) -> Result<&Buffer> {
        for (index, node) in positive.nodes.iter().enumerate() {
            if let Some(weights) = node.weights() {
                let input = index
                    .checked_sub(1)
                    .map_or(&self.input, |previous| &self.nodes[previous].value);
                positive.pass(gpu, recording, range, 0).weighted_forward(node, weights, input)?;
            }
        }
        let walk = Walk { rule: BackwardRule::Positive, stop: None, positive: Some(positive) };
        self.walk_back(gpu, recording, range.into(), None, Gradients::Input, walk)
    }

    /// What [`BackwardRule::Positive`] does at the output of node `index`: relevance that the
    /// following activation handed back unchanged is of the activated value.
    pub(super) fn record_positive_ratio(
        &self,
        pass: &mut Pass<'_>,
        index: usize,
        gradient: Binding<'_>,
        positive: &Network,
    ) -> Result<()> {
        let is_activation = |node: &&Node| matches!(node.kind, NodeKind::Activation);
        let node = &self.nodes[index];
        if node.weights().is_some() {
            let activated = self.nodes.get(index + 1).filter(is_activation).unwrap_or(node);
            return pass.relevance_ratio(
                node,
                [&positive.nodes[index].value, &activated.value],
                gradient,
            );
        }
        match index.checked_sub(1).map(|previous| &self.nodes[previous]) {
            Some(previous) if is_activation(&node) && previous.weights().is_none() => {
                pass.relevance_ratio(node, [&previous.value, &node.value], gradient)
            }
            _ => Ok(()),
        }
    }

    /// Name, output shape and output of layer `number`.
    pub fn layer(&self, number: usize) -> (&str, Shape, &Buffer) {
        let node = &self.nodes[number];
        (&node.name, node.output, &node.value)
    }
}

impl Pass<'_> {
    /// Adds `rule` at the activation of `node`, whose input is `input`, to `gradient` in place.
    pub fn activation_rule(
        &mut self,
        node: &Node,
        input: &Buffer,
        gradient: Binding<'_>,
        rule: BackwardRule,
    ) -> Result<()> {
        let (elements, images) = (node.output_elements(), self.range.most);
        let (name, what) = match rule {
            BackwardRule::Guided | BackwardRule::Gradient => ("guided_gradient", "guided gradient"),
            BackwardRule::Rescale => ("rescale_multiplier", "multipliers"),
            BackwardRule::Epsilon | BackwardRule::Positive => {
                return self.relevance_ratio(node, [input, &node.value], gradient);
            }
        };
        let specialization =
            node.activation.backward(Specialization::new().constant("ELEMENTS", elements));
        let mut bindings = vec![self.range.binding];
        match rule {
            BackwardRule::Rescale => bindings.extend([input.into(), Binding::from(&node.value)]),
            _ => bindings.push(node.state().into()),
        }
        bindings.push(gradient);
        if node.activation.is_pact() {
            bindings.push(self.parameters.into());
        }
        let workgroups = grid((images * elements).div_ceil(ELEMENTWISE));
        let kernel = self.gpu.kernel(name, specialization)?;
        self.recording.dispatch(
            self.gpu,
            format!("{} {what}", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(node, images, 2 * elements, elements));
        Ok(())
    }

    /// Adds multiplying `multiplier` at the output of `node`, in place, by y/(x ± ε).
    pub fn relevance_ratio(
        &mut self,
        node: &Node,
        [x, y]: [&Buffer; 2],
        multiplier: Binding<'_>,
    ) -> Result<()> {
        let (elements, images) = (node.output_elements(), self.range.most);
        let kernel = self
            .gpu
            .kernel("relevance_ratio", Specialization::new().constant("ELEMENTS", elements))?;
        let bindings = [self.range.binding, x.into(), y.into(), multiplier];
        let workgroups = grid((images * elements).div_ceil(ELEMENTWISE));
        self.recording.dispatch(
            self.gpu,
            format!("{} relevance", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(node, images, 3 * elements, elements));
        Ok(())
    }

    /// Adds the rescale rule at a max-pool; `bindings` are its input, its choices, and where
    /// multipliers come from and go to.
    pub fn pool_rescale(
        &mut self,
        node: &Node,
        shape: Specialization,
        [input, choice, from, to]: [Binding<'_>; 4],
    ) -> Result<()> {
        let bindings = [self.range.binding, input, (&node.value).into(), choice, from, to];
        let workgroups = grid((self.range.most * node.input_elements()).div_ceil(ELEMENTWISE));
        let kernel = self.gpu.kernel("max_pool_rescale", shape)?;
        self.recording.dispatch(
            self.gpu,
            format!("{} multipliers", node.name),
            kernel,
            &bindings,
            workgroups,
        )?;
        self.recording.note_work(elementwise_work(
            node,
            self.range.most,
            2 * node.output_elements(),
            node.input_elements(),
        ));
        Ok(())
    }
}
