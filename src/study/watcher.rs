//! Who is told of a study's progress.

use super::{plan::PlannedRun, result::ModelResult};
use crate::{Error, Result, config::RunConfig, train::Observer};

/// Who watches a study.
pub trait Watcher {
    /// Work on a run begins: number `position` of `count`.
    fn begin(&mut self, run: &PlannedRun, position: usize, count: usize);
    /// Who watches the training of the run that has begun, `config` with `steps` steps in all.
    fn training(&mut self, config: &RunConfig, steps: u64) -> &mut dyn Observer;
    /// The training is over; the model is judged.
    fn judging(&mut self, what: &str);
    /// The run is finished, or could not be.
    fn end(&mut self, run: &PlannedRun, outcome: Result<&ModelResult, &Error>);
    /// The signal that asks the study to stop, if one came.
    fn interrupted(&self) -> Option<i32>;
}
