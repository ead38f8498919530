//! The ranges of images a step works on.

use crate::batch::{ImagesRange, StepRecord};

/// The clean, the masked and the whole range of images of `step`; without SGT there is no masked half in the whole.
pub fn begin_step(step: &StepRecord, sgt: bool) -> [ImagesRange; 3] {
    let range = |first, count| ImagesRange { first, count, batch: step.batch, accumulate: u32::from(step.part > 0) };
    [range(0, step.count), range(step.count, step.count), range(0, if sgt { 2 * step.count } else { step.count })]
}
