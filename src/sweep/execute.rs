//! Makes the runs of a part of a sweep that have no result yet, one after another.

use std::{collections::BTreeMap, path::Path};

use super::{
    epochs::{figures_of, finite},
    plan::{PlannedRun, SweepPlan},
    result::RunResult,
};
use crate::{
    Error, Result,
    config::{PartialRunConfig, RunConfig},
    data::Dataset,
    gpu::Gpu,
    metrics::Cost,
    model::ModelFile,
    study::execute::Executed,
    train::{EpochLine, Observer, Outcome, RunFolder, Start, Trainer},
};

/// What makes and watches the runs of a sweep.
pub trait Watcher {
    /// Work on a run begins; it is number `position` of `count`.
    fn begin(&mut self, run: &PlannedRun, position: usize, count: usize);
    /// The complete settings of a run and the model that it starts from, as `train` has them.
    ///
    /// # Errors
    /// Those of settings that do not fit.
    fn prepare(
        &mut self,
        settings: PartialRunConfig,
        dataset: &Dataset,
    ) -> Result<(RunConfig, Option<ModelFile>)>;
    /// The observer of the training of the current run.
    fn training(&mut self, config: &RunConfig, steps: u64) -> &mut dyn Observer;
    /// The training is done.
    ///
    /// # Errors
    /// Those of files that belong to the run.
    fn trained(
        &mut self,
        config: &RunConfig,
        dataset: &Dataset,
        outcome: &Outcome,
        start: Start,
    ) -> Result<()>;
    /// The run is finished or has failed.
    fn end(&mut self, run: &PlannedRun, outcome: Result<&RunResult, &Error>);
    /// The signal that requests the sweep to stop, if one was received.
    fn interrupted(&self) -> Option<i32>;
}

/// Makes the runs `part` of `plan` in the folder `root`. A failed run does not end the sweep.
///
/// # Errors
/// [`Error::Interrupted`] after a signal; [`Error::DeviceLost`]; errors of the folder itself.
pub async fn execute(
    gpu: &Gpu,
    root: &Path,
    plan: &SweepPlan,
    part: &[usize],
    watcher: &mut dyn Watcher,
) -> Result<Executed> {
    let mut executed = Executed::default();
    for (position, &index) in part.iter().enumerate() {
        let (run, folder) = (&plan.runs[index], plan.folder(root, index));
        if plan.result(root, index).is_some() {
            executed.skipped += 1;
            continue;
        }
        if let Some(signal) = watcher.interrupted() {
            return Err(Error::Interrupted { signal });
        }
        watcher.begin(run, position + 1, part.len());
        let outcome = make(gpu, &folder, run, &plan.datasets[run.dataset], watcher).await;
        if let Ok(result) = &outcome {
            result.write(&folder)?;
        }
        watcher.end(run, executed.count(&folder, outcome)?.as_ref());
    }
    Ok(executed)
}

async fn make(
    gpu: &Gpu,
    folder: &Path,
    run: &PlannedRun,
    dataset: &Dataset,
    watcher: &mut dyn Watcher,
) -> Result<RunResult> {
    let settings = PartialRunConfig { out: Some(folder.to_path_buf()), ..run.settings.clone() };
    let (config, init) = watcher.prepare(settings, dataset)?;
    // The name of the folder has a digest of the settings, so that an existing run is this one,
    // which was stopped before its end.
    let start = match RunFolder::config_of(folder).exists() {
        true => Start::Resume,
        false => Start::New,
    };
    let mut trainer = Trainer::new(gpu, &config, dataset)?;
    if let Some(init) = init {
        trainer.start_from(init);
    }
    let steps = trainer.total_steps();
    let outcome = trainer.run(start, watcher.training(&config, steps)).await?;
    watcher.trained(&config, dataset, &outcome, start)?;
    let (_, epochs) = RunFolder::read_metrics(folder)?;
    Ok(RunResult {
        settings: run.digest.clone(),
        images: outcome.evaluation.images,
        metrics: metrics(&config, &outcome, &epochs)?,
        adapter: gpu.adapter_description(),
    })
}

/// The figures of a finished run.
fn metrics(
    config: &RunConfig,
    outcome: &Outcome,
    epochs: &[EpochLine],
) -> Result<BTreeMap<String, f64>> {
    let cost = Cost::new(&config.network, &config.quantization)?;
    let mut metrics: BTreeMap<String, f64> = [
        ("test_accuracy", outcome.evaluation.accuracy),
        ("test_loss", outcome.evaluation.loss),
        ("seconds", epochs.iter().map(|line| line.seconds).sum()),
        ("parameters", cost.parameters as f64),
        ("bytes", cost.packed_bytes as f64),
        ("bit_ops", cost.bit_ops as f64),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), value))
    .collect();
    let ce = epochs.last().map(|last| last.train_ce);
    metrics.extend(finite(figures_of(epochs).chain([("train_ce", ce)])));
    Ok(metrics)
}
