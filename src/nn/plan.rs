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

use super::nodes::{Node, NodeKind, Source};
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
    /// Images per chunk.
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
        // Behind the seam there is one way: each node reads the one before.
        let is_small = |(before, node): &(usize, &Node)| {
            node.input_gradient_bytes(0) <= small && node.sources == [Source::Node(*before)]
        };
        let after = nodes.iter().skip(1).enumerate().rev().take_while(is_small).count();
        let mut plan = BackwardPlan {
            slots,
            chunk: BackwardPlan::LEAST,
            seam: nodes.len().saturating_sub(after + 1),
        };
        let bytes = |plan: BackwardPlan, whole| plan.turns(nodes, whole).iter().sum::<u64>();
        let images = nodes
            .first()
            .map_or(0, |node| node.input_gradient_bytes(0) * u64::from(plan.input_images()));
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

    /// Bytes an image in the buffers that gradients would be written to in turns, those for the
    /// whole batch or those for a chunk: chunks are as large as if all were. The images' own
    /// gradient has another place.
    fn turns(self, nodes: &[Node], whole: bool) -> Vec<u64> {
        let mut largest = Vec::new();
        for hop in hops(nodes, self.seam).iter().filter(|hop| hop.whole == whole) {
            if let Some(turn) = hop.turn() {
                let bytes = nodes[hop.node].input_gradient_bytes(hop.input);
                let own = at_turn(&mut largest, turn);
                *own = bytes.max(*own);
            }
        }
        largest
    }
}

/// The `turn`-th of `all`, which grow.
fn at_turn<T: Default>(all: &mut Vec<T>, turn: usize) -> &mut T {
    if all.len() <= turn {
        all.resize_with(turn + 1, T::default);
    }
    &mut all[turn]
}

/// How the gradient with respect to what a node reads comes about. A value that several nodes read
/// gets a share from each: the last node's first, the others' in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passing {
    /// It is where the gradient of the node's output is.
    Alias,
    /// The node writes it, to a buffer of this turn; none for the images' own place.
    Write(Option<usize>),
    /// The gradient of the node's output is copied likewise.
    Copy(Option<usize>),
    /// The gradient of the node's output is added to the shares that are there.
    Add,
    /// The node's share is written to a buffer of this turn, and added.
    WriteAndAdd(usize),
}

/// The gradient with respect to one input of a node.
#[derive(Clone, Copy, Debug)]
struct Hop {
    /// The node.
    node: usize,
    /// Which of its inputs.
    input: usize,
    /// Where that comes from.
    source: Source,
    /// Whether it exists for all images at once.
    whole: bool,
    /// How it comes about.
    passing: Passing,
}

impl Hop {
    /// Which of the buffers that are written in turns it takes if it has no other place.
    fn turn(self) -> Option<usize> {
        match self.passing {
            Passing::Write(turn) | Passing::Copy(turn) => turn,
            Passing::WriteAndAdd(turn) => Some(turn),
            Passing::Alias | Passing::Add => None,
        }
    }

    /// The node whose value's gradient is written for the first time.
    fn written(self) -> Option<usize> {
        match self.passing {
            Passing::Write(Some(_)) | Passing::Copy(Some(_)) => self.source.node(),
            _ => None,
        }
    }
}

/// Where a gradient is while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The logits', or the images'.
    Own,
    /// A buffer that is written in turns: whether for all images, which.
    Turn(bool, usize),
}

/// Buffers that are written in turns: which are free.
#[derive(Default)]
struct Turns([Vec<bool>; 2]);

impl Turns {
    /// The first that is free, which is taken.
    fn take(&mut self, whole: bool) -> usize {
        let taken = &mut self.0[usize::from(whole)];
        let turn = taken.iter().position(|taken| !taken).unwrap_or(taken.len());
        *at_turn(taken, turn) = true;
        turn
    }

    fn free(&mut self, place: Place) {
        if let Place::Turn(whole, turn) = place {
            self.0[usize::from(whole)][turn] = false;
        }
    }
}

