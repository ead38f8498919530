//! The dispatches of the backward pass: which gradient goes where, node by node.

use super::walk::{BackwardRule, Walk};
use crate::{
    Error, Result,
    batch::Chunked,
    gpu::{Binding, Buffer, Gpu, Recording},
    graph::plan::{Passing, Source},
    kernels::{Gradient, ImageRange, PreluRule, PreluShape, WeightShape},
    nn::{
        body::Body,
        nodes::{Node, NodeKind, Weights},
        ops::{
            activation::{self, LearnedGradient},
            add, average_pool,
            batch_norm::{self, TrainingPass},
            concat, convolution, dropout, linear, max_pool, multiply, prelu,
        },
        recorder::Recorder,
        routes::{GradientBuffers, Route},
        tangents::{GradientMap, Tangents},
    },
    quant::ActivationPlan,
    storage::Format,
};

/// What a backward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradients {
    /// ∂/∂X only: saliency.
    Input,
    /// ∂/∂θ only: the first layer's input gradient is not computed.
    Parameters,
}

/// One way back through a network.
struct Way<'a, 'b> {
    body: &'a Body,
    /// Where gradients go.
    buffers: &'a GradientBuffers,
    /// Of nodes whose output's gradient is kept though its input's replaces it: where. Empty in
    /// passes that keep none.
    copies: &'a [Option<Buffer>],
    training: Option<TrainingPass<'b>>,
    wanted: Gradients,
    walk: Walk<'b>,
}

/// Adds the backward pass of `images` from the logits' gradients, by `walk`. Returns where ∂/∂X
/// is, [image, row, column, channel / 4] vec4, where `wanted` asks for it, or what arrives at the
/// output where the walk stops.
///
/// The small gradients of the last layers exist for all images at once; from the first large one
/// on, images go back in chunks, whose weight gradients add up.
///
/// # Errors
/// [`Error::Gpu`] in networks without gradients, for chunks of more images than the network takes,
/// or where gradients of a batch norm's parameters are wanted of a pass in inference mode.
pub fn backward<'a>(
    body: &'a Body,
    gpu: &Gpu,
    recording: &mut Recording,
    images: Chunked<'_>,
    training: Option<TrainingPass<'_>>,
    wanted: Gradients,
    walk: Walk<'_>,
) -> Result<Binding<'a>> {
    let buffers = body.backward_buffers()?;
    let way = Way { body, buffers, copies: &[], training, wanted, walk };
    way.go(gpu, recording, images).map(|(result, _)| result)
}

/// Adds the backward pass of `images` in inference mode to the buffers of `tangents`, which keep
/// the gradients of all layers.
///
/// # Errors
/// As [`backward`].
pub fn kept_backward<'a>(
    body: &'a Body,
    tangents: &'a Tangents,
    gpu: &Gpu,
    recording: &mut Recording,
    images: ImageRange<'_>,
) -> Result<GradientMap<'a>> {
    let way = Way {
        body,
        buffers: &tangents.backward,
        copies: &tangents.copies,
        training: None,
        wanted: Gradients::Input,
        walk: Walk::GRADIENT,
    };
    let (map, gradients) = way.go(gpu, recording, images.into())?;
    // What a copy was made of is that of the input now.
    let copies = tangents.copies.iter().map(|copy| copy.as_ref().map(Binding::from));
    let gradients = gradients.into_iter().zip(copies).map(|(own, copy)| copy.or(own)).collect();
    Ok(GradientMap { map, gradients })
}

