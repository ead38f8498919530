//! Which gradients exist for all images at once, and of how many images the others do.

use super::{
    hops::hops,
    steps::{Source, Step},
    turns::at_turn,
};

/// Memory of a training step, as a multiple of what its forward pass must keep, that chunks are
/// chosen for.
const MEMORY_GOAL: f64 = 1.29;
/// Gradients of fewer than this share of an image's values are kept for all images at once: their
/// steps need few dispatches then.
const SMALL_SHARE: u64 = 64;

/// Which gradients exist for all images at once, and of how many images the others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackwardPlan {
    /// Images in the buffers of values.
    pub slots: u32,
    /// Images per chunk.
    pub chunk: u32,
    /// The first step that has its output's gradient for all images at once.
    pub seam: usize,
}

impl BackwardPlan {
    /// Chunks start at multiples of this: then every buffer's offset is one that bindings can have.
    pub const LEAST: u32 = 64;

    /// Everything in one chunk: for networks that do not train, and for operations whose backward
    /// pass sums over the batch.
    pub fn whole(slots: u32) -> Self {
        BackwardPlan { slots, chunk: slots, seam: 0 }
    }

    /// Chunks for `steps` that keep `kept` bytes of `slots` images and have `fixed` bytes beside
    /// values and their gradients: as large as the memory goal allows.
    pub fn new(steps: &[Step], kept: u64, slots: u32, fixed: u64) -> Self {
        let small = kept / u64::from(slots.max(1)) / SMALL_SHARE;
        // Behind the seam there is one way: each step reads the one before.
        let is_small = |(before, step): &(usize, &Step)| {
            step.input_bytes[0] <= small && step.sources == [Source::Step(*before)]
        };
        let after = steps.iter().skip(1).enumerate().rev().take_while(is_small).count();
        let mut plan = BackwardPlan {
            slots,
            chunk: BackwardPlan::LEAST,
            seam: steps.len().saturating_sub(after + 1),
        };
        let bytes = |plan: BackwardPlan, whole| plan.turns(steps, whole).iter().sum::<u64>();
        let images =
            steps.first().map_or(0, |step| step.input_bytes[0] * u64::from(plan.input_images()));
        let taken = fixed + images + u64::from(slots) * bytes(plan, true);
        let room = ((MEMORY_GOAL - 1.0) * kept as f64) as u64;
        let fitting = room.saturating_sub(taken) / bytes(plan, false).max(1);
        let chunks = fitting.min(u64::from(slots)) as u32 / BackwardPlan::LEAST;
        plan.chunk = chunks.max(1) * BackwardPlan::LEAST;
        if plan.chunk >= slots { BackwardPlan::whole(slots) } else { plan }
    }

    /// Images for which the gradient of a step's output exists at once.
    pub fn images_of(self, index: usize) -> u32 {
        if index >= self.seam { self.slots } else { self.chunk }
    }

    /// Images for which the gradient of the images is kept: it is asked for of clean images only,
    /// half of those that train.
    pub fn input_images(self) -> u32 {
        if self.chunk < self.slots { self.slots.div_ceil(2) } else { self.slots }
    }

    /// Bytes an image in the memory that gradients would be written to in turns, that for the whole
    /// batch or that for a chunk: chunks are as large as if all were. The images' own gradient has
    /// another place.
    fn turns(self, steps: &[Step], whole: bool) -> Vec<u64> {
        let mut largest = Vec::new();
        for hop in hops(steps, self.seam).iter().filter(|hop| hop.whole == whole) {
            if let Some(turn) = hop.turn() {
                let own = at_turn(&mut largest, turn);
                *own = steps[hop.step].input_bytes[hop.input].max(*own);
            }
        }
        largest
    }
}
