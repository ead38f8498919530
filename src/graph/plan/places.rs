//! Which memory holds which gradient.

use super::{
    chunks::BackwardPlan,
    hops::{Hop, Passing, hops, leads_to_images},
    steps::{Source, StepActivation, Steps, StorageId},
    turns::at_turn,
};

/// Offsets of bindings are multiples of this many bytes.
const ALIGNMENT: u64 = 256;

/// What a gradient is multiplied by where it replaces the values that it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverValues {
    /// Nothing.
    Plain,
    /// The derivative of a ReLU, whose outputs the values are.
    Rectified,
}

/// Where a gradient lies beside the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// In the masked images' half of a memory of values, from this byte on.
    Half {
        /// The memory.
        storage: StorageId,
        /// In bytes.
        offset: u64,
    },
    /// In one of the places that are written in turns.
    Turn {
        /// Whether it is one for all images.
        whole: bool,
        /// Which.
        turn: usize,
    },
}

/// Where the gradient with respect to an input of a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The input.
    pub source: Source,
    /// How it comes about.
    pub passing: Passing,
    /// In the pass that trains: over the values themselves, multiplied by what.
    pub over_values: Option<OverValues>,
    /// In other passes, and where it does not replace the values. None for images, and where
    /// nothing is written.
    pub beside: Option<Beside>,
}

/// Where the gradient with respect to the images lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePlace {
    /// In the masked images' half of them, from this byte on.
    Half(u64),
    /// In memory of its own, of this many bytes.
    Own(u64),
}

/// What the places depend on, beside the steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlanOptions {
    /// Whether there is a pass that trains.
    pub training: bool,
    /// Whether the second half of the slots is free while gradients with respect to images are
    /// taken.
    pub masked: bool,
}

/// Where gradients go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradientPlan {
    /// Of every step, an input each.
    pub routes: Vec<Vec<Route>>,
    /// Of every step: whether its activation is differentiated by the step that reads it, in the
    /// pass that trains.
    pub is_rectified: Vec<bool>,
    /// Bytes of the places that are written in turns, those for a chunk and those for all images;
    /// 0 for one that nothing is written to.
    pub turns: [Vec<u64>; 2],
    /// The gradient with respect to the images.
    pub images: ImagePlace,
}

impl GradientPlan {
    /// Places for passes of `plan` through `steps`.
    pub fn new(steps: &Steps, plan: BackwardPlan, options: PlanOptions) -> GradientPlan {
        let mut routes = vec![Vec::new(); steps.all.len()];
        let mut is_rectified = vec![false; steps.all.len()];
        let mut halves = Halves::new(steps, plan.slots, options.masked);
        let mut turns: [Vec<u64>; 2] = Default::default();
        // The memories of values where the gradients of steps are, as far as these are there.
        let mut reading: Vec<Option<StorageId>> = vec![None; steps.all.len()];
        for hop in hops(&steps.all, plan.seam) {
            let (over_values, rectified) = match options.training {
                true => replacement(steps, hop),
                false => (None, None),
            };
            if let Some(index) = rectified {
                is_rectified[index] = true;
            }
            if let (Passing::Alias, Source::Step(front)) = (hop.passing, hop.source) {
                reading[front] = reading[hop.step];
            }
            let beside = hop.turn().map(|turn| {
                let images = if hop.whole { plan.slots } else { plan.chunk };
                let bytes = steps.all[hop.step].input_bytes[hop.input];
                let clean = u64::from(images.min(plan.slots / 2)) * bytes;
                let found = halves.take(steps, hop, clean, reading[hop.step]);
                // What does not replace the values in training needs room for all images.
                let found = found.filter(|_| !options.training || over_values.is_some());
                if let Some(front) = hop.written() {
                    reading[front] = found.map(|(storage, _)| storage);
                }
                match found {
                    Some((storage, offset)) => Beside::Half { storage, offset },
                    None => {
                        let size = at_turn(&mut turns[usize::from(hop.whole)], turn);
                        *size = (u64::from(images) * bytes).max(*size);
                        Beside::Turn { whole: hop.whole, turn }
                    }
                }
            });
            let Hop { source, passing, .. } = hop;
            routes[hop.step].push(Route { source, passing, over_values, beside });
        }
        let images = image_place(steps, plan, options.masked);
        GradientPlan { routes, is_rectified, turns, images }
    }

    /// Places for passes over whole batches of `slots` images that keep every gradient: each has
    /// one of its own, numbered as if it had a turn.
    pub fn apart(steps: &Steps, plan: BackwardPlan) -> GradientPlan {
        let mut routes = vec![Vec::new(); steps.all.len()];
        let mut turns: [Vec<u64>; 2] = Default::default();
        let mut images = 0;
        for hop in hops(&steps.all, plan.seam) {
            let size = u64::from(plan.slots) * steps.all[hop.step].input_bytes[hop.input];
            if hop.source == Source::Images {
                images = size;
            }
            let own = &mut turns[usize::from(hop.whole)];
            let beside = hop.turn().map(|_| {
                own.push(size);
                Beside::Turn { whole: hop.whole, turn: own.len() - 1 }
            });
            let Hop { source, passing, .. } = hop;
            routes[hop.step].push(Route { source, passing, over_values: None, beside });
        }
        let is_rectified = vec![false; steps.all.len()];
        GradientPlan { routes, is_rectified, turns, images: ImagePlace::Own(images) }
    }
}

