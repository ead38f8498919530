//! The ranges of images a step works on.

use crate::layout::{ChunkRange, ImagesRange, StepRecord};

/// The clean, the masked and the whole range of images of `step`, and the clean ones that have a
/// masked twin: none without SGT.
pub fn begin_step(step: &StepRecord, sgt: bool) -> [ImagesRange; 4] {
    let range = |first, count| ImagesRange {
        first,
        count,
        batch: step.batch,
        accumulate: u32::from(step.part > 0),
    };
    let masked = if sgt { step.count.saturating_sub(step.unmasked) } else { 0 };
    [
        range(0, step.count),
        range(step.count, masked),
        range(0, step.count + masked),
        range(0, masked),
    ]
}

/// The clean images with a masked twin and all images of `step` in each of `chunks` chunks of
/// `chunk` images.
pub fn chunks(step: &StepRecord, sgt: bool, chunk: u32, chunks: u32) -> Vec<[ChunkRange; 2]> {
    let [_, _, both, twins] = begin_step(step, sgt);
    let within = |whole: ImagesRange, number: u32| {
        let place = number * chunk;
        let count = (place..place + chunk).filter(|&image| image < whole.count).count() as u32;
        let accumulate = if number == 0 { whole.accumulate } else { 1 };
        ChunkRange { images: ImagesRange { count, accumulate, ..whole }, place, padding: [0; 3] }
    };
    (0..chunks).map(|number| [within(twins, number), within(both, number)]).collect()
}
