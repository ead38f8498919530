//! How long a study takes here: from a few steps of every kind of training, and from what of it is done.

use std::{collections::BTreeMap, path::Path, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    plan::{Plan, Stage},
    result::ModelResult,
    shard::Shard,
};
use crate::{
    Error, Result,
    config::{PartialRunConfig, RunConfig},
    data::Dataset,
    digest::sha256_hex,
    files::{read_bounded, write_atomically},
    gpu::Gpu,
    saliency::{Method, MethodOptions},
    train::Trainer,
};

/// Measured steps in a study's folder.
const CALIBRATION_FILE: &str = "calibration.json";
/// How long a finished run took, in its folder: kept apart from its result, which depends on nothing but its settings.
const TIMING_FILE: &str = "timing.json";
/// Largest of these files that is read.
const MAX_FILE: u64 = 1 << 20;
/// Steps before those that are timed, for everything that happens only once.
const WARM_UP_STEPS: u32 = 1;
/// Steps that are timed.
const TIMED_STEPS: u32 = 5;

/// How long making one model took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Timing {
    /// Adapter and driver it was made on.
    pub adapter: String,
    /// Steps of training that were taken; fewer than planned where the run went on from a checkpoint.
    pub steps: u64,
    /// Time of those, with the tests between them.
    pub training_seconds: f64,
    /// Time of all judgements.
    pub judging_seconds: f64,
}

impl Timing {
    /// Writes the times into a run's `folder`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(&folder.join(TIMING_FILE), self)
    }

    /// Times that cannot be read are none.
    fn read(folder: &Path, adapter: &str) -> Option<Timing> {
        let bytes = read_bounded(&folder.join(TIMING_FILE), MAX_FILE).ok()?;
        serde_json::from_slice(&bytes).ok().filter(|timing: &Timing| timing.adapter == adapter)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Model(error.to_string()))?;
    write_atomically(path, text.as_bytes())
}

/// Seconds of a step by adapter and kind of training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration(BTreeMap<String, BTreeMap<String, f64>>);

/// What a run has to do.
struct Work {
    /// Trainings whose steps take the same time have the same.
    kind: String,
    steps: u64,
    /// Forward passes of single images in a step, a backward pass counted as one: 7 with saliency guidance, 3 without (Algorithm 1).
    step_passes: f64,
    /// Forward passes of single images outside the steps.
    judging_passes: f64,
    config: RunConfig,
}

impl Work {
    fn new(plan: &Plan, index: usize, datasets: &[Dataset]) -> Result<Work> {
        let run = &plan.runs[index];
        let named = datasets.iter().find(|dataset| dataset.name == run.variant.dataset);
        let dataset =
            named.ok_or_else(|| Error::Data(format!("the data set {} of the plan is not loaded", run.variant.dataset)))?;
        let config = PartialRunConfig::parse(&run.settings, &run.folder)?.resolve(&dataset.info())?;
        let images = (dataset.train.len() as u32).min(config.train_limit.unwrap_or(u32::MAX)).max(1);
        let batch = config.batch_size.min(images);
        let per_epoch = images.div_ceil(batch);
        let all = config.steps.unwrap_or(u64::from(config.epochs) * u64::from(per_epoch));
        let steps = if run.variant.stage == Stage::PostTraining { 0 } else { all };
        let tests = u64::from((dataset.test.len() as u32).min(config.test_limit.unwrap_or(u32::MAX)));
        // Fake quantization adds little to a step.
        let described = format!("{:?} {} {batch} {:?}", config.network, run.variant.sgt, config.precision);
        Ok(Work {
            kind: sha256_hex([described.as_bytes()])[..12].into(),
            steps,
            step_passes: f64::from(batch) * if run.variant.sgt { 7.0 } else { 3.0 },
            judging_passes: judging_passes(plan, index, &config, dataset) + (steps.div_ceil(u64::from(per_epoch)) * tests) as f64,
            config,
        })
    }
}