/// Where the gradient with respect to the images lies: in the masked images' half of them, where
/// there is one and no step in place reads them. What is behind steps in place puts its gradient
/// there in training too, for all images: activations in place may learn from it.
fn image_place(steps: &Steps, plan: BackwardPlan, masked: bool) -> ImagePlace {
    let mut readers = steps.all.iter().filter(|step| step.sources.contains(&Source::Images));
    let own = readers.next();
    let bytes = own.map_or(0, |step| {
        let number = step.sources.iter().position(|source| *source == Source::Images);
        step.input_bytes[number.unwrap_or(0)]
    });
    let offset = u64::from(plan.slots / 2) * bytes;
    let is_read_once = own.is_some_and(|own| !own.hands_on) && readers.next().is_none();
    let is_changed = |index: usize| {
        steps.all[index].sources == [Source::Images] && leads_to_images(&steps.all, index)
    };
    let images = match (0..steps.all.len()).any(is_changed) {
        true => plan.slots,
        false => plan.input_images(),
    };
    match masked && is_read_once && offset.is_multiple_of(ALIGNMENT) {
        true => ImagePlace::Half(offset),
        false => ImagePlace::Own(u64::from(images) * bytes),
    }
}

/// Whether the gradient of `hop` can replace the values that it is of in training: what it is
/// multiplied by then, and the step whose activation is differentiated so.
fn replacement(steps: &Steps, hop: Hop) -> (Option<OverValues>, Option<usize>) {
    let step = &steps.all[hop.step];
    // A factor is what the other factor's gradient is computed from.
    if step.multiplies {
        return (None, None);
    }
    let Some(source) = hop.written().filter(|&source| steps.all[source].reader == Some(hop.step))
    else {
        return (None, None);
    };
    // Dropout works in place: its value may be that of the step in front.
    let mut owner = source;
    while let Some(index) = steps.front(owner).filter(|_| steps.shares_value(owner)) {
        owner = index;
    }
    let (activation, state) = (steps.all[owner].activation, steps.all[owner].state);
    let is_state = activation != StepActivation::None && state == steps.all[source].value;
    match is_state {
        false => (Some(OverValues::Plain), None),
        true if step.rectifies && activation == StepActivation::Relu => {
            (Some(OverValues::Rectified), Some(owner))
        }
        true => (None, None),
    }
}

/// The masked images' halves of the memories of values, and how far each is taken.
struct Halves {
    /// A memory, the end of what is taken, its size.
    hosts: Vec<(StorageId, u64, u64)>,
}

impl Halves {
    fn new(steps: &Steps, slots: u32, masked: bool) -> Halves {
        let own = (0..steps.all.len()).filter(|&index| masked && !steps.shares_value(index));
        let half = |index: usize| {
            let step = &steps.all[index];
            let start = u64::from(slots / 2) * step.value_bytes;
            (step.value, start.next_multiple_of(ALIGNMENT), steps.storages[step.value])
        };
        Halves { hosts: own.map(half).collect() }
    }

    /// `bytes` in the smallest half with room that no dispatch with the gradient of `hop` binds
    /// otherwise: not where the gradient it is made of lies, nor what derivatives behind it are
    /// computed from. The memory, and where in it.
    fn take(
        &mut self,
        steps: &Steps,
        hop: Hop,
        bytes: u64,
        reading: Option<StorageId>,
    ) -> Option<(StorageId, u64)> {
        let source = hop.written()?;
        if steps.all[source].reader != Some(hop.step) {
            return None;
        }
        let mut bound = Vec::from_iter(reading);
        let step = &steps.all[hop.step];
        if step.multiplies {
            let values = step.sources.iter().filter_map(|source| source.step());
            bound.extend(values.map(|index| steps.all[index].value));
        }
        let mut at = Some(source);
        while let Some(index) = at {
            let own = &steps.all[index];
            bound.push(own.state);
            // A sum hands its gradient on to its last input.
            let last = own.sources.last().and_then(|source| source.step());
            at = last.filter(|_| own.hands_on);
        }
        let room = |(_, end, size): &(StorageId, u64, u64)| size.saturating_sub(*end);
        let is_free = |host: &&mut (StorageId, u64, u64)| !bound.contains(&host.0);
        let fitting = self.hosts.iter_mut().filter(is_free).filter(|host| room(host) >= bytes);
        let (storage, end, _) = fitting.min_by_key(|host| room(host))?;
        let offset = *end;
        *end = (offset + bytes).next_multiple_of(ALIGNMENT);
        Some((*storage, offset))
    }
}
