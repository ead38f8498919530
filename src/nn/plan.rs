//! How a backward pass goes through a batch, and which buffer holds which gradient when.
//!
//! Between two layers a gradient is as large as the activation there. Kept for the whole batch, the
//! two that are in use at a time would take almost as much memory as all activations together. Two
//! things keep them small. The batch goes back in chunks: a gradient on its way to the images is
//! that of a chunk. And gradients lie where memory is dead:
//!
//! - In the pass that trains, the gradient with respect to a value replaces the value, once its
//!   reader's weight gradient has read it. Where the value is what a ReLU's derivative is computed
//!   from, the kernel that writes the gradient multiplies by it.
//! - Gradients with respect to the clean images of a step are taken before there are masked ones:
//!   they lie in the masked images' half of the activations.
//!
//! What fits neither has a buffer of its own, of two that are written in turns.

use super::nodes::{Node, NodeKind};
use crate::{
    Result,
    gpu::{Binding, Buffer, Gpu},
    kernels::Gradient,
    quant::ActivationPlan,
};

/// Offsets of bindings are multiples of this many bytes.
const ALIGNMENT: u64 = 256;

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

    /// Bytes an image in the two buffers that gradients would be written to in turns, those for the
    /// whole batch or those for a chunk: chunks are as large as if all were. The images' own
    /// gradient has another place.
    fn turns(self, nodes: &[Node], whole: bool) -> [u64; 2] {
        let mut largest = [0, 0];
        for hop in hops(nodes, self.seam).filter(|hop| hop.whole == whole) {
            let own = &mut largest[hop.turn];
            *own = nodes[hop.node].input_gradient_bytes().max(*own);
        }
        largest
    }
}

/// The gradient with respect to the input of a node, where that is another node's value.
#[derive(Clone, Copy, Debug)]
struct Hop {
    /// The node.
    node: usize,
    /// The node whose value it is of.
    source: usize,
    /// Whether it exists for all images at once.
    whole: bool,
    /// Which of two buffers it is written to if it has no other place.
    turn: usize,
}

/// The gradients between nodes, in the order in which they are written.
fn hops(nodes: &[Node], seam: usize) -> impl Iterator<Item = Hop> {
    let mut turns = [0, 0];
    (0..nodes.len()).rev().filter_map(move |node| {
        let source = nodes[node].source.filter(|_| !nodes[node].is_in_place())?;
        // Gradients go through nodes in place: without another node in front they are the images'.
        front(nodes, source)?;
        let whole = node > seam;
        let next = &mut turns[usize::from(whole)];
        let turn = *next;
        *next = 1 - turn;
        Some(Hop { node, source, whole, turn })
    })
}

/// `index`, or the first node in front of it that is not in place.
fn front(nodes: &[Node], index: usize) -> Option<usize> {
    let mut own = Some(index);
    while let Some(at) = own.filter(|&at| nodes[at].is_in_place()) {
        own = nodes[at].source;
    }
    own
}

/// A part of a buffer that holds gradients for a while.
#[derive(Clone, Debug)]
pub(super) struct Region {
    pub buffer: Buffer,
    /// In bytes.
    pub offset: u64,
}

impl Region {
    /// From its first byte on, `skipped` bytes later.
    pub fn after(&self, skipped: u64) -> Binding<'_> {
        let offset = self.offset + skipped;
        match offset {
            0 => (&self.buffer).into(),
            _ => self.buffer.range(offset, self.buffer.size() - offset),
        }
    }
}

/// Where the gradient with respect to a node's input goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    /// In the pass that trains: over the values themselves, multiplied by what.
    pub over_values: Option<Gradient>,
    /// In other passes, and where it does not replace the values. None for images.
    pub beside: Option<Region>,
    /// The node's activation is differentiated by the node that reads it, in the pass that trains.
    pub is_rectified: bool,
}

/// Where gradients go.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    /// Of every node.
    pub nodes: Vec<Route>,
    /// The gradient with respect to the images.
    pub images: Region,
}

/// What a network's routes depend on.
#[derive(Clone, Copy)]
pub(super) struct RouteOptions<'a> {
    /// The images.
    pub input: &'a Buffer,
    /// Whether there is a pass that trains.
    pub training: bool,
    /// Whether the second half of the slots is free while gradients with respect to images are
    /// taken.
    pub masked: bool,
}

