//! The dispatches of the backward pass: which gradient goes where, node by node.

use super::{ELEMENTWISE, Gradients, Network, TrainingPass, elementwise_work, grid, pool_shape};
use crate::{
    Error, Result,
    batch::Chunked,
    gpu::{Binding, Buffer, Gpu, Recording},
    nn::{
        node::{Node, NodeKind},
        rules::{BackwardRule, Walk},
        weighted::Pass,
    },
    quant::ActivationPlan,
    shaders::Specialization,
    storage::{Format, Storage},
};

impl Network {
    /// Adds the backward pass from the logits' gradients for `images`. Returns the buffer with
    /// ∂/∂X, [image, row, column, channel / 4] vec4, where `wanted` asks for it. `training` as in
    /// [`Self::record_forward`].
    ///
    /// The small gradients of the last layers exist for all images at once; from the first large
    /// one on, images go back in chunks, whose weight gradients add up.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without gradients, for chunks of more images than
    /// [`Self::chunk`], or where gradients of a batch norm's parameters are wanted of a pass in
    /// inference mode.
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

    /// The backward pass of [`Self::record_backward`]; in networks that do not train also with
    /// another rule in the place of derivatives, and no farther than to a layer's output.
    pub(in crate::nn) fn walk_back<'a>(
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
                self.record_input_gradient(
                    &mut pass,
                    index,
                    [gradient.into(), target.into()],
                    wanted,
                    walk,
                )?;
                (gradient, turn) = (target, 1 - turn);
            }
        }
        for (number, &range) in (0..).zip(&images.chunks) {
            let mut pass = self.pass(gpu, recording, range, number * images.size);
            let node = &self.nodes[seam];
            let mut gradient =
                pass.at(gradient, node.output_elements(), node.gradient_storage().output);
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
                    let target = if is_last {
                        pass.at(buffer, self.input_elements(), Format::F32)
                    } else {
                        buffer.into()
                    };
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

    /// What a node does with the gradient of its own output: through its activation, in place, to
    /// its weights.
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
        if node.activation != ActivationPlan::NONE && !(node.gradient_by_pool && walk.joins_pools())
        {
            match walk.rule {
                BackwardRule::Gradient => {
                    self.record_activation_gradient(pass, node, gradient, wanted)?
                }
                BackwardRule::Positive => {}
                rule => {
                    let input = index
                        .checked_sub(1)
                        .map_or(&self.input, |previous| &self.nodes[previous].value);
                    pass.activation_rule(node, input, gradient, rule)?;
                }
            }
        }
        let input =
            index.checked_sub(1).map_or(&self.input, |previous| &self.nodes[previous].value);
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
            (NodeKind::BatchNorm(_), None) if wanted == Gradients::Parameters => Err(Error::Gpu(
                format!("{}: inference has no gradients of its parameters", node.name),
            )),
            (NodeKind::BatchNorm(norm), training) => pass.batch_norm_backward(
                node,
                norm,
                [input.into(), gradient],
                &self.gradients,
                training,
            ),
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
                let input = index
                    .checked_sub(1)
                    .map_or(&self.input, |previous| &self.nodes[previous].value);
                let shape = pool_shape([node.input, node.output], *kernel, *stride)
                    .tile("WINDOWS", kernel.div_ceil(*stride));
                pass.pool_rescale(node, shape, [input.into(), choice.into(), from, to])
            }
            NodeKind::MaxPool { kernel, stride, choice } => {
                let joined = walk.joins_pools();
                self.record_pool_gradient(
                    pass,
                    index,
                    [*kernel, *stride],
                    choice,
                    [from, to],
                    wanted,
                    joined,
                )
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
        let specialization = Specialization::new()
            .tile("WORKGROUP", ELEMENTWISE)
            .tile("ITEMS", items)
            .constant("ELEMENTS", elements);
        let storage =
            Storage { input: Format::F32, state: node.storage.state, ..node.gradient_storage() };
        let specialization = storage.specialize(specialization);
        let kernel =
            pass.gpu.kernel("activation_gradient", node.activation.backward(specialization))?;
        let mut bindings =
            vec![pass.range.binding, pass.at(node.state(), elements, node.storage.state), gradient];
        self.bind_alpha_sums(node.activation, &mut bindings)?;
        let images = pass.range.most;
        let blocks = (images * elements).div_ceil(ELEMENTWISE * items);
        pass.recording.dispatch(
            pass.gpu,
            format!("{} activation gradient", node.name),
            kernel,
            &bindings,
            grid(blocks),
        )?;
        pass.recording.note_work(elementwise_work(node, images, 2 * elements, elements));
        self.record_alpha_sum(pass, node, blocks, wanted)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the pool, where gradients come from and go to, and what for"
    )]
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
        let state = fused
            .map_or(choice, |previous| pass.at(previous.state(), written, previous.storage.state));
        let storage = Storage {
            state: fused.map_or(Format::F32, |previous| previous.storage.state),
            ..node.gradient_storage()
        };
        let items = self.tiles.elementwise_items();
        let specialization = activation.backward(
            pool_shape([node.input, node.output], kernel, stride)
                .tile("WORKGROUP", ELEMENTWISE)
                .tile("ITEMS", items)
                .tile("WINDOWS", kernel.div_ceil(stride)),
        );
        let kernel = pass.gpu.kernel("max_pool_gradient", storage.specialize(specialization))?;
        let mut bindings = vec![pass.range.binding, from, choice, state, to];
        self.bind_alpha_sums(activation, &mut bindings)?;
        let images = pass.range.most;
        let blocks = (images * written).div_ceil(ELEMENTWISE * items);
        pass.recording.dispatch(
            pass.gpu,
            format!("{} gradient", node.name),
            kernel,
            &bindings,
            grid(blocks),
        )?;
        let state_read = if fused.is_some() { written } else { 0 };
        pass.recording.note_work(elementwise_work(node, images, read + state_read, written));
        match fused {
            Some(previous) => self.record_alpha_sum(pass, previous, blocks, wanted),
            None => Ok(()),
        }
    }

    fn bind_alpha_sums<'a>(
        &'a self,
        activation: ActivationPlan,
        bindings: &mut Vec<Binding<'a>>,
    ) -> Result<()> {
        if activation.is_pact() {
            bindings.push((&self.parameters).into());
            bindings.push((&self.backward_buffers()?.partial_sums).into());
        }
        Ok(())
    }

    fn record_alpha_sum(
        &self,
        pass: &mut Pass<'_>,
        node: &Node,
        blocks: u32,
        wanted: Gradients,
    ) -> Result<()> {
        let Some(index) = node.activation.alpha_index().filter(|_| wanted == Gradients::Parameters)
        else {
            return Ok(());
        };
        let scale = node.activation.gradient_scale(node.activated().elements());
        let specialization = Specialization::new()
            .tile("WORKGROUP", ELEMENTWISE)
            .constant("COUNT", blocks)
            .constant("INDEX", index)
            .constant("SCALE", scale);
        let kernel = pass.gpu.kernel("sum_partials", specialization)?;
        let bindings = [
            pass.range.binding,
            (&self.backward_buffers()?.partial_sums).into(),
            (&self.gradients).into(),
        ];
        pass.recording.dispatch(
            pass.gpu,
            format!("{} α gradient", node.name),
            kernel,
            &bindings,
            [1, 1, 1],
        )
    }
}
