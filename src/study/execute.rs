//! Trains, quantizes and judges the models of a study that have no result yet, one model after
//! another.

use std::{path::Path, time::Instant};

use super::{
    judge::{self, MAPS_FILE},
    plan::{Plan, PlannedRun, Stage},
    result::{FAILURE_FILE, ModelResult},
    shard::Shard,
    timing::{Timing, today},
    watcher::Watcher,
};
use crate::{
    Error, Result,
    config::{PartialRunConfig, RunConfig, resolve},
    data::Dataset,
    files::write_atomically,
    gpu::Gpu,
    model::MODEL_FILE,
    train::{DataLocation, Start, Trainer},
};

/// The number of runs by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Runs made by this call.
    pub made: usize,
    /// Runs that had a result already.
    pub skipped: usize,
    /// Runs that failed.
    pub failed: usize,
}

impl Executed {
    /// Counts a run by its outcome. The reason of a failure is written into its `folder`.
    ///
    /// # Errors
    /// Outcomes that end all runs: [`Error::Interrupted`] and [`Error::DeviceLost`]; [`Error::Io`].
    pub fn count<T>(&mut self, folder: &Path, outcome: Result<T>) -> Result<Result<T>> {
        let reason = folder.join(FAILURE_FILE);
        match &outcome {
            Ok(_) => {
                let _ = std::fs::remove_file(reason);
                self.made += 1;
            }
            Err(Error::Interrupted { .. } | Error::DeviceLost(_)) => return outcome.map(Ok),
            Err(error) => {
                write_atomically(&reason, error.to_string().as_bytes())?;
                self.failed += 1;
            }
        }
        Ok(outcome)
    }
}

/// Makes every model of `shard` that has no result in the study's folder `root`. A failed run does
/// not end the study, but the runs that depend on it fail too.
///
/// # Errors
/// [`Error::Interrupted`] after a signal; [`Error::DeviceLost`]; errors of the folder itself.
pub async fn execute(
    gpu: &Gpu,
    root: &Path,
    plan: &Plan,
    shard: Shard,
    datasets: &[Dataset],
    watcher: &mut dyn Watcher,
) -> Result<Executed> {
    let mine = shard.runs(plan);
    let mut executed = Executed::default();
    for (position, &index) in mine.iter().enumerate() {
        let run = &plan.runs[index];
        let folder = plan.folder(root, index);
        if matches!(ModelResult::read(&folder, run), Ok(Some(_))) {
            executed.skipped += 1;
            continue;
        }
        if let Some(signal) = watcher.interrupted() {
            return Err(Error::Interrupted { signal });
        }
        watcher.begin(run, position + 1, mine.len());
        let outcome = make(gpu, root, plan, index, datasets, watcher).await;
        if let Ok((result, timing)) = &outcome {
            timing.write(&folder)?;
            result.write(&folder)?;
        }
        let outcome = executed.count(&folder, outcome)?;
        watcher.end(run, outcome.as_ref().map(|(result, _)| result));
    }
    Ok(executed)
}

/// Makes one model: trains or quantizes it, then judges it.
async fn make(
    gpu: &Gpu,
    root: &Path,
    plan: &Plan,
    index: usize,
    datasets: &[Dataset],
    watcher: &mut dyn Watcher,
) -> Result<(ModelResult, Timing)> {
    let run = &plan.runs[index];
    let named = datasets.iter().find(|dataset| dataset.name == run.variant.dataset);
    let dataset = named.ok_or_else(|| {
        Error::Data(format!("the data set {} of the plan is not loaded", run.variant.dataset))
    })?;
    let folder = plan.folder(root, index);
    let [start, control] =
        [run.start, run.control].map(|index| index.map(|index| plan.folder(root, index)));
    for (other, file) in [(&start, MODEL_FILE), (&control, MAPS_FILE)] {
        if let Some(other) = other
            && !other.join(file).exists()
        {
            let name = other.file_name().unwrap_or_default().to_string_lossy();
            return Err(Error::Model(format!(
                "{name}, which it starts from or is compared with, could not be made"
            )));
        }
    }
    let trained_from = start.as_deref().filter(|_| run.variant.stage != Stage::PostTraining);
    let config = configuration(run, &folder, trained_from, dataset)?;
    let adapter = gpu.adapter_description();
    let mut timing =
        Timing { adapter, steps: 0, training_seconds: 0.0, judging_seconds: 0.0, date: None };
    let mut start_time = Instant::now();
    if run.variant.stage == Stage::PostTraining {
        judge::quantize(gpu, &config, start.as_deref(), dataset).await?;
    } else {
        // The name of the folder contains a hash of the settings, so an existing folder belongs to
        // this run, which was stopped before its end.
        let start = if folder.exists() { Start::Resume } else { Start::New };
        let mut trainer = Trainer::new(gpu, &config, dataset)?;
        let steps = trainer.total_steps();
        let outcome = trainer.run(start, watcher.training(&config, steps)).await?;
        (timing.steps, timing.training_seconds) =
            (outcome.steps.len() as u64, start_time.elapsed().as_secs_f64());
        start_time = Instant::now();
    }
    // The study refers to its data by name only. A later evaluation of this model alone looks for
    // the data location in the run's folder.
    DataLocation::of(dataset).write(&folder)?;
    let result =
        judge::judge(gpu, plan, run, &config, control.as_deref(), dataset, watcher).await?;
    timing.judging_seconds = start_time.elapsed().as_secs_f64();
    timing.date = Some(today());
    Ok((result, timing))
}

/// The planned settings with the folders of this study.
fn configuration(
    run: &PlannedRun,
    folder: &Path,
    init: Option<&Path>,
    dataset: &Dataset,
) -> Result<RunConfig> {
    let mut settings = PartialRunConfig::parse(&run.settings, &run.folder)?;
    settings.out = Some(folder.to_path_buf());
    settings.init = init.map(|folder| folder.join(MODEL_FILE));
    resolve(settings, &dataset.info())
}
