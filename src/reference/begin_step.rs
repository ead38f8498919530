//! The ranges of images a step works on.

use crate::batch::{ImagesRange, StepRecord};

/// The clean, the masked and the whole range of images of `step`, and the clean ones that have a masked twin: none without SGT.
pub fn begin_step(step: &StepRecord, sgt: bool) -> [ImagesRange; 4] {
    let range = |first, count| ImagesRange { first, count, batch: step.batch, accumulate: u32::from(step.part > 0) };
    let masked = if sgt { step.count.saturating_sub(step.unmasked) } else { 0 };
    [range(0, step.count), range(step.count, masked), range(0, step.count + masked), range(0, masked)]
}