impl Routes {
    /// Routes through `nodes` for passes of `plan`; buffers are made where no memory is dead.
    pub fn new(
        gpu: &Gpu,
        nodes: &[Node],
        plan: BackwardPlan,
        options: RouteOptions<'_>,
    ) -> Result<Routes> {
        let mut routes = vec![Route::default(); nodes.len()];
        if options.training {
            for hop in hops(nodes, plan.seam) {
                let (over_values, rectified) = replacement(nodes, hop);
                routes[hop.node].over_values = over_values;
                if let Some(index) = rectified.filter(|_| over_values.is_some()) {
                    routes[index].is_rectified = true;
                }
            }
        }
        let mut halves = Halves::new(nodes, plan.slots, options.masked);
        // Hops that have a buffer of their own, and how large the two of each kind are.
        let (mut others, mut sizes) = (Vec::new(), [[0u64; 2]; 2]);
        let mut reading: Option<Buffer> = None;
        for hop in hops(nodes, plan.seam) {
            let images = if hop.whole { plan.slots } else { plan.chunk };
            let bytes = nodes[hop.node].input_gradient_bytes();
            let clean = u64::from(images.min(plan.slots / 2)) * bytes;
            // What does not replace the values in training needs room for all images.
            let replaced = !options.training || routes[hop.node].over_values.is_some();
            let found = halves.take(nodes, hop, clean, reading.as_ref()).filter(|_| replaced);
            reading = found.as_ref().map(|region| region.buffer.clone());
            if found.is_none() {
                let size = &mut sizes[usize::from(hop.whole)][hop.turn];
                *size = (u64::from(images) * bytes).max(*size);
                others.push(hop);
            }
            routes[hop.node].beside = found;
        }
        let mut made: [[Option<Buffer>; 2]; 2] = Default::default();
        for (made, size) in made.as_flattened_mut().iter_mut().zip(sizes.as_flattened()) {
            if *size > 0 {
                *made = Some(gpu.buffer("activation gradients", *size)?);
            }
        }
        for hop in others {
            let buffer = made[usize::from(hop.whole)][hop.turn].clone();
            routes[hop.node].beside = buffer.map(|buffer| Region { buffer, offset: 0 });
        }
        let images = image_gradient(gpu, nodes, plan, options)?;
        Ok(Routes { nodes: routes, images })
    }
}

/// Where the gradient with respect to the images goes: in the masked images' half of them, where
/// there is one and no node in place reads them.
fn image_gradient(
    gpu: &Gpu,
    nodes: &[Node],
    plan: BackwardPlan,
    options: RouteOptions<'_>,
) -> Result<Region> {
    let own = nodes.iter().find(|node| node.source.is_none());
    let bytes = own.map_or(0, Node::input_gradient_bytes);
    let offset = u64::from(plan.slots / 2) * bytes;
    let is_read_in_place = own.is_some_and(Node::is_in_place);
    if options.masked && !is_read_in_place && offset.is_multiple_of(ALIGNMENT) {
        return Ok(Region { buffer: options.input.clone(), offset });
    }
    let size = u64::from(plan.input_images()) * bytes;
    Ok(Region { buffer: gpu.buffer("image gradients", size)?, offset: 0 })
}

/// Whether the gradient of `hop` can replace the values that it is of in training: what it is
/// multiplied by then, and the node whose activation is differentiated so.
fn replacement(nodes: &[Node], hop: Hop) -> (Option<Gradient>, Option<usize>) {
    let node = &nodes[hop.node];
    if nodes[hop.source].reader != Some(hop.node) {
        return (None, None);
    }
    // Dropout works in place: its value is that of the node in front.
    let mut owner = hop.source;
    while let (NodeKind::Dropout { .. }, Some(index)) = (&nodes[owner].kind, nodes[owner].source) {
        owner = index;
    }
    let is_state = nodes[owner].activation != ActivationPlan::NONE
        && nodes[owner].state().is(&nodes[hop.source].value);
    match (&node.kind, is_state) {
        (_, false) => (Some(Gradient::Plain), None),
        (NodeKind::Convolution { .. } | NodeKind::FullyConnected { .. }, true) => {
            (Some(Gradient::Rectified), Some(owner))
        }
        _ => (None, None),
    }
}

/// The masked images' halves of the activations, and how far each is taken.
struct Halves {
    /// A value of its own, the end of what is taken.
    hosts: Vec<(Buffer, u64)>,
}

impl Halves {
    fn new(nodes: &[Node], slots: u32, masked: bool) -> Halves {
        let own =
            nodes.iter().filter(|node| masked && !matches!(node.kind, NodeKind::Dropout { .. }));
        let half = |node: &Node| {
            let bytes = node.value_storage().output.group_bytes();
            let start = u64::from(slots / 2) * u64::from(node.output_elements()) * bytes;
            (node.value.clone(), start.next_multiple_of(ALIGNMENT))
        };
        Halves { hosts: own.map(half).collect() }
    }

    /// `bytes` in the smallest half with room that no dispatch with the gradient of `hop` binds
    /// otherwise: not where the gradient it is made of lies, nor what derivatives behind it are
    /// computed from.
    fn take(
        &mut self,
        nodes: &[Node],
        hop: Hop,
        bytes: u64,
        reading: Option<&Buffer>,
    ) -> Option<Region> {
        let mut bound = Vec::from_iter(reading);
        let mut at = Some(hop.source);
        while let Some(index) = at {
            bound.push(nodes[index].state());
            at = nodes[index].source.filter(|_| nodes[index].is_in_place());
        }
        let room = |(buffer, end): &(Buffer, u64)| buffer.size().saturating_sub(*end);
        let is_free = |host: &&mut (Buffer, u64)| !bound.iter().any(|other| other.is(&host.0));
        let fitting = self.hosts.iter_mut().filter(is_free).filter(|host| room(host) >= bytes);
        let (buffer, end) = fitting.min_by_key(|host| room(host))?;
        let offset = *end;
        *end = (offset + bytes).next_multiple_of(ALIGNMENT);
        Some(Region { buffer: buffer.clone(), offset })
    }
}
