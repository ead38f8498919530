//! What the host does to the device, counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often the host touched the device; tests hold the training step, an evaluation and an
/// explanation to it.
#[derive(Debug, Default)]
pub struct Counters {
    submissions: AtomicU64,
    maps: AtomicU64,
    writes: AtomicU64,
    copies: AtomicU64,
    pipelines: AtomicU64,
    dispatches: AtomicU64,
}

impl Counters {
    /// Queue submissions, buffers mapped for reading, host writes, and buffer copies so far.
    pub fn snapshot(&self) -> [u64; 4] {
        [&self.submissions, &self.maps, &self.writes, &self.copies]
            .map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Pipelines created and dispatches encoded so far.
    pub fn work(&self) -> [u64; 2] {
        [&self.pipelines, &self.dispatches].map(|counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn count_pipeline(&self) {
        self.pipelines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_dispatches(&self, count: u64) {
        self.dispatches.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn count_submission(&self) {
        self.submissions.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_map(&self) {
        self.maps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_copy(&self) {
        self.copies.fetch_add(1, Ordering::Relaxed);
    }
}
