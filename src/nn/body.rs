//! A network's nodes and buffers: what passes are recorded over.

use super::{
    TileTable,
    nodes::{BatchNorm, Node, NodeKind, format_of},
    ops::products::wanted_parts,
    recorder::Recorder,
    routes::{GradientBuffers, Routes, Stored},
    tangents::Tangents,
};
use crate::{
    Error, Result,
    gpu::{Buffer, Gpu, Recording},
    graph::plan::{BackwardPlan, PlanOptions, Source},
    kernels::{ELEMENTWISE, ImageRange},
    layout::groups,
    quant::ActivationPlan,
    storage::Format,
};

/// What a network's passes work on.
pub(super) struct Body {
    /// All parameters, flat.
    pub parameters: Buffer,
    /// Their gradients, flat.
    pub gradients: Buffer,
    /// The images, [image, row, column, channel / 4] vec4, normalised.
    pub input: Buffer,
    pub nodes: Vec<Node>,
    pub backward: Option<GradientBuffers>,
    pub tangents: Option<Tangents>,
    pub slots: u32,
    pub tiles: TileTable,
    pub layer_by_layer: bool,
}

impl Body {
    /// Makes room for what goes back through the nodes; with `training` for weight gradients too,
    /// with `masked` as in [`NetworkOptions`](super::NetworkOptions).
    pub fn allocate_backward(&mut self, gpu: &Gpu, training: bool, masked: bool) -> Result<()> {
        let stored = Stored::new(&self.nodes);
        let plan = self.backward_plan(&stored, training);
        if training {
            self.allocate_parts(gpu, plan)?;
        }
        let options = PlanOptions { training, masked };
        let routes = Routes::new(gpu, &stored, &self.input, plan, options)?;
        self.backward = Some(self.buffers_of(gpu, plan, routes)?);
        Ok(())
    }

    /// Makes room for the derivatives of maps of up to `images` images.
    ///
    /// # Errors
    /// As [`Tangents::new`].
    pub fn allocate_tangents(&mut self, gpu: &Gpu, images: u32) -> Result<()> {
        let plan = BackwardPlan::whole(images);
        let routes = Routes::apart(gpu, &Stored::new(&self.nodes), &self.input, plan)?;
        let backward = self.buffers_of(gpu, plan, routes)?;
        let parameters = self.gradients.size();
        self.tangents = Some(Tangents::new(gpu, &self.nodes, backward, parameters)?);
        Ok(())
    }

    /// Networks that train go through a batch in chunks, to keep memory close to what must be kept;
    /// others take it whole, and so do batch norms, whose backward pass sums over the batch.
    fn backward_plan(&self, stored: &Stored, training: bool) -> BackwardPlan {
        let has_batch_norm =
            self.nodes.iter().any(|node| matches!(node.kind, NodeKind::BatchNorm(_)));
        if !training || has_batch_norm {
            return BackwardPlan::whole(self.slots);
        }
        let parts = |node: &Node| {
            let parts = wanted_parts(&self.tiles, node, BackwardPlan::LEAST);
            Some(node.weights()?.part_bytes() * u64::from(parts))
        };
        let copies: u64 =
            self.nodes.iter().filter_map(|node| Some(node.weights()?.copies_bytes())).sum();
        let most_parts = self.nodes.iter().filter_map(parts).max().unwrap_or(0);
        let fixed = self.parameters.size() + self.gradients.size() + copies + most_parts;
        BackwardPlan::new(&stored.steps.all, self.kept_bytes(), self.slots, fixed)
    }

    /// Makes room for the partial sums of the weight gradients: of one layer at a time.
    fn allocate_parts(&mut self, gpu: &Gpu, plan: BackwardPlan) -> Result<()> {
        let wanted = |(index, node): (usize, &Node)| match node.weights() {
            Some(_) => wanted_parts(&self.tiles, node, plan.images_of(index)),
            None => 0,
        };
        let counts: Vec<u32> = self.nodes.iter().enumerate().map(wanted).collect();
        let bytes = |(node, count): (&Node, &u32)| {
            node.weights().map_or(0, |weights| weights.part_bytes() * u64::from(*count))
        };
        let most = self.nodes.iter().zip(&counts).map(bytes).max().unwrap_or(0);
        let buffer = gpu.buffer("partial weight gradients", most)?;
        let term_bytes =
            |node: &Node| node.weights().map_or(0, |weights| weights.step_term_bytes());
        let most = self.nodes.iter().map(term_bytes).max().unwrap_or(0);
        let terms =
            (most > 0).then(|| gpu.buffer("terms of the steps' gradients", most)).transpose()?;
        for (node, count) in self.nodes.iter_mut().zip(counts) {
            if let Some(weights) = node.weights_mut() {
                weights.parts = Some((buffer.clone(), count));
                weights.step_terms = terms.clone().filter(|_| weights.step_index.is_some());
            }
        }
        Ok(())
    }

