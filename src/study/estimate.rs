//! Estimates the time of a study on this machine, from a few measured steps of every kind of
//! training and from the runs that are finished.

use std::{collections::BTreeMap, path::Path, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    plan::{Plan, PlannedRun},
    result::ModelResult,
    shard::Shard,
    timing::{MAX_FILE, Timing, write_json},
};
use crate::{
    Error, Result,
    config::{PartialRunConfig, RunConfig, resolve},
    data::Dataset,
    digest::sha256_hex,
    files::read_bounded,
    gpu::Gpu,
    train::Trainer,
};

/// File of measured times of steps in a study's folder.
const CALIBRATION_FILE: &str = "calibration.json";
/// Untimed steps before the timed ones, for work that happens only once.
const WARM_UP_STEPS: u32 = 1;
/// Number of timed steps.
const TIMED_STEPS: u32 = 5;

/// Seconds per step, by adapter and kind of training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration(BTreeMap<String, BTreeMap<String, f64>>);

/// A run with the keys of its measured times.
struct Timed<'a> {
    run: &'a PlannedRun,
    /// Key of the kind of training; training runs whose steps take the same time have the same key.
    kind: String,
    config: RunConfig,
}

impl<'a> Timed<'a> {
    fn new(plan: &'a Plan, index: usize, datasets: &[Dataset]) -> Result<Timed<'a>> {
        let run = &plan.runs[index];
        let named = datasets.iter().find(|dataset| dataset.name == run.variant.dataset);
        let dataset = named.ok_or_else(|| {
            Error::Data(format!("the data set {} of the plan is not loaded", run.variant.dataset))
        })?;
        let config =
            resolve(PartialRunConfig::parse(&run.settings, &run.folder)?, &dataset.info())?;
        let kind = kind_of_step(&config, run.work.images);
        Ok(Timed { run, kind, config })
    }

    fn steps(&self) -> u64 {
        self.run.work.steps
    }
}

/// A key that trainings of `images` images share if their steps take about the same time.
pub fn kind_of_step(config: &RunConfig, images: u32) -> String {
    let batch = config.batch_size.min(images);
    // Fake quantization adds little to a step.
    let described =
        format!("{:?} {} {batch} {:?}", config.network, config.sgt.enabled, config.precision);
    sha256_hex([described.as_bytes()])[..12].into()
}

impl Calibration {
    /// The measurements in the study's folder `root`. For each kind of training that remains, and
    /// whose time neither these measurements nor a finished run gives, a few steps are timed. The
    /// results are added to the folder, if it exists.
    ///
    /// # Errors
    /// Errors of the device, and of settings that do not fit together.
    pub fn new(
        gpu: &Gpu,
        root: &Path,
        plan: &Plan,
        shard: Shard,
        datasets: &[Dataset],
    ) -> Result<Calibration> {
        let read = read_bounded(&root.join(CALIBRATION_FILE), MAX_FILE).ok();
        let mut calibration: Calibration =
            read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let adapter = gpu.adapter_description();
        let own = calibration.0.entry(adapter.clone()).or_default();
        let before = own.len();
        let mut open = Vec::new();
        let mut known: Vec<String> = own.keys().cloned().collect();
        for index in shard.runs(plan) {
            let work = Timed::new(plan, index, datasets)?;
            match Timing::on(&plan.folder(root, index), &adapter) {
                Some(timing) if timing.steps > 0 => known.push(work.kind),
                Some(_) => {}
                None if work.steps() > 0 && !is_finished(plan, root, index) => {
                    open.push((index, work))
                }
                None => {}
            }
        }
        for (index, work) in open {
            if known.contains(&work.kind) {
                continue;
            }
            let dataset =
                datasets.iter().find(|dataset| dataset.name == plan.runs[index].variant.dataset);
            if let Some(dataset) = dataset {
                own.insert(work.kind.clone(), seconds_of_step(gpu, &work.config, dataset)?);
                known.push(work.kind);
            }
        }
        if own.len() > before && root.is_dir() {
            write_json(&root.join(CALIBRATION_FILE), &calibration)?;
        }
        Ok(calibration)
    }
}

/// The median time of a few steps of a training with the settings `config`.
///
/// # Errors
/// Errors of the device, and of settings that do not fit together.
pub fn seconds_of_step(gpu: &Gpu, config: &RunConfig, dataset: &Dataset) -> Result<f64> {
    let trainer = Trainer::new(gpu, config, dataset)?;
    trainer.begin_benchmark();
    let step = || -> Result<f64> {
        trainer.rewind();
        gpu.wait()?;
        let start = Instant::now();
        trainer.submit_step()?;
        gpu.wait()?;
        Ok(start.elapsed().as_secs_f64())
    };
    for _ in 0..WARM_UP_STEPS {
        step()?;
    }
    let mut seconds = (0..TIMED_STEPS).map(|_| step()).collect::<Result<Vec<f64>>>()?;
    seconds.sort_unstable_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

fn is_finished(plan: &Plan, root: &Path, index: usize) -> bool {
    matches!(ModelResult::read(&plan.folder(root, index), &plan.runs[index]), Ok(Some(_)))
}

/// The remaining time of a study.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// The part of the study that the estimate covers; `1/1` for all of it.
    pub shard: String,
    /// Its models, in order.
    pub runs: Vec<EstimatedRun>,
    /// Remaining time in seconds.
    pub seconds: f64,
}

/// The time of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EstimatedRun {
    /// Folder of the run.
    pub folder: String,
    /// Label of the model.
    pub model: String,
    /// Data set of the model.
    pub dataset: String,
    /// Seed of the training.
    pub seed: u64,
    /// Number of training steps.
    pub steps: u64,
    /// Whether its result exists.
    pub finished: bool,
    /// Remaining time in seconds; 0 for a finished run.
    pub seconds: f64,
    /// Time that a finished run took in seconds, if known.
    pub taken_seconds: Option<f64>,
}

