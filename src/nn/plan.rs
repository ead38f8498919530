//! How a backward pass goes through a batch.
//!
//! Between two layers a gradient is as large as the activation there. Kept for the whole batch, the
//! two that are in use at a time would take almost as much memory as all activations together. So
//! the batch goes back in chunks, and gradient buffers hold one chunk.

use super::nodes::Node;

/// Memory of a training step, as a multiple of what its forward pass must keep, that chunks are
/// chosen for.
const MEMORY_GOAL: f64 = 1.29;
/// Gradients of fewer than this share of an image's activations are kept for all images at once:
/// their layers need few dispatches then.
const SMALL_SHARE: u64 = 64;

/// Which gradients exist for all images at once, and of how many images the others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BackwardPlan {
    /// Images in the buffers of activations.
    pub slots: u32,
    /// Images of a chunk.
    pub chunk: u32,
    /// The first node that has its output's gradient for all images at once.
    pub seam: usize,
}

impl BackwardPlan {
    /// Chunks start at multiples of this: then every buffer's offset is one that bindings can have.
    pub const LEAST: u32 = 64;

    /// Everything in one chunk: for networks that do not train, and for layers whose backward pass
    /// sums over the batch.
    pub fn whole(slots: u32) -> Self {
        BackwardPlan { slots, chunk: slots, seam: 0 }
    }

    /// Chunks for a network that keeps `kept` bytes of `slots` images and has `fixed` bytes beside
    /// activations and their gradients: as large as [`MEMORY_GOAL`] allows.
    pub fn new(nodes: &[Node], kept: u64, slots: u32, fixed: u64) -> Self {
        let small = kept / u64::from(slots.max(1)) / SMALL_SHARE;
        let is_small = |node: &&Node| node.input_gradient_bytes() <= small;
        let after = nodes.iter().skip(1).rev().take_while(is_small).count();
        let mut plan = BackwardPlan {
            slots,
            chunk: BackwardPlan::LEAST,
            seam: nodes.len().saturating_sub(after + 1),
        };
        let bytes = |plan: BackwardPlan, whole| plan.turns(nodes, whole).iter().sum::<u64>();
        let images = nodes
            .first()
            .map_or(0, |node| node.input_gradient_bytes() * u64::from(plan.input_images()));
        let taken = fixed + images + u64::from(slots) * bytes(plan, true);
        let room = ((MEMORY_GOAL - 1.0) * kept as f64) as u64;
        let fitting = room.saturating_sub(taken) / bytes(plan, false).max(1);
        let chunks = fitting.min(u64::from(slots)) as u32 / BackwardPlan::LEAST;
        plan.chunk = chunks.max(1) * BackwardPlan::LEAST;
        if plan.chunk >= slots { BackwardPlan::whole(slots) } else { plan }
    }

    /// Images for which the gradient of a node's output exists at once.
    pub fn images_of(self, index: usize) -> u32 {
        if index >= self.seam { self.slots } else { self.chunk }
    }

    /// Images for which the gradient of the images is kept: it is asked for of clean images only,
    /// half of those that train.
    pub fn input_images(self) -> u32 {
        if self.chunk < self.slots { self.slots.div_ceil(2) } else { self.slots }
    }

    /// Bytes an image in the two buffers that gradients are written to in turns, those for the
    /// whole batch or those for a chunk. The images' own gradient has another place.
    pub fn turns(self, nodes: &[Node], whole: bool) -> [u64; 2] {
        let mut largest = [0, 0];
        let mut turn = 0;
        for (index, node) in nodes.iter().enumerate().rev() {
            if (index > self.seam) == whole
                && !node.is_in_place()
                && !nodes[..index].iter().all(Node::is_in_place)
            {
                largest[turn] = largest[turn].max(node.input_gradient_bytes());
                turn = 1 - turn;
            }
        }
        largest
    }
}