/// Forward passes of single images that judging a model takes.
fn judging_passes(plan: &Plan, index: usize, config: &RunConfig, dataset: &Dataset) -> f64 {
    let wanted = &plan.judgement;
    let test = (dataset.test.len() as u32).min(config.test_limit.unwrap_or(u32::MAX));
    let dropped = f64::from(wanted.drop_images.min(test));
    let judged = f64::from(wanted.images.min(wanted.drop_images).min(test));
    let settings = MethodOptions::default();
    let layers = config.network.weight_layers().len() as f64;
    let map = |method: Method| 2.0 * f64::from(settings.samples_of(method, dataset.shape));
    let chosen = |names: &[String]| -> Vec<Method> {
        Method::ALL.into_iter().filter(|method| names.iter().any(|name| name == method.name())).collect()
    };
    let mut passes = f64::from(test) + 10.0 * dropped;
    for method in chosen(&wanted.methods) {
        let noisy = if method.takes_samples() || wanted.sensitivity_samples == 0 {
            0.0
        } else {
            1.0 + f64::from(wanted.sensitivity_samples)
        };
        let random = if method.takes_samples() || !wanted.randomisation { 0.0 } else { layers };
        passes += dropped * (map(method) + 10.0) + judged * (noisy + random) * map(method);
    }
    let stage = plan.runs[index].variant.stage;
    if let Some(plan_again) = wanted.retraining.as_ref().filter(|plan| plan.post_training || stage != Stage::PostTraining)
        && let Ok(again) = PartialRunConfig::parse(&plan_again.settings, "preset").and_then(|own| own.resolve(&dataset.info()))
    {
        let images = f64::from(plan_again.images[0].min(dataset.train.len() as u32));
        let trained = again.steps.map_or(f64::from(again.epochs) * images, |steps| steps as f64 * f64::from(again.batch_size));
        let methods = chosen(&plan_again.methods);
        let curves = methods.len() + usize::from(stage == Stage::Float);
        passes += curves as f64 * plan_again.shares.len() as f64 * 3.0 * trained;
        passes += methods.into_iter().map(map).sum::<f64>() * images;
    }
    passes
}

