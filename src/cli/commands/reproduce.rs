//! `saliq reproduce` and `saliq report`.

use std::{path::Path, time::Instant};

use serde::Serialize;

use super::train::TrainingWatcher;
use crate::{
    Error, Result,
    cli::{
        args::{GlobalArgs, ReportArgs, ReproduceArgs},
        output::Output,
        signals,
    },
    config::{PartialRunConfig, RunConfig},
    data::{self, Dataset},
    gpu::Gpu,
    report::Table,
    saliency::{Method, MethodOptions},
    study::{
        execute::{Watcher, execute},
        judge::method_names,
        plan::{Plan, PlanOptions, PlannedRun, Stage},
        report,
        result::ModelResult,
        shard::Shard,
        summary::Summary,
    },
    train::{Observer, Trainer},
};

/// Steps that are timed for the estimate.
const TIMED_STEPS: u32 = 2;

/// Makes a study, or what is missing of it, and its report.
///
/// # Errors
/// [`Error`] of the work behind it; a run that fails ends the command with an error, but after all others.
pub fn run(args: &ReproduceArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let settings = args.overrides()?;
    let root = args.folder(&settings);
    let names: Vec<String> = match &settings.dataset {
        Some(name) => vec![name.clone()],
        None => args.preset.datasets().iter().map(|name| (*name).to_string()).collect(),
    };
    let loaded: Result<Vec<Dataset>> = names.iter().map(|name| data::load(name, settings.data_dir.as_deref())).collect();
    let datasets = loaded?;
    let options = PlanOptions { seeds: args.seeds, overrides: settings };
    let plan = Plan::new(args.preset, &options, &method_names(), &datasets)?;
    let shard = args.part();
    let gpu = super::open_gpu(global)?;
    let estimate = Estimate::new(&gpu, &root, &plan, shard, &datasets)?;
    if args.plan {
        return output.result(&estimate, || estimate.to_text());
    }
    output.note(&estimate.to_text());
    plan.write(&root)?;
    signals::install();
    let mut watcher = Progressing { output: &output, training: None, position: String::new() };
    let executed = pollster::block_on(execute(&gpu, &root, &plan, shard, &datasets, &mut watcher))?;
    output.note(&format!("{} made, {} there already, {} failed", executed.made, executed.skipped, executed.failed));
    let written = report::write(&root).and_then(|summary| finish(&summary, &root, &output));
    if executed.failed > 0 {
        let place = root.join("runs").display().to_string();
        return Err(Error::Model(format!("{} models could not be made; why stands in {place}/*/failure.txt", executed.failed)));
    }
    written
}

/// Writes the report on a study's results.
///
/// # Errors
/// [`Error::Usage`] where there is no study; of the files.
pub fn report(args: &ReportArgs, global: &GlobalArgs) -> Result<()> {
    let summary = report::write(&args.folder)?;
    finish(&summary, &args.folder, &global.output())
}

fn finish(summary: &Summary, root: &Path, output: &Output) -> Result<()> {
    output.result(summary, || {
        let mut text = String::new();
        for dataset in summary.datasets() {
            for sgt in [true, false] {
                if summary.of(dataset, sgt).next().is_some() {
                    let training = if sgt { "Saliency Guided Training" } else { "plain training" };
                    text += &format!("{dataset}, {training}\n{}\n", report::accuracy_table(summary, dataset, sgt).to_text(None));
                }
            }
        }
        for finding in &summary.findings {
            text += &format!("{finding}\n");
        }
        for (folder, reason) in &summary.missing {
            text += &format!("without a result: {folder} ({reason})\n");
        }
        text + &root.join(report::HTML_FILE).display().to_string()
    })
}

/// Progress of a study on a terminal.
struct Progressing<'a> {
    output: &'a Output,
    training: Option<TrainingWatcher>,
    position: String,
}

impl Watcher for Progressing<'_> {
    fn begin(&mut self, run: &PlannedRun, position: usize, count: usize) {
        self.position = format!("[{position}/{count}] {} {}, seed {}", run.variant.dataset, run.variant.full_label(), run.seed);
        self.output.note(&self.position);
    }

    fn training(&mut self, config: &RunConfig, steps: u64) -> &mut dyn Observer {
        self.training.insert(TrainingWatcher::new(self.output, config, steps))
    }

    fn judging(&mut self, what: &str) {
        self.training = None;
        log::info!("{}: {what}", self.position);
    }

    fn end(&mut self, run: &PlannedRun, outcome: Result<&ModelResult, &Error>) {
        self.training = None;
        match outcome {
            Ok(result) => self.output.note(&format!("{}: {:.2} %", run.folder, 100.0 * result.accuracy)),
            Err(error) => self.output.note(&format!("{}: failed: {error}", run.folder)),
        }
    }

    fn interrupted(&self) -> Option<i32> {
        signals::interrupted()
    }
}