impl<'a> Way<'a, '_> {
    /// Adds the whole pass. Returns the result, and where the gradients at the outputs of nodes
    /// were: before their activations, of the last chunk.
    fn go(
        &self,
        gpu: &Gpu,
        recording: &mut Recording,
        images: Chunked<'_>,
    ) -> Result<(Binding<'a>, Vec<Option<Binding<'a>>>)> {
        let (body, buffers, way) = (self.body, self.buffers, self);
        let (seam, most) = (buffers.plan.seam, buffers.plan.chunk);
        if images.size > most {
            let asked = images.size;
            return Err(Error::Gpu(format!(
                "a backward pass takes {most} images at a time, not {asked}"
            )));
        }
        // Of the outputs of nodes, where they are so far.
        let mut gradients: Vec<Option<Binding<'a>>> = vec![None; body.nodes.len()];
        if let Some(last) = gradients.last_mut() {
            *last = Some((&buffers.logits).into());
        }
        let mut recorder = body.recorder(gpu, recording, images.whole, 0);
        for index in (seam..body.nodes.len()).rev() {
            let Some(gradient) = gradients[index] else { continue };
            if self.walk.stop == Some(index) {
                return Ok((gradient, gradients));
            }
            way.at_output(&mut recorder, index, gradient)?;
            if index > seam {
                way.to_inputs(&mut recorder, index, gradient, &mut gradients)?;
            }
        }
        let result = buffers.routes.images.after(0);
        let Some(whole) = gradients[seam] else { return Ok((result, gradients)) };
        for (number, &range) in (0..).zip(&images.chunks) {
            let mut recorder = body.recorder(gpu, recording, range, number * images.size);
            gradients[..seam].fill(None);
            gradients[seam] = Some(way.of_chunk(&recorder, seam, whole));
            for index in (0..=seam).rev() {
                let Some(gradient) = gradients[index] else { continue };
                if index < seam {
                    way.at_output(&mut recorder, index, gradient)?;
                }
                way.to_inputs(&mut recorder, index, gradient, &mut gradients)?;
            }
        }
        Ok((result, gradients))
    }

    /// `whole`, the gradient of the output of node `index` for all images, from the first image of
    /// the pass on.
    fn of_chunk(&self, recorder: &Recorder<'_>, index: usize, whole: Binding<'a>) -> Binding<'a> {
        let node = &self.body.nodes[index];
        let bytes = node.gradient_storage().output.group_bytes() as u32 * node.output_elements();
        whole.skip(u64::from(recorder.slot) * u64::from(bytes))
    }

    /// The gradients with respect to what node `index` reads, from `gradient`, that of its output:
    /// `gradients` are told where they are.
    fn to_inputs(
        &self,
        recorder: &mut Recorder<'_>,
        index: usize,
        gradient: Binding<'a>,
        gradients: &mut [Option<Binding<'a>>],
    ) -> Result<()> {
        let node = &self.body.nodes[index];
        let routes = &self.buffers.routes.nodes[index];
        for (number, route) in routes.iter().enumerate() {
            let front = match route.source {
                Source::Images if self.wanted == Gradients::Parameters => continue,
                Source::Images => None,
                Source::Step(front) => Some(front),
            };
            let (to, end) = self.target(recorder, route)?;
            // What there is of the gradient of a value that others read too.
            let sum = front.map_or(Some(to), |front| gradients[front]).unwrap_or(to);
            let target = self.body.format_of(route.source).of_gradient();
            let formats = node.gradient_storage();
            let share_format = node.inputs[number].1.of_gradient();
            let (own, written) = ([formats.output, target], [share_format, target]);
            let input = (node, number);
            match route.passing {
                Passing::Alias => {}
                Passing::Write(_) => {
                    self.to_input(recorder, (index, number), [gradient, to], end)?;
                }
                Passing::Copy(_) => add::first_share(recorder, input, [gradient, to], own)?,
                Passing::Add => add::share(recorder, input, [gradient, sum], own)?,
                Passing::WriteAndAdd(_) => {
                    let share = route.beside.as_ref().map_or(to, |region| region.after(0));
                    self.to_input(recorder, (index, number), [gradient, share], end)?;
                    add::share(recorder, input, [share, sum], written)?;
                }
            }
            if let Some(front) = front {
                match route.passing {
                    Passing::Alias => gradients[front] = Some(gradient),
                    Passing::Write(_) | Passing::Copy(_) => gradients[front] = Some(to),
                    Passing::Add | Passing::WriteAndAdd(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Where the gradient with respect to what `route` is for goes, and what it is multiplied by.
    fn target(&self, recorder: &Recorder<'_>, route: &'a Route) -> Result<(Binding<'a>, Gradient)> {
        let (body, routes) = (self.body, &self.buffers.routes);
        let (Source::Step(source), Some(beside)) = (route.source, &route.beside) else {
            let bytes = u64::from(body.input_elements()) * Format::F32.group_bytes();
            return Ok((routes.images.after(u64::from(recorder.slot) * bytes), Gradient::Plain));
        };
        match route.over_values.filter(|_| self.replaces_values()) {
            Some(end) => {
                let source = &body.nodes[source];
                let elements = source.output_elements();
                Ok((recorder.at(&source.value, elements, source.storage.output), end))
            }
            None => Ok((beside.after(0), Gradient::Plain)),
        }
    }

    /// Whether nobody reads the values behind this pass.
    fn replaces_values(&self) -> bool {
        self.wanted == Gradients::Parameters
    }

    /// Where the gradient of what activations learn goes.
    fn learned(&self) -> Result<LearnedGradient<'a>> {
        let buffers = self.buffers;
        let (partial_sums, offset_sums) = (&buffers.partial_sums, &buffers.offset_sums);
        let gradients = (self.wanted == Gradients::Parameters).then_some(&self.body.gradients);
        Ok(LearnedGradient { partial_sums, offset_sums, gradients })
    }

    /// What `node` does with the gradient of its own output: through its activation, in place, to
    /// its parameters.
    fn at_output(
        &self,
        recorder: &mut Recorder<'_>,
        index: usize,
        gradient: Binding<'_>,
    ) -> Result<()> {
        let body = self.body;
        let node = &body.nodes[index];
        let input = body.input_of(node);
        if let Some(weighted) = self.walk.weighted {
            self.weighted_ratio(recorder, node, gradient, weighted)?;
        }
        let by_reader = node.gradient_by_pool && self.walk.joins_pools()
            || self.buffers.routes.is_rectified[index] && self.replaces_values();
        if node.activation != ActivationPlan::NONE && !by_reader {
            match self.walk.rule {
                BackwardRule::Gradient => {
                    activation::gradient(recorder, node, gradient, self.learned()?)?;
                }
                BackwardRule::Guided => activation::guided(recorder, node, gradient)?,
                BackwardRule::Rescale => activation::rescale(recorder, node, input, gradient)?,
                BackwardRule::Epsilon => {
                    activation::relevance(recorder, node, [input, &node.value], gradient)?;
                }
                BackwardRule::Weighted(_) => {}
            }
        }
        if let Some(Some(copy)) = self.copies.get(index) {
            let label = format!("{} gradient copy", node.name);
            activation::copy(recorder, label, node, [gradient, copy.into()])?;
        }
        if let &NodeKind::Prelu(shape) = &node.kind {
            return self.prelu(recorder, node, shape, gradient);
        }
        match (&node.kind, self.training) {
            (NodeKind::BatchNorm(_), None) if self.wanted == Gradients::Parameters => {
                let name = &node.name;
                Err(Error::Gpu(format!("{name}: inference has no gradients of its parameters")))
            }
            (NodeKind::BatchNorm(norm), training) => {
                let from = [input.into(), gradient];
                batch_norm::backward(recorder, node, norm, from, &body.gradients, training)
            }
            (&NodeKind::Dropout { rate, stream }, Some(TrainingPass { step, .. })) => {
                let label = format!("{} gradient", node.name);
                let values = (gradient, node.gradient_storage().output);
                dropout::apply(recorder, label, node, (rate, stream), step, values)
            }
            _ if self.wanted == Gradients::Parameters => self.to_weights(recorder, node, gradient),
            _ => Ok(()),
        }
    }

    /// What a PReLU does with the gradient of its output.
    fn prelu(
        &self,
        recorder: &mut Recorder<'_>,
        node: &Node,
        shape: PreluShape,
        gradient: Binding<'_>,
    ) -> Result<()> {
        if self.wanted == Gradients::Parameters {
            prelu::slope_gradient(recorder, node, shape, gradient, &self.body.gradients)?;
        }
        let rule = match self.walk.rule {
            BackwardRule::Gradient => PreluRule::Gradient,
            BackwardRule::Guided => PreluRule::Guided,
            BackwardRule::Rescale => PreluRule::Rescale,
            BackwardRule::Epsilon => {
                let values = [self.body.input_of(node), &node.value];
                return activation::relevance(recorder, node, values, gradient);
            }
            BackwardRule::Weighted(_) => return Ok(()),
        };
        let label = format!("{} gradient", node.name);
        prelu::gradient(recorder, label, node, (shape, rule), gradient)
    }

    /// The gradient with respect to the weights of a node that has some.
    fn to_weights(
        &self,
        recorder: &mut Recorder<'_>,
        node: &Node,
        gradient: Binding<'_>,
    ) -> Result<()> {
        let body = self.body;
        let input = recorder.at(body.input_of(node), node.input_elements(), node.storage.input);
        let Some(weights) = node.weights() else { return Ok(()) };
        let from = [input, gradient];
        weight_gradient(body, recorder, node, (weights, weights.shape), from, &body.gradients)
    }

    /// The gradient with respect to input `number` of node `index`, which computes one, from that
    /// of its output.
    fn to_input(
        &self,
        recorder: &mut Recorder<'_>,
        (index, number): (usize, usize),
        way: [Binding<'_>; 2],
        end: Gradient,
    ) -> Result<()> {
        let node = &self.body.nodes[index];
        match &node.kind {
            NodeKind::Convolution { weights, .. } => {
                let weights = self.walk.weights(index, weights);
                convolution::input_gradient(recorder, node, weights, way, end)?;
            }
            NodeKind::FullyConnected { weights } => {
                let weights = self.walk.weights(index, weights);
                linear::input_gradient(recorder, node, weights, way, end)?;
            }
            NodeKind::MaxPool { shape, choice } if self.walk.rule == BackwardRule::Rescale => {
                let input = self.body.input_of(node);
                max_pool::rescale(recorder, node, (*shape, choice), input, way)?;
            }
            NodeKind::MaxPool { shape, choice } => {
                let front = node.front().map(|front| &self.body.nodes[front]);
                let joined =
                    front.filter(|front| front.gradient_by_pool && self.walk.joins_pools());
                let learned = self.learned()?;
                max_pool::input_gradient(recorder, node, (*shape, choice), joined, way, learned)?;
            }
            &NodeKind::AveragePool(shape) => {
                average_pool::input_gradient(recorder, node, shape, way)?;
            }
            NodeKind::Concat => concat::input_gradient(recorder, node, number, way)?,
            NodeKind::Multiply => {
                let other = 1 - number;
                let source = node.sources[other];
                let (value, format) = (self.body.value_of(source), node.inputs[other].1);
                let value = recorder.at(value, node.elements_of_input(other), format);
                let factor = self.walk.factor();
                multiply::input_gradient(recorder, node, number, factor, (value, format), way)?;
            }
            // These hand on what they get.
            NodeKind::BatchNorm(_)
            | NodeKind::Activation
            | NodeKind::Prelu(_)
            | NodeKind::Dropout { .. }
            | NodeKind::Flatten
            | NodeKind::Add => {}
        }
        Ok(())
    }

    /// What [`BackwardRule::Weighted`] does at the output of `node`: relevance that the following
    /// activation handed back unchanged is of the activated value.
    fn weighted_ratio(
        &self,
        recorder: &mut Recorder<'_>,
        node: &Node,
        gradient: Binding<'_>,
        weighted: &Body,
    ) -> Result<()> {
        let is_activation = |node: &&Node| node.kind.is_function();
        let body = self.body;
        if node.weights().is_some() {
            let activated = body.reader_of(node).filter(is_activation).unwrap_or(node);
            let own = weighted.nodes.iter().find(|other| other.name == node.name);
            let sums = &own.unwrap_or(node).value;
            return activation::relevance(recorder, node, [sums, &activated.value], gradient);
        }
        match node.front().map(|front| &body.nodes[front]) {
            Some(front) if is_activation(&node) && front.weights().is_none() => {
                activation::relevance(recorder, node, [&front.value, &node.value], gradient)
            }
            _ => Ok(()),
        }
    }
}

/// Adds the gradient with respect to the weights of `node`, and to its bias where `shape` has one,
/// to the flat array `gradients`; `from` are what the weights are multiplied by, and the gradient
/// of the sums.
pub fn weight_gradient(
    body: &Body,
    recorder: &mut Recorder<'_>,
    node: &Node,
    (weights, shape): (&Weights, WeightShape),
    from: [Binding<'_>; 2],
    gradients: &Buffer,
) -> Result<()> {
    match &node.kind {
        NodeKind::Convolution { .. } => {
            convolution::weight_gradient(recorder, node, (weights, shape), from, gradients)?;
        }
        _ => linear::weight_gradient(recorder, node, (weights, shape), from, gradients)?,
    }
    match (&weights.folded, body.batch_norm_behind(node)) {
        (Some(_), Some((_, norm))) => {
            batch_norm::fold_gradient(recorder, norm, (node, shape), gradients)
        }
        _ => Ok(()),
    }
}
