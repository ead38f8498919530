//! The interface that receives the progress of a study.

use super::{plan::PlannedRun, result::ModelResult};
use crate::{Error, Result, config::RunConfig, train::Observer};

/// Receives the progress of a study.
pub trait Watcher {
    /// Work on a run begins; it is number `position` of `count`.
    fn begin(&mut self, run: &PlannedRun, position: usize, count: usize);
    /// The watcher of the training of the current run, which has the settings `config` and `steps`
    /// steps in total.
    fn training(&mut self, config: &RunConfig, steps: u64) -> &mut dyn Observer;
    /// The training is finished; judging begins or continues with `what`.
    fn judging(&mut self, what: &str);
    /// The run is finished or has failed.
    fn end(&mut self, run: &PlannedRun, outcome: Result<&ModelResult, &Error>);
    /// The signal that requests the study to stop, if one was received.
    fn interrupted(&self) -> Option<i32>;
}