/// The gradients between nodes, in the order in which they are written.
fn hops(nodes: &[Node], seam: usize) -> Vec<Hop> {
    let (mut hops, mut turns) = (Vec::new(), Turns::default());
    let mut places: Vec<Option<Place>> = vec![None; nodes.len()];
    let mut has_images = false;
    if let Some(last) = places.last_mut() {
        *last = Some(Place::Own);
    }
    for (index, node) in nodes.iter().enumerate().rev() {
        let Some(own) = places[index] else { continue };
        let whole = index > seam;
        let mut is_handed_on = false;
        for (input, &source) in node.sources.iter().enumerate() {
            let is_first = match source {
                Source::Images => !std::mem::replace(&mut has_images, true),
                Source::Node(front) => places[front].is_none(),
            };
            let is_last = input + 1 == node.sources.len();
            // Where what is written first goes.
            let is_images = source.node().is_none_or(|front| leads_to_images(nodes, front));
            let mut place = || if is_images { None } else { Some(turns.take(whole)) };
            // Of the images' gradient only what went there in place is there already.
            let is_there = match source {
                Source::Images => own == Place::Own && index + 1 < nodes.len(),
                _ => source.format(nodes) == node.storage.output,
            };
            let passing = match (node.hands_on(), is_first) {
                (true, true) if is_last && is_there => {
                    is_handed_on = true;
                    Passing::Alias
                }
                (true, true) => Passing::Copy(place()),
                (true, false) => Passing::Add,
                (false, true) => Passing::Write(place()),
                (false, false) => Passing::WriteAndAdd(turns.take(whole)),
            };
            let at = match passing {
                Passing::Alias => Some(own),
                Passing::Write(turn) | Passing::Copy(turn) => {
                    Some(turn.map_or(Place::Own, |turn| Place::Turn(whole, turn)))
                }
                Passing::WriteAndAdd(turn) => {
                    turns.free(Place::Turn(whole, turn));
                    None
                }
                Passing::Add => None,
            };
            if let (Source::Node(front), Some(at)) = (source, at) {
                places[front] = Some(at);
            }
            hops.push(Hop { node: index, input, source, whole, passing });
        }
        if !is_handed_on {
            turns.free(own);
        }
    }
    hops
}

/// Whether the gradient of the value of node `index` becomes the images' in place: nodes in place
/// are all there is in front, and each is the only reader of what it reads.
fn leads_to_images(nodes: &[Node], index: usize) -> bool {
    let node = &nodes[index];
    let is_only = |source: &Source| {
        nodes.iter().flat_map(|node| &node.sources).filter(|own| *own == source).count() == 1
    };
    node.is_in_place()
        && is_only(&node.sources[0])
        && node.front().is_none_or(|front| leads_to_images(nodes, front))
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

/// Where the gradient with respect to an input of a node goes.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The input.
    pub source: Source,
    /// How it comes about.
    pub passing: Passing,
    /// In the pass that trains: over the values themselves, multiplied by what.
    pub over_values: Option<Gradient>,
    /// In other passes, and where it does not replace the values. None for images, and where
    /// nothing is written.
    pub beside: Option<Region>,
}

/// Where the gradients with respect to what a node reads go.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeRoutes {
    /// An input each.
    pub inputs: Vec<Route>,
    /// The node's activation is differentiated by the node that reads it, in the pass that trains.
    pub is_rectified: bool,
}

/// Where gradients go.
#[derive(Clone, Debug)]
pub(super) struct Routes {
    /// Of every node.
    pub nodes: Vec<NodeRoutes>,
    /// The gradient with respect to the images.
    pub images: Region,
}

/// Buffers for the gradients on their way through the network.
pub(super) struct GradientBuffers {
    pub plan: BackwardPlan,
    pub routes: Routes,
    /// With respect to the logits.
    pub logits: Buffer,
    pub partial_sums: Buffer,
    /// As many, of offsets' gradients; the same buffer where there are none.
    pub offset_sums: Buffer,
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
        let mut routes = vec![NodeRoutes::default(); nodes.len()];
        let hops = hops(nodes, plan.seam);
        for &Hop { node, source, passing, .. } in &hops {
            let (over_values, beside) = (None, None);
            routes[node].inputs.push(Route { source, passing, over_values, beside });
        }
        for hop in hops.iter().filter(|_| options.training) {
            let (over_values, rectified) = replacement(nodes, *hop);
            routes[hop.node].inputs[hop.input].over_values = over_values;
            if let Some(index) = rectified.filter(|_| over_values.is_some()) {
                routes[index].is_rectified = true;
            }
        }
        let mut halves = Halves::new(nodes, plan.slots, options.masked);
        // Hops that have a buffer of their own, and how large those of each kind are.
        let (mut others, mut sizes) = (Vec::new(), [Vec::<u64>::new(), Vec::new()]);
        // The buffers where the gradients of nodes are, as far as these are values' halves.
        let mut reading: Vec<Option<Buffer>> = vec![None; nodes.len()];
        for hop in &hops {
            let own = &mut routes[hop.node].inputs[hop.input];
            if let (Passing::Alias, Source::Node(front)) = (hop.passing, hop.source) {
                reading[front] = reading[hop.node].clone();
            }
            let Some(turn) = hop.turn() else { continue };
            let images = if hop.whole { plan.slots } else { plan.chunk };
            let bytes = nodes[hop.node].input_gradient_bytes(hop.input);
            let clean = u64::from(images.min(plan.slots / 2)) * bytes;
            // What does not replace the values in training needs room for all images.
            let replaced = !options.training || own.over_values.is_some();
            let found = halves.take(nodes, *hop, clean, reading[hop.node].as_ref());
            let found = found.filter(|_| replaced);
            if let Some(front) = hop.written() {
                reading[front] = found.as_ref().map(|region| region.buffer.clone());
            }
            if found.is_none() {
                let size = at_turn(&mut sizes[usize::from(hop.whole)], turn);
                *size = (u64::from(images) * bytes).max(*size);
                others.push((hop, turn));
            }
            own.beside = found;
        }
        let mut made: [Vec<Option<Buffer>>; 2] = Default::default();
        for (made, sizes) in made.iter_mut().zip(&sizes) {
            for &size in sizes {
                let buffer = (size > 0).then(|| gpu.buffer("activation gradients", size));
                made.push(buffer.transpose()?);
            }
        }
        for (hop, turn) in others {
            let buffer = made[usize::from(hop.whole)][turn].clone();
            let region = buffer.map(|buffer| Region { buffer, offset: 0 });
            routes[hop.node].inputs[hop.input].beside = region;
        }
        let images = image_gradient(gpu, nodes, plan, options)?;
        Ok(Routes { nodes: routes, images })
    }
}

