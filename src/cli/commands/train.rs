//! `saliq train`.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{
    Phrase, Result,
    cli::{
        args::{GlobalArgs, TrainArgs},
        output::Output,
        progress::{Progress, StepStatus},
        signals, tuning,
        words::phrased,
    },
    config::{Normalize, PartialRunConfig, RunConfig},
    data::Dataset,
    gpu::Gpu,
    graph::ParameterLayout,
    logs::RunLogs,
    model::{Images, ModelFile},
    train::{
        DataLocation, EpochLine, Observer, Outcome, RunFolder, Snapshot, Start, StepLine, Trainer,
    },
};

/// Trains a network.
///
/// # Errors
/// [`crate::Error`] of the library functions that it calls.
pub fn run(args: &TrainArgs, global: &GlobalArgs) -> Result<()> {
    let mut settings = args.settings()?;
    if args.resume && args.config.is_none() {
        settings = resumed_settings(args, settings)?;
    }
    settings.color = global.image_color().or(settings.color);
    let (config, dataset, init) = resolve(settings, &global.output())?;
    let start = match (args.resume, args.force) {
        (true, _) => Start::Resume,
        (false, true) => Start::Replace,
        (false, false) => Start::New,
    };
    let gpu = super::open_gpu(global)?;
    let outcome = train(&gpu, &config, &dataset, init, start, &global.output())?;
    tuning::record(&config.out, &gpu)?;
    let snapshots = super::snapshots::write(&config.out, &dataset, &outcome, start)?;
    report(&config, &outcome, snapshots.as_deref(), &gpu, &global.output())
}

/// The flags over the configuration in the run folder.
fn resumed_settings(args: &TrainArgs, settings: PartialRunConfig) -> Result<PartialRunConfig> {
    let info = crate::config::DatasetInfo {
        name: settings.dataset_name().into(),
        shape: crate::config::Shape::new(1, 28, 28),
        classes: 10,
    };
    let folder = match &settings.out {
        Some(out) => out.clone(),
        None => crate::config::resolve(settings.clone(), &info)?.out,
    };
    let file = RunFolder::config_of(&folder);
    if !file.exists() {
        return Ok(settings);
    }
    let mut merged = args.over(PartialRunConfig::from_file(&file)?)?;
    merged.out = Some(folder);
    merged.check_merged()?;
    Ok(merged)
}

/// The complete configuration, its data set, and the model to start from, which has its own
/// normalisation.
fn resolve(
    settings: PartialRunConfig,
    output: &Output,
) -> Result<(RunConfig, Dataset, Option<ModelFile>)> {
    let dataset = super::data::load(
        settings.dataset_name(),
        settings.data_dir.as_deref(),
        &settings.reading(),
        output,
    )?;
    let (config, init) = resolve_on(settings, &dataset, output)?;
    Ok((config, dataset, init))
}

/// As [`resolve`], for a data set that is read already.
pub(super) fn resolve_on(
    settings: PartialRunConfig,
    dataset: &Dataset,
    output: &Output,
) -> Result<(RunConfig, Option<ModelFile>)> {
    let (mut config, init) = resolve_for(settings, dataset, output)?;
    note_validation(&config, dataset, output);
    note_order_of_classes(&config, dataset, output);
    // config.toml must repeat the run from any working directory; the model's metadata has only the
    // name.
    if let Some(folder) = DataLocation::of(dataset).dataset.filter(|_| !dataset.is_named()) {
        config.dataset = folder;
    }
    config.data_dir = config.data_dir.map(|folder| std::path::absolute(&folder).unwrap_or(folder));
    Ok((config, init))
}

/// Says what becomes of images that the files set apart for validation.
fn note_validation(config: &RunConfig, dataset: &Dataset, output: &Output) {
    let Some(own) = &dataset.details.validation else { return };
    let becomes = if config.validation_share > 0.0 {
        "validate; --validation-share holds out no training images"
    } else {
        "are not used without --validation-share"
    };
    output.note(&format!("{}: its {} validation images {becomes}", dataset.name, own.len()));
}

/// Says how limits choose among images that are in the order of their classes, as in folders of
/// pictures, and warns of one that leaves no image of some class.
fn note_order_of_classes(config: &RunConfig, dataset: &Dataset, output: &Output) {
    let flags = [
        ("--train-limit", config.train_limit.is_some_and(|own| dataset.train.len() > own as usize)),
        (
            "--validation-share",
            config.validation_share > 0.0 && dataset.details.validation.is_none(),
        ),
    ];
    let flags: Vec<_> = flags.iter().filter(|(_, given)| *given).map(|(flag, _)| *flag).collect();
    if dataset.is_in_order_of_classes() && !flags.is_empty() {
        output.note(&format!(
            "{}: images are in the order of classes; {} {} every class alike, chosen by --seed",
            dataset.name,
            flags.join(" and "),
            if flags.len() == 1 { "takes" } else { "take" }
        ));
    }
    let Some(limit) = config.test_limit.filter(|_| !dataset.details.test_files.is_empty()) else {
        return;
    };
    let has = |labels: &[u32]| labels.iter().collect::<BTreeSet<_>>().len();
    let labels = &dataset.test.labels;
    let (all, left) = (has(labels), has(&labels[..labels.len().min(limit as usize)]));
    if left < all {
        output.warn(&format!(
            "--test-limit: of the {all} classes of {}, {left} are left in the test images, which \
             are in file order",
            dataset.name
        ));
    }
}

