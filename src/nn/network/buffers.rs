//! How a network goes back through a batch, and the buffers that it needs for that.

use super::{ELEMENTWISE, GradientBuffers, Network, NetworkOptions, bytes};
use crate::{
    Result,
    gpu::Gpu,
    layout::groups,
    nn::{
        chunks::BackwardPlan,
        node::{Node, NodeKind},
    },
    storage::Format,
};

impl Network {
    /// Networks that train go through a batch in chunks, to keep memory close to what must be kept;
    /// others take it whole, and so do batch norms, whose backward pass sums over the batch.
    pub(super) fn backward_plan(&self, options: NetworkOptions) -> BackwardPlan {
        let has_batch_norm =
            self.nodes.iter().any(|node| matches!(node.kind, NodeKind::BatchNorm(_)));
        if !options.training || has_batch_norm {
            return BackwardPlan::whole(options.slots);
        }
        let parts = |node: &Node| {
            Some(
                node.weights()?.part_bytes(node)
                    * u64::from(self.tiles.wanted_parts(node, BackwardPlan::LEAST)),
            )
        };
        let copies: u64 =
            self.nodes.iter().filter_map(|node| Some(node.weights()?.copies_bytes())).sum();
        let fixed = self.parameters.size()
            + self.gradients.size()
            + copies
            + self.nodes.iter().filter_map(parts).max().unwrap_or(0);
        BackwardPlan::new(&self.nodes, self.kept_bytes(), options.slots, fixed)
    }

    /// Makes room for the partial sums of the weight gradients: of one layer at a time.
    pub(super) fn allocate_parts(&mut self, gpu: &Gpu, plan: BackwardPlan) -> Result<()> {
        let wanted = |(index, node): (usize, &Node)| match node.weights() {
            Some(_) => self.tiles.wanted_parts(node, plan.images_of(index)),
            None => 0,
        };
        let counts: Vec<u32> = self.nodes.iter().enumerate().map(wanted).collect();
        let bytes = |(node, count): (&Node, &u32)| {
            node.weights().map_or(0, |weights| weights.part_bytes(node) * u64::from(*count))
        };
        let most = self.nodes.iter().zip(&counts).map(bytes).max().unwrap_or(0);
        let buffer = gpu.buffer("partial weight gradients", most)?;
        let term_bytes =
            |node: &Node| node.weights().map_or(0, |weights| weights.step_term_bytes(node));
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

    pub(super) fn gradient_buffers(
        &self,
        gpu: &Gpu,
        plan: BackwardPlan,
    ) -> Result<GradientBuffers> {
        let elements = self
            .nodes
            .iter()
            .enumerate()
            .map(|(index, node)| plan.images_of(index) * node.output_elements());
        let blocks =
            elements.max().unwrap_or(1).div_ceil(ELEMENTWISE * self.tiles.elementwise_items());
        let gradients =
            |images: u32, bytes: u64| gpu.buffer("activation gradients", u64::from(images) * bytes);
        let (whole, chunk) = (plan.turns(&self.nodes, true), plan.turns(&self.nodes, false));
        Ok(GradientBuffers {
            plan,
            logits: gpu.buffer(
                "logit gradients",
                bytes(plan.slots, groups(self.classes()), Format::F32),
            )?,
            input: gpu.buffer(
                "image gradients",
                bytes(plan.input_images(), self.input_elements(), Format::F32),
            )?,
            whole: [gradients(plan.slots, whole[0])?, gradients(plan.slots, whole[1])?],
            chunk: [gradients(plan.chunk, chunk[0])?, gradients(plan.chunk, chunk[1])?],
            partial_sums: gpu.buffer("partial sums of α's gradient", u64::from(blocks) * 4)?,
        })
    }
}