impl Routes {
    /// Routes for passes over whole batches that keep every gradient: each has a buffer of its own.
    pub fn apart(gpu: &Gpu, nodes: &[Node], plan: BackwardPlan) -> Result<Routes> {
        let mut routes = vec![NodeRoutes::default(); nodes.len()];
        let mut bytes = None;
        for hop in hops(nodes, plan.seam) {
            let size = u64::from(plan.slots) * nodes[hop.node].input_gradient_bytes(hop.input);
            if hop.source == Source::Images {
                bytes = Some(size);
            }
            let own = hop.turn().map(|_| gpu.buffer("kept gradients", size)).transpose()?;
            let beside = own.map(|buffer| Region { buffer, offset: 0 });
            let Hop { node, source, passing, .. } = hop;
            routes[node].inputs.push(Route { source, passing, over_values: None, beside });
        }
        let buffer = gpu.buffer("gradient maps", bytes.unwrap_or(0))?;
        Ok(Routes { nodes: routes, images: Region { buffer, offset: 0 } })
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
    let mut readers = nodes.iter().filter(|node| node.sources.contains(&Source::Images));
    let own = readers.next();
    let bytes = own.map_or(0, |node| {
        let number = node.sources.iter().position(|source| *source == Source::Images);
        node.input_gradient_bytes(number.unwrap_or(0))
    });
    let offset = u64::from(plan.slots / 2) * bytes;
    let is_read_once = own.is_some_and(|own| !own.hands_on()) && readers.next().is_none();
    if options.masked && is_read_once && offset.is_multiple_of(ALIGNMENT) {
        return Ok(Region { buffer: options.input.clone(), offset });
    }
    let size = u64::from(plan.input_images()) * bytes;
    Ok(Region { buffer: gpu.buffer("image gradients", size)?, offset: 0 })
}

/// Whether the gradient of `hop` can replace the values that it is of in training: what it is
/// multiplied by then, and the node whose activation is differentiated so.
fn replacement(nodes: &[Node], hop: Hop) -> (Option<Gradient>, Option<usize>) {
    let node = &nodes[hop.node];
    // A factor is what the other factor's gradient is computed from.
    if let NodeKind::Multiply = node.kind {
        return (None, None);
    }
    let Some(source) = hop.written().filter(|&source| nodes[source].reader == Some(hop.node))
    else {
        return (None, None);
    };
    // Dropout works in place: its value may be that of the node in front.
    let mut owner = source;
    while let Some(index) = nodes[owner].front().filter(|_| nodes[owner].shares_value(nodes)) {
        owner = index;
    }
    let is_state = nodes[owner].activation != ActivationPlan::NONE
        && nodes[owner].state().is(&nodes[source].value);
    match is_state {
        false => (Some(Gradient::Plain), None),
        true if node.rectifies() && nodes[owner].activation == ActivationPlan::RELU => {
            (Some(Gradient::Rectified), Some(owner))
        }
        true => (None, None),
    }
}

/// The masked images' halves of the activations, and how far each is taken.
struct Halves {
    /// A value of its own, the end of what is taken.
    hosts: Vec<(Buffer, u64)>,
}

impl Halves {
    fn new(nodes: &[Node], slots: u32, masked: bool) -> Halves {
        let own = nodes.iter().filter(|node| masked && !node.shares_value(nodes));
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
        let source = hop.written()?;
        if nodes[source].reader != Some(hop.node) {
            return None;
        }
        let mut bound = Vec::from_iter(reading);
        if let NodeKind::Multiply = nodes[hop.node].kind {
            let values = nodes[hop.node].sources.iter().filter_map(|source| source.node());
            bound.extend(values.map(|index| &nodes[index].value));
        }
        let mut at = Some(source);
        while let Some(index) = at {
            bound.push(nodes[index].state());
            // A sum hands its gradient on to its last input.
            let last = nodes[index].sources.last().and_then(|source| source.node());
            at = last.filter(|_| nodes[index].hands_on());
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