/// As [`resolve`], for a data set in memory. A start model that does not say how its pixels are
/// normalised follows the general rule.
pub(super) fn resolve_for(
    settings: PartialRunConfig,
    dataset: &Dataset,
    output: &Output,
) -> Result<(RunConfig, Option<ModelFile>)> {
    let given = [settings.normalize.is_some(), settings.bits.is_some(), settings.dataset.is_some()];
    let (settings, foreign) = with_own_network(settings, output)?;
    let mut config = crate::config::resolve(settings, &dataset.info())?;
    let Some(init) = &config.init else { return Ok((config, None)) };
    let mut file = foreign.map_or_else(|| ModelFile::open(init), Ok)?;
    let [asked, bits_given, dataset_given] = given;
    if !bits_given {
        file.require_bits()?;
        let own = file.quantization().label();
        if own != "32" {
            let (own, path) = (own.replace('-', ","), file.path().display());
            output.note(&format!(
                "--init {path}: is quantized to {own} bits; without --bits the run trains in \
                 float; --bits {own} keeps them"
            ));
        }
    }
    if let Some(own) = file.dataset().filter(|own| !dataset_given && *own != dataset.name) {
        let (own, path) = (crate::plain(own), file.path().display());
        output.note(&format!(
            "--init {path}: was trained on {own}; without --dataset this run takes {}",
            dataset.name
        ));
    }
    if !asked {
        let mut model = file.as_start(&config.network)?;
        let says = model.config.normalize.is_some();
        if let Some(assumed) = model.settle_normalization(None, Images::Loaded(dataset))? {
            output.note(&phrased(&assumed));
        }
        if says {
            config.normalize = Normalize::Fixed(model.normalization()?);
        }
    }
    Ok((config, Some(file)))
}

/// `settings` with the network of the file to start from, if another program wrote it and they name
/// none, and that file.
fn with_own_network(
    mut settings: PartialRunConfig,
    output: &Output,
) -> Result<(PartialRunConfig, Option<ModelFile>)> {
    let Some(init) = settings.init.as_deref().filter(|_| settings.network.is_none()) else {
        return Ok((settings, None));
    };
    let file = ModelFile::open(init)?;
    let Some(network) = file.foreign_network() else { return Ok((settings, Some(file))) };
    output.note(&format!("--init {}: its own network is trained", init.display()));
    if let Some(remark) = file.remark() {
        output.note(&phrased(&remark));
    }
    settings.network = Some(network.clone().into());
    Ok((settings, Some(file)))
}

/// Runs the training with a progress bar.
pub(super) fn train(
    gpu: &Gpu,
    config: &RunConfig,
    dataset: &Dataset,
    init: Option<ModelFile>,
    start: Start,
    output: &Output,
) -> Result<Outcome> {
    signals::install();
    let spinner = Progress::spinner(output, "compiling kernels");
    let mut trainer = Trainer::new(gpu, config, dataset)?;
    spinner.finish();
    if let Some(init) = init {
        trainer.start_from(init);
    }
    let mut watcher = TrainingWatcher::new(output, config, trainer.total_steps());
    let outcome = pollster::block_on(trainer.run(start, &mut watcher));
    watcher.bar.finish();
    outcome
}

/// Progress of a training run on a terminal.
pub(super) struct TrainingWatcher {
    bar: Progress,
    output: Output,
    /// None of a part of another command, whose lines are not printed either.
    logs: Option<RunLogs>,
    log_every: u64,
    /// Whether the reader of standard output is gone.
    is_unread: bool,
    sgt: bool,
    quiet: bool,
    name: String,
}

impl TrainingWatcher {
    pub(super) fn new(output: &Output, config: &RunConfig, steps: u64) -> TrainingWatcher {
        TrainingWatcher {
            bar: Progress::training(output, steps, 0),
            output: *output,
            logs: Some(RunLogs::new(config)),
            log_every: config.log_every.into(),
            is_unread: false,
            sgt: config.sgt.enabled,
            quiet: output.quiet || output.json,
            name: config.quantization_label(),
        }
    }