    /// Buffers for passes of `plan` along `routes`.
    fn buffers_of(&self, gpu: &Gpu, plan: BackwardPlan, routes: Routes) -> Result<GradientBuffers> {
        let elements = self
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| plan.images_of(index) * node.output_elements());
        let blocks =
            elements.max().unwrap_or(1).div_ceil(ELEMENTWISE * self.tiles.elementwise_items());
        let group_bytes = Format::F32.group_bytes();
        let logits = u64::from(plan.slots * groups(self.classes())) * group_bytes;
        let partial_sums = gpu.buffer("partial sums of α's gradient", u64::from(blocks) * 4)?;
        Ok(GradientBuffers {
            plan,
            routes,
            logits: gpu.buffer("logit gradients", logits)?,
            offset_sums: if self.nodes.iter().any(|node| node.activation.offset_index().is_some()) {
                gpu.buffer("partial sums of offsets' gradients", u64::from(blocks) * 4)?
            } else {
                partial_sums.clone()
            },
            partial_sums,
        })
    }

    /// The gradients' buffers.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without gradients.
    pub fn backward_buffers(&self) -> Result<&GradientBuffers> {
        let missing = || Error::Gpu("this network was made without gradient buffers".into());
        self.backward.as_ref().ok_or_else(missing)
    }

    /// The buffers of derivatives of maps.
    ///
    /// # Errors
    /// [`Error::Gpu`] in networks without.
    pub fn tangents(&self) -> Result<&Tangents> {
        let missing = || Error::Gpu("this network was made without tangents".into());
        self.tangents.as_ref().ok_or_else(missing)
    }

    /// Groups of 4 values per image.
    pub fn input_elements(&self) -> u32 {
        self.nodes.first().map_or(0, Node::input_elements)
    }

    fn classes(&self) -> u32 {
        self.nodes.last().map_or(0, |node| node.output.channels)
    }

    /// What `node` reads.
    pub fn input_of(&self, node: &Node) -> &Buffer {
        self.value_of(node.sources[0])
    }

    /// What comes from `source`.
    pub fn value_of(&self, source: Source) -> &Buffer {
        source.step().map_or(&self.input, |index| &self.nodes[index].value)
    }

    /// Its format.
    pub fn format_of(&self, source: Source) -> Format {
        format_of(source, &self.nodes)
    }

    /// The only node that reads the value of `node`.
    pub fn reader_of(&self, node: &Node) -> Option<&Node> {
        node.reader.map(|index| &self.nodes[index])
    }

    /// The batch norm right behind the weights of `node`, where there is one.
    pub fn batch_norm_behind(&self, node: &Node) -> Option<(&Node, &BatchNorm)> {
        let behind = self.reader_of(node).filter(|_| ends_with_weights(node))?;
        match &behind.kind {
            NodeKind::BatchNorm(norm) => Some((behind, norm)),
            _ => None,
        }
    }

    /// Whether `node` is the only reader of a layer with weights.
    pub fn is_right_behind_weights(&self, node: &Node) -> bool {
        let front = node.front().map(|index| &self.nodes[index]);
        front.is_some_and(|front| ends_with_weights(front) && front.reader.is_some())
    }

    /// Bytes that must be kept from the forward pass for the backward pass, for all slots: the
    /// images, every layer's output, PACT's inputs and the choices of max-pooling, as far as the
    /// backward pass reads them.
    pub fn kept_bytes(&self) -> u64 {
        let of = |node: &Node| {
            let elements = u64::from(node.output_elements());
            let group_bytes = node.storage.output.group_bytes();
            // A pool in front of which there is PACT goes back through PACT's input alone.
            let behind = self.reader_of(node).map(|behind| &behind.kind);
            let is_pool =
                matches!(behind, Some(NodeKind::MaxPool { .. } | NodeKind::AveragePool(_)));
            let by_input = node.pre_activation.is_some() && is_pool;
            let own_input = node.pre_activation.is_some() && !node.kind.is_function();
            match node.kind {
                NodeKind::Dropout { .. } | NodeKind::Flatten if node.shares_value(&self.nodes) => 0,
                NodeKind::MaxPool { .. } => (group_bytes + 4) * elements,
                NodeKind::Convolution { pool: Some(_), .. } => {
                    (group_bytes * (1 + u64::from(own_input)) + 4) * elements
                }
                _ => group_bytes * elements * (u64::from(!by_input) + u64::from(own_input)),
            }
        };
        let nodes: u64 = self.nodes.iter().map(of).sum();
        u64::from(self.slots) * (nodes + 16 * u64::from(self.input_elements()))
    }

    /// A pass over `images` that is added to `recording`; `slot` as in [`Recorder::slot`].
    pub fn recorder<'a>(
        &'a self,
        gpu: &'a Gpu,
        recording: &'a mut Recording,
        images: ImageRange<'a>,
        slot: u32,
    ) -> Recorder<'a> {
        let (parameters, tiles) = (&self.parameters, &self.tiles);
        Recorder { gpu, recording, images, slot, parameters, tiles }
    }
}

/// Whether what `node` puts out is what its weights make, with no activation or pool in between.
fn ends_with_weights(node: &Node) -> bool {
    let is_bare = node.activation == ActivationPlan::NONE && node.joined_pool().is_none();
    node.weights().is_some() && is_bare
}
