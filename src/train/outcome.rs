//! What goes into a run and what comes out of it.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{EpochLine, StepLine};
use crate::{Phrase, metrics::Evaluation};

/// Lines of steps and epochs that are kept in memory at least; all of them are in `metrics.jsonl`.
const LINES_KEPT: usize = 10_000;

/// Who watches a run: progress bars, signals.
pub trait Observer {
    /// A step's metrics have arrived.
    fn step(&mut self, _line: &StepLine, _images_per_second: f64) {}
    /// An epoch is over.
    fn epoch(&mut self, _line: &EpochLine) {}
    /// Something worth saying.
    fn note(&mut self, _text: &str) {}
    /// Something worth saying of settings: whoever shows it can call them as its users do.
    fn advise(&mut self, said: &Phrase) {
        self.note(&said.to_string());
    }
    /// The signal that asks the run to stop, if one came.
    fn interrupted(&self) -> Option<i32> {
        None
    }
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the beginning, in a folder without a run.
    New,
    /// From the beginning, replacing a run that is there.
    Replace,
    /// From the last checkpoint in the folder.
    Resume,
}

/// Saliency of a few fixed test images at one moment of training.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Steps taken before it.
    pub step: u64,
    /// Gradient maps, [image, channel, row, column].
    pub saliency: Vec<f32>,
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Test set at the end.
    pub evaluation: Evaluation,
    /// The last steps whose lines were written by this process, 10,000 at least.
    pub steps: Vec<StepLine>,
    /// The last epochs finished by this process, 10,000 at least.
    pub epochs: Vec<EpochLine>,
    /// Saliency while training, where snapshots were asked for.
    pub snapshots: Vec<Snapshot>,
    /// Indices of the snapshots' images in the test set.
    pub snapshot_images: Vec<usize>,
    /// α's at the end.
    pub alphas: BTreeMap<String, f32>,
    /// Training time in seconds, evaluation apart.
    pub seconds: f64,
    /// Whether there was nothing left to do.
    pub already_finished: bool,
}

/// What a run has brought so far. It outlives the device it was computed on.
#[derive(Default)]
pub(super) struct Record {
    pub steps: Vec<StepLine>,
    pub epochs: Vec<EpochLine>,
    pub snapshots: Vec<Snapshot>,
    pub seconds: f64,
    /// The step that it last began or went on from.
    pub begun_at: Option<u64>,
    /// What has been said that is said once.
    said: BTreeSet<String>,
}

impl Record {
    pub fn add_step(&mut self, line: StepLine) {
        make_room(&mut self.steps);
        self.steps.push(line);
    }

    pub fn add_epoch(&mut self, line: EpochLine) {
        make_room(&mut self.epochs);
        self.epochs.push(line);
    }

    /// Whether `what` has not been said yet. It counts as said from now on.
    pub fn say_once(&mut self, what: &str) -> bool {
        self.said.insert(what.into())
    }

    /// Forgets what came after step `step`: the run begins there, or goes on.
    pub fn rewind(&mut self, step: u64) {
        self.begun_at = Some(step);
        self.steps.retain(|line| line.step <= step);
        self.epochs.retain(|line| line.step <= step);
        self.snapshots.retain(|snapshot| snapshot.step < step);
    }
}

/// A run of weeks must not fill the memory with its lines.
fn make_room<T>(lines: &mut Vec<T>) {
    if lines.len() >= 2 * LINES_KEPT {
        lines.drain(..LINES_KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_fill_the_memory() {
        let mut record = Record::default();
        for step in 1..=100_000 {
            record.add_step(StepLine {
                step,
                loss: 0.0,
                ce: 0.0,
                kl: 0.0,
                accuracy: 0.0,
                lr: 0.0,
                quantizers: Default::default(),
            });
            assert!(record.steps.len() <= 2 * LINES_KEPT);
        }
        assert_eq!(record.steps.last().map(|line| line.step), Some(100_000));
        assert!(record.steps.len() >= LINES_KEPT);
        record.rewind(99_000);
        assert_eq!(record.steps.last().map(|line| line.step), Some(99_000));
    }
}