impl Calibration {
    /// The measurements in the study's folder `root`; of kinds of training that are still to be done and of which neither these nor a finished
    /// run say how long they take, a few steps are timed and added to the folder, where there is one.
    ///
    /// # Errors
    /// Of the device and of settings that do not go together.
    pub fn new(gpu: &Gpu, root: &Path, plan: &Plan, shard: Shard, datasets: &[Dataset]) -> Result<Calibration> {
        let read = read_bounded(&root.join(CALIBRATION_FILE), MAX_FILE).ok();
        let mut calibration: Calibration = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let adapter = gpu.adapter_description();
        let own = calibration.0.entry(adapter.clone()).or_default();
        let before = own.len();
        let mut open = Vec::new();
        let mut known: Vec<String> = own.keys().cloned().collect();
        for index in (0..plan.runs.len()).filter(|&index| shard.has(plan.runs[index].chain)) {
            let work = Work::new(plan, index, datasets)?;
            match Timing::read(&plan.folder(root, index), &adapter) {
                Some(timing) if timing.steps > 0 => known.push(work.kind),
                Some(_) => {}
                None if work.steps > 0 && !is_finished(plan, root, index) => open.push((index, work)),
                None => {}
            }
        }
        for (index, work) in open {
            if known.contains(&work.kind) {
                continue;
            }
            let dataset = datasets.iter().find(|dataset| dataset.name == plan.runs[index].variant.dataset);
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

/// The median of a few steps.
fn seconds_of_step(gpu: &Gpu, config: &RunConfig, dataset: &Dataset) -> Result<f64> {
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

/// What a study will still take.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Its models, in order.
    pub runs: Vec<EstimatedRun>,
    /// Time left.
    pub seconds: f64,
}

/// What one model takes or took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EstimatedRun {
    /// Its folder.
    pub folder: String,
    /// Its label.
    pub model: String,
    /// Its data set.
    pub dataset: String,
    /// Seed of its training.
    pub seed: u64,
    /// Steps of training.
    pub steps: u64,
    /// Whether its result is there.
    pub finished: bool,
    /// Time left: 0 for a finished one.
    pub seconds: f64,
    /// How long a finished one took, where that is known.
    pub taken_seconds: Option<f64>,
}

/// Measured time against what was expected.
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
    /// The time that the runs of `shard` still take on `adapter`: measured steps, corrected by how long finished runs took; judgements by
    /// their number of passes through the network, corrected likewise.
    ///
    /// # Errors
    /// For settings that do not go together.
    pub fn new(
        adapter: &str,
        root: &Path,
        plan: &Plan,
        shard: Shard,
        datasets: &[Dataset],
        calibration: &Calibration,
    ) -> Result<Estimate> {
        let measured = calibration.0.get(adapter);
        let mine: Vec<usize> = (0..plan.runs.len()).filter(|&index| shard.has(plan.runs[index].chain)).collect();
        let works = mine.iter().map(|&index| Work::new(plan, index, datasets)).collect::<Result<Vec<Work>>>()?;
        let finished: Vec<bool> = mine.iter().map(|&index| is_finished(plan, root, index)).collect();
        let timing = |(&index, &finished): (&usize, &bool)| Timing::read(&plan.folder(root, index), adapter).filter(|_| finished);
        let timings: Vec<Option<Timing>> = mine.iter().zip(&finished).map(timing).collect();
        let mut by_kind: BTreeMap<&str, Ratio> = BTreeMap::new();
        for (work, timing) in works.iter().zip(&timings) {
            if let Some(timing) = timing.as_ref().filter(|timing| timing.steps > 0) {
                by_kind.entry(&work.kind).or_default().add(timing.training_seconds, timing.steps as f64);
            }
        }
        let finished_rate = |kind: &str| by_kind.get(kind).and_then(|ratio| ratio.value());
        let first_rate = |work: &Work| measured.and_then(|kinds| kinds.get(&work.kind)).copied();
        // A pass of one image, from everything that is known about steps.
        let mut pass = Ratio::default();
        let mut drift = Ratio::default();
        for work in works.iter().filter(|work| work.steps > 0) {
            if let Some(rate) = finished_rate(&work.kind).or(first_rate(work)) {
                pass.add(rate, work.step_passes);
            }
            if let (Some(rate), Some(first)) = (finished_rate(&work.kind), first_rate(work)) {
                drift.add(rate, first);
            }
        }
        let pass = pass.value().unwrap_or(0.0);
        let mut judging = Ratio::default();
        for (work, timing) in works.iter().zip(&timings) {
            if let Some(timing) = timing {
                judging.add(timing.judging_seconds, pass * work.judging_passes);
            }
        }
        let runs: Vec<EstimatedRun> = mine
            .iter()
            .zip(finished)
            .zip(works.iter().zip(&timings))
            .map(|((&index, finished), (work, timing))| {
                let run = &plan.runs[index];
                let first = first_rate(work).map(|rate| rate * drift.value().unwrap_or(1.0));
                let per_step = finished_rate(&work.kind).or(first).unwrap_or(pass * work.step_passes);
                let left = work.steps as f64 * per_step + pass * work.judging_passes * judging.value().unwrap_or(1.0);
                EstimatedRun {
                    folder: run.folder.clone(),
                    model: run.variant.full_label(),
                    dataset: run.variant.dataset.clone(),
                    seed: run.seed,
                    steps: work.steps,
                    finished,
                    seconds: if finished { 0.0 } else { left },
                    taken_seconds: timing.as_ref().map(|timing| timing.training_seconds + timing.judging_seconds),
                }
            })
            .collect();
        Ok(Estimate { seconds: runs.iter().map(|run| run.seconds).sum(), runs })
    }

    /// Models that are not finished.
    pub fn left(&self) -> usize {
        self.runs.iter().filter(|run| !run.finished).count()
    }
}
