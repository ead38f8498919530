//! Work on many files, on all cores.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Items between two reports of progress.
const BATCH: usize = 512;

/// Told how many of how many items are done, while a data set is read.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// The results of `work` on every item, in order. `work` gets the number of the item too.
pub(super) fn map<T: Sync, R: Send>(
    items: &[T],
    progress: &mut Progress<'_>,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut results = Vec::with_capacity(items.len());
    for (batch, items_of_batch) in items.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        if threads == 1 || items_of_batch.len() == 1 {
            let of_one = |(index, item)| work(first + index, item);
            results.extend(items_of_batch.iter().enumerate().map(of_one));
        } else {
            let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
            let take = || {
                let mut own = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items_of_batch.get(index) else { break };
                    own.push((index, work(first + index, item)));
                }
                done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).extend(own);
            };
            thread::scope(|scope| {
                for _ in 1..threads.min(items_of_batch.len()) {
                    scope.spawn(take);
                }
                take();
            });
            let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
            done.sort_unstable_by_key(|&(index, _)| index);
            results.extend(done.into_iter().map(|(_, result)| result));
        }
        progress(results.len() as u64, items.len() as u64);
    }
    results
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_order() {
        let items: Vec<usize> = (0..3000).collect();
        let mut told = Vec::new();
        let mut progress = |done, total| told.push((done, total));
        let results = super::map(&items, &mut progress, |index, &item| {
            assert_eq!(index, item);
            2 * item
        });
        assert!(results.iter().enumerate().all(|(index, &result)| result == 2 * index));
        assert_eq!(told.last(), Some(&(3000, 3000)));
    }
}
