//! Rows of the images of a part, kept for the whole data set.

use crate::layout::StepRecord;
use crate::random;

/// The numbers in the data set of the part's images.
fn sources(step: &StepRecord, shuffle: bool) -> impl Iterator<Item = usize> {
    let seed = u64::from(step.seed_low) | u64::from(step.seed_high) << 32;
    let order = random::random_key(seed, step.epoch, random::SHUFFLE);
    let (position, images) = (step.position, step.epoch_images);
    (position..position + step.count).map(move |place| {
        (if shuffle { random::permute(place, images, order) } else { place }) as usize
    })
}

/// The rows of `length` values that `cache` has of the part's images.
pub fn cached_rows<T: Copy>(
    step: &StepRecord,
    shuffle: bool,
    cache: &[T],
    length: usize,
) -> Vec<T> {
    sources(step, shuffle).flat_map(|at| &cache[at * length..(at + 1) * length]).copied().collect()
}

/// Stores the part's `rows` in `cache`.
pub fn store_rows<T: Copy>(step: &StepRecord, shuffle: bool, cache: &mut [T], rows: &[T]) {
    let length = rows.len() / step.count.max(1) as usize;
    for (row, at) in rows.chunks_exact(length).zip(sources(step, shuffle)) {
        cache[at * length..(at + 1) * length].copy_from_slice(row);
    }
}