/// Sums of measured and of expected time.
#[derive(Clone, Copy, Default)]
struct Ratio {
    measured: f64,
    expected: f64,
}

impl Ratio {
    fn add(&mut self, measured: f64, expected: f64) {
        self.measured += measured;
        self.expected += expected;
    }

    fn value(self) -> Option<f64> {
        (self.expected > 0.0 && self.measured > 0.0).then(|| self.measured / self.expected)
    }
}

impl Estimate {
    /// The remaining time of the runs of `shard` on `adapter`. It is computed from the measured
    /// times of steps and corrected by the time that finished runs took. Judgements are counted by
    /// their number of passes through the network and corrected in the same way.
    ///
    /// # Errors
    /// For settings that do not fit together.
    pub fn new(
        adapter: &str,
        root: &Path,
        plan: &Plan,
        shard: Shard,
        datasets: &[Dataset],
        calibration: &Calibration,
    ) -> Result<Estimate> {
        let measured = calibration.0.get(adapter);
        let mine = shard.runs(plan);
        let works = mine
            .iter()
            .map(|&index| Timed::new(plan, index, datasets))
            .collect::<Result<Vec<_>>>()?;
        let finished: Vec<bool> =
            mine.iter().map(|&index| is_finished(plan, root, index)).collect();
        let timing = |(&index, &finished): (&usize, &bool)| {
            Timing::on(&plan.folder(root, index), adapter).filter(|_| finished)
        };
        let timings: Vec<Option<Timing>> = mine.iter().zip(&finished).map(timing).collect();
        let mut by_kind: BTreeMap<&str, Ratio> = BTreeMap::new();
        for (work, timing) in works.iter().zip(&timings) {
            if let Some(timing) = timing.as_ref().filter(|timing| timing.steps > 0) {
                by_kind
                    .entry(&work.kind)
                    .or_default()
                    .add(timing.training_seconds, timing.steps as f64);
            }
        }
        let finished_rate = |kind: &str| by_kind.get(kind).and_then(|ratio| ratio.value());
        let first_rate = |work: &Timed| measured.and_then(|kinds| kinds.get(&work.kind)).copied();
        // The time of a pass of one image, from all known times of steps.
        let mut pass = Ratio::default();
        let mut drift = Ratio::default();
        for work in works.iter().filter(|work| work.steps() > 0) {
            if let Some(rate) = finished_rate(&work.kind).or(first_rate(work)) {
                pass.add(rate, work.run.work.step_passes as f64);
            }
            if let (Some(rate), Some(first)) = (finished_rate(&work.kind), first_rate(work)) {
                drift.add(rate, first);
            }
        }
        let pass = pass.value().unwrap_or(0.0);
        let mut judging = Ratio::default();
        for (work, timing) in works.iter().zip(&timings) {
            if let Some(timing) = timing {
                judging.add(timing.judging_seconds, pass * work.run.work.judging_passes as f64);
            }
        }
        let runs: Vec<EstimatedRun> = finished
            .into_iter()
            .zip(works.iter().zip(&timings))
            .map(|(finished, (work, timing))| {
                let (run, passes) = (work.run, work.run.work);
                let first = first_rate(work).map(|rate| rate * drift.value().unwrap_or(1.0));
                let per_step =
                    finished_rate(&work.kind).or(first).unwrap_or(pass * passes.step_passes as f64);
                let left = passes.steps as f64 * per_step
                    + pass * passes.judging_passes as f64 * judging.value().unwrap_or(1.0);
                EstimatedRun {
                    folder: run.folder.clone(),
                    model: run.variant.full_label(),
                    dataset: run.variant.dataset.clone(),
                    seed: run.seed,
                    steps: passes.steps,
                    finished,
                    seconds: if finished { 0.0 } else { left },
                    taken_seconds: timing
                        .as_ref()
                        .map(|timing| timing.training_seconds + timing.judging_seconds),
                }
            })
            .collect();
        Ok(Estimate {
            shard: shard.to_string(),
            seconds: runs.iter().map(|run| run.seconds).sum(),
            runs,
        })
    }

    /// The number of unfinished models.
    pub fn left(&self) -> usize {
        self.runs.iter().filter(|run| !run.finished).count()
    }
}