/// What a study will take.
#[derive(Serialize)]
struct Estimate {
    runs: Vec<EstimatedRun>,
    seconds: f64,
}

#[derive(Serialize)]
struct EstimatedRun {
    folder: String,
    model: String,
    dataset: String,
    seed: u64,
    steps: u64,
    finished: bool,
    seconds: f64,
}

impl Estimate {
    /// Times a few steps of each kind of training that is still to be done.
    fn new(gpu: &Gpu, root: &Path, plan: &Plan, shard: Shard, datasets: &[Dataset]) -> Result<Estimate> {
        let mut rates: Vec<((String, bool), f64)> = Vec::new();
        let mut runs = Vec::new();
        for (index, run) in plan.runs.iter().enumerate().filter(|(_, run)| shard.has(run.chain)) {
            let finished = matches!(ModelResult::read(&plan.folder(root, index), run), Ok(Some(_)));
            let dataset = datasets.iter().find(|dataset| dataset.name == run.variant.dataset);
            let Some(dataset) = dataset else { continue };
            let config = PartialRunConfig::parse(&run.settings, &run.folder)?.resolve(&dataset.info())?;
            let training = run.variant.stage != Stage::PostTraining;
            let batch_size = config.batch_size.min(dataset.train.len() as u32).max(1);
            let per_epoch = (dataset.train.len() as u64).div_ceil(u64::from(batch_size));
            let steps = if training { config.steps.unwrap_or(u64::from(config.epochs) * per_epoch) } else { 0 };
            let mut seconds = 0.0;
            if !finished {
                let key = (run.variant.dataset.clone(), run.variant.sgt);
                let known = rates.iter().find(|(known, _)| *known == key).map(|(_, rate)| *rate);
                let per_step = match known {
                    Some(rate) => rate,
                    None => {
                        rates.push((key, seconds_of_step(gpu, &config, dataset)?));
                        rates[rates.len() - 1].1
                    }
                };
                // 7 forward-equivalents a step with saliency guidance, 3 without (architecture: the SGT step).
                let forward = per_step / f64::from(batch_size) / if run.variant.sgt { 7.0 } else { 3.0 };
                seconds = steps as f64 * per_step + forward * judging_passes(plan, &config, dataset);
            }
            runs.push(EstimatedRun {
                folder: run.folder.clone(),
                model: run.variant.full_label(),
                dataset: run.variant.dataset.clone(),
                seed: run.seed,
                steps,
                finished,
                seconds,
            });
        }
        let seconds = runs.iter().map(|run| run.seconds).sum();
        Ok(Estimate { runs, seconds })
    }

    fn to_text(&self) -> String {
        let rows = self.runs.iter().map(|run| {
            let time = if run.finished { "there already".into() } else { duration(run.seconds) };
            [run.dataset.clone(), run.model.clone(), run.seed.to_string(), run.steps.to_string(), time]
        });
        let table = Table::new(["data set", "model", "seed", "steps", "about"], rows);
        format!("{}\n{} models, about {} on this adapter", table.to_text(None), self.runs.len(), duration(self.seconds))
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

fn seconds_of_step(gpu: &Gpu, config: &RunConfig, dataset: &Dataset) -> Result<f64> {
    let trainer = Trainer::new(gpu, config, dataset)?;
    trainer.begin_benchmark();
    trainer.submit_step()?;
    gpu.wait()?;
    let mut seconds = 0.0;
    for _ in 0..TIMED_STEPS {
        trainer.rewind();
        let start = Instant::now();
        trainer.submit_step()?;
        gpu.wait()?;
        seconds += start.elapsed().as_secs_f64();
    }
    Ok(seconds / f64::from(TIMED_STEPS))
}

/// Forward passes of single images that judging a model takes, a backward pass counted as one.
fn judging_passes(plan: &Plan, config: &RunConfig, dataset: &Dataset) -> f64 {
    let wanted = &plan.judgement;
    let test = (dataset.test.len() as u32).min(config.test_limit.unwrap_or(u32::MAX));
    let dropped = f64::from(wanted.drop_images.min(test));
    let judged = f64::from(wanted.images.min(test));
    let settings = MethodOptions::default();
    let mut passes = f64::from(test) + 10.0 * dropped + 8.0 * judged;
    for method in Method::ALL.iter().filter(|method| wanted.methods.iter().any(|name| name == method.name())) {
        let map = 2.0 * f64::from(settings.samples_of(*method, dataset.shape));
        let noisy = if method.takes_samples() { 0.0 } else { f64::from(wanted.sensitivity_samples + 1) };
        passes += dropped * (map + 10.0) + judged * noisy * map;
    }
    passes
}
