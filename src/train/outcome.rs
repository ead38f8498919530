//! The start and the results of a run.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{EpochLine, StepLine};
use crate::{Phrase, graph::ParameterLayout, metrics::Evaluation};

/// Number of lines of steps and of epochs that are kept in memory at least; `metrics.jsonl` has all
/// of them.
const LINES_KEPT: usize = 10_000;

/// Observes a run: progress bars, signals.
pub trait Observer {
    /// Called before the first step, and again where a run continues on another device, with the
    /// number of steps taken so far. The run folder is there.
    fn begin(&mut self, _steps: u64) {}
    /// Called when a step's metrics have arrived.
    fn step(&mut self, _line: &StepLine, _images_per_second: f64) {}
    /// Called at the end of an epoch.
    fn epoch(&mut self, _line: &EpochLine) {}
    /// Whether [`parameters`](Self::parameters) is called after every epoch, and
    /// [`snapshot`](Self::snapshot) also without `snapshot-every`.
    fn wants_details(&self) -> bool {
        false
    }
    /// Called with all parameters, flat.
    fn parameters(&mut self, _step: u64, _layout: &ParameterLayout, _values: &[f32]) {}
    /// Called with saliency maps; `images` are their places in the test set.
    fn snapshot(&mut self, _snapshot: &Snapshot, _images: &[usize]) {}
    /// Called with a message for the user.
    fn note(&mut self, _text: &str) {}
    /// Advice about settings. A caller that shows it can put its own words in place of the
    /// settings' names.
    fn advise(&mut self, said: &Phrase) {
        self.note(&said.to_string());
    }
    /// The signal that requests the run to stop, if one was received.
    fn interrupted(&self) -> Option<i32> {
        None
    }
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the beginning, in a folder without a run.
    New,
    /// From the beginning; an existing run is replaced.
    Replace,
    /// From the last checkpoint in the folder.
    Resume,
}

/// Saliency of a few fixed test images at one moment of training.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Number of steps before it.
    pub step: u64,
    /// Gradient maps, [image, channel, row, column].
    pub saliency: Vec<f32>,
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Results on the test set at the end.
    pub evaluation: Evaluation,
    /// The last steps whose lines this process wrote, at least 10,000.
    pub steps: Vec<StepLine>,
    /// The last epochs that this process finished, at least 10,000.
    pub epochs: Vec<EpochLine>,
    /// Saliency maps during training, if snapshots were requested.
    pub snapshots: Vec<Snapshot>,
    /// Indices of the snapshots' images in the test set.
    pub snapshot_images: Vec<usize>,
    /// α's at the end.
    pub alphas: BTreeMap<String, f32>,
    /// Training time in seconds, without evaluation.
    pub seconds: f64,
    /// Whether the run was finished before this call.
    pub already_finished: bool,
}

/// The results of a run so far. They outlive the device on which they were computed.
#[derive(Default)]
pub(super) struct Record {
    pub steps: Vec<StepLine>,
    pub epochs: Vec<EpochLine>,
    pub snapshots: Vec<Snapshot>,
    pub seconds: f64,
    /// The step from which the run last began or continued.
    pub begun_at: Option<u64>,
    /// The messages that are given only once and were given.
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

    /// Whether `what` is new. It counts as said from now on.
    pub fn say_once(&mut self, what: &str) -> bool {
        self.said.insert(what.into())
    }

    /// Removes the results after step `step`, from which the run begins or continues.
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
                distill: None,
                align: None,
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