    /// Of a run without saliency guidance, by `name`.
    pub(super) fn named(output: &Output, name: &str, steps: u64) -> TrainingWatcher {
        TrainingWatcher {
            bar: Progress::training(output, steps, 0),
            output: *output,
            logs: None,
            log_every: 0,
            is_unread: false,
            sgt: false,
            quiet: output.quiet || output.json,
            name: name.into(),
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish();
    }

    /// Prints a line with `--json=lines`.
    fn line(&mut self, line: &TrainLine<'_>) {
        if self.logs.is_some() {
            self.is_unread |= self.output.line(line).is_err();
        }
    }

    fn say_failure(&mut self) {
        if let Some(said) = self.logs.as_mut().and_then(RunLogs::failure) {
            self.bar.note(&said);
        }
    }
}

/// A line of `saliq train --json=lines`, as of metrics.jsonl.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum TrainLine<'a> {
    /// Later lines are of later steps than this; what was said of them before does not count.
    Begin {
        step: u64,
    },
    Step(&'a StepLine),
    Epoch(&'a EpochLine),
    Result(&'a TrainResult<'a>),
}

/// What a process gets that writes to a pipe without a reader.
const SIGPIPE: i32 = 13;

impl Observer for TrainingWatcher {
    fn begin(&mut self, steps: u64) {
        if let Some(logs) = &mut self.logs {
            logs.begin(steps);
        }
        self.line(&TrainLine::Begin { step: steps });
        self.say_failure();
    }

    fn wants_details(&self) -> bool {
        self.logs.as_ref().is_some_and(RunLogs::has_events)
    }

    fn parameters(&mut self, step: u64, layout: &ParameterLayout, values: &[f32]) {
        if let Some(logs) = &mut self.logs {
            logs.parameters(step, layout, values);
        }
        self.say_failure();
    }

    fn snapshot(&mut self, snapshot: &Snapshot, images: &[usize]) {
        if let Some(logs) = &mut self.logs {
            logs.snapshot(snapshot, images);
        }
        self.say_failure();
    }

    fn step(&mut self, line: &StepLine, images_per_second: f64) {
        if let Some(logs) = &mut self.logs {
            logs.step(line);
        }
        if self.output.lines && self.log_every > 0 && line.step.is_multiple_of(self.log_every) {
            self.line(&TrainLine::Step(line));
        }
        let status = StepStatus {
            loss: line.loss as f32,
            kl: self.sgt.then_some(line.kl as f32),
            accuracy: line.accuracy as f32,
            images_per_second: images_per_second as f32,
        };
        self.bar.step(line.step, &status);
    }

    fn epoch(&mut self, line: &EpochLine) {
        if let Some(logs) = &mut self.logs {
            logs.epoch(line);
        }
        self.say_failure();
        self.line(&TrainLine::Epoch(line));
        if self.quiet {
            return;
        }
        let kl = if self.sgt {
            format!(" (ce {:.4}, kl {:.4})", line.train_ce, line.train_kl)
        } else {
            String::new()
        };
        let alphas: String =
            line.alpha.iter().map(|(name, alpha)| format!(", {name}.alpha {alpha:.3}")).collect();
        self.bar.note(&format!(
            "{} epoch {:>2}: loss {:.4}{kl}, test accuracy {:.2} %, test loss {:.4}{alphas}, {:.0} \
             images/s",
            self.name,
            line.epoch,
            line.train_loss,
            100.0 * line.test_accuracy,
            line.test_loss,
            line.images_per_second
        ));
    }

    // Printed to standard error, also with --json, because the user must learn that a run starts
    // over.
    fn note(&mut self, text: &str) {
        self.bar.note(text);
    }

    fn advise(&mut self, said: &Phrase) {
        self.bar.note(&phrased(said));
    }

    fn interrupted(&self) -> Option<i32> {
        signals::interrupted().or(self.is_unread.then_some(SIGPIPE))
    }
}

/// The JSON of `saliq train --json`.
#[derive(Serialize)]
struct TrainResult<'a> {
    out: &'a std::path::Path,
    accuracy: f64,
    loss: f64,
    images: u64,
    alpha: &'a std::collections::BTreeMap<String, f32>,
    seconds: f64,
    adapter: String,
    already_finished: bool,
    /// The figure of `--snapshot-every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<&'a std::path::Path>,
}

fn report(
    config: &RunConfig,
    outcome: &Outcome,
    snapshots: Option<&std::path::Path>,
    gpu: &Gpu,
    output: &Output,
) -> Result<()> {
    let result = TrainResult {
        out: &config.out,
        accuracy: outcome.evaluation.accuracy,
        loss: outcome.evaluation.loss,
        images: outcome.evaluation.images,
        alpha: &outcome.alphas,
        seconds: outcome.seconds,
        adapter: gpu.adapter_description(),
        already_finished: outcome.already_finished,
        snapshots,
    };
    if output.lines {
        return output.line(&TrainLine::Result(&result));
    }
    output.result(&result, || {
        let state =
            if outcome.already_finished { "the run was finished already" } else { "trained" };
        let maps = snapshots
            .map(|picture| format!("\nsaliency while it trained: {}", picture.display()))
            .unwrap_or_default();
        format!(
            "{state}: test accuracy {:.2} % on {} images, loss {:.4}; {}{maps}",
            100.0 * outcome.evaluation.accuracy,
            outcome.evaluation.images,
            outcome.evaluation.loss,
            config.out.display()
        )
    })
}
