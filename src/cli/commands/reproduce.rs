//! `saliq reproduce` and `saliq report`.

use std::path::Path;

use super::{
    parts::{note_executed, part},
    train::TrainingWatcher,
};
use crate::{
    Error, Result,
    cli::{
        args::{GlobalArgs, ReportArgs, ReproduceArgs},
        output::Output,
        progress::duration,
        signals,
        words::{phrased, worded},
    },
    config::RunConfig,
    data::{self, Dataset},
    report::Table,
    study::{
        estimate::{Calibration, Estimate},
        execute::execute,
        plan::{Plan, PlanOptions, PlannedRun},
        preset::method_names,
        report,
        result::ModelResult,
        shard::Shard,
        summary::Summary,
        tables,
        watcher::Watcher,
    },
    train::Observer,
};

/// Makes a study, or its missing part, and its report.
///
/// # Errors
/// [`Error`] of the library functions that it calls; a failed run ends the command with an error,
/// but only after all others.
pub fn run(args: &ReproduceArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let mut settings = args.overrides()?;
    settings.color = global.image_color().or(settings.color);
    let root = args.folder(&settings);
    let names: Vec<String> = match &settings.dataset {
        Some(name) => vec![name.clone()],
        None => args.preset.datasets().iter().map(|name| (*name).to_string()).collect(),
    };
    let read = |name: &String| {
        super::data::load(name, settings.data_dir.as_deref(), &settings.reading(), &output)
    };
    let load = |name: &String| match (read(name), args.plan) {
        // A plan needs only the sizes.
        (Err(error @ Error::Data(_)), true) => data::blank(name)
            .inspect(|_| {
                output.note(&format!(
                    "planned with the published sizes of {name}, which was not found"
                ))
            })
            .ok_or(error),
        (loaded, _) => loaded,
    };
    let datasets = names.iter().map(load).collect::<Result<Vec<Dataset>>>()?;
    let options = PlanOptions { seeds: args.seeds, overrides: settings };
    let plan = Plan::new(args.preset, &options, &method_names(), &datasets)?;
    plan.scale_warning(&datasets).iter().for_each(|said| output.warn(&phrased(said)));
    let shard = part(args.shard, ["study", "all of it"], &output);
    if shard.runs(&plan).is_empty() {
        let groups = plan.chains().len();
        let empty = Estimate { shard: shard.to_string(), ..Estimate::default() };
        let groups = if groups == 1 { "1 group".into() } else { format!("{groups} groups") };
        let says = format!(
            "part {shard} has no models: the study has {groups} of models that depend on each \
             other, and all are in earlier parts; --shard none makes all of it"
        );
        // The JSON output has no room for it.
        if output.json {
            output.note(&says);
        }
        return output.result(&empty, || says);
    }
    let gpu = super::open_gpu(global)?;
    if !args.plan {
        plan.write(&root)?;
    }
    // An estimate that is not shown is not computed.
    let calibration = match output.quiet && !args.plan {
        true => Calibration::default(),
        false => Calibration::new(&gpu, &root, &plan, shard, &datasets)?,
    };
    let adapter = gpu.adapter_description();
    let estimate = || Estimate::new(&adapter, &root, &plan, shard, &datasets, &calibration);
    let first = estimate()?;
    if args.plan {
        return output.result(&first, || describe(&first));
    }
    output.note(&describe(&first));
    signals::install();
    let mut watcher = Progressing {
        output: &output,
        training: None,
        position: String::new(),
        estimate: &estimate,
    };
    let executed = pollster::block_on(execute(&gpu, &root, &plan, shard, &datasets, &mut watcher))?;
    note_executed(executed, &output);
    let written = report::write(&root).and_then(|summary| finish(&summary, &root, &output));
    if executed.failed > 0 {
        let place = root.join("runs").display().to_string();
        return Err(Error::Model(format!(
            "{} models could not be made; the reasons are in {place}/*/failure.txt",
            executed.failed
        )));
    }
    written
}

/// Writes the report of a study's results.
///
/// # Errors
/// [`Error::Settings`] if there is no study; errors of the files.
pub fn report(args: &ReportArgs, global: &GlobalArgs) -> Result<()> {
    let summary = report::write(&args.folder)?;
    finish(&summary, &args.folder, &global.output())
}

fn finish(summary: &Summary, root: &Path, output: &Output) -> Result<()> {
    output.result(summary, || {
        // One line per name, sentence or reason, whatever characters the study's files contain.
        let line = |text: &str| format!("{}\n", crate::plain(text));
        let mut text = String::new();
        for dataset in summary.datasets() {
            for sgt in [true, false] {
                if summary.of(dataset, sgt).next().is_some() {
                    let training = if sgt { "Saliency Guided Training" } else { "plain training" };
                    text += &line(&format!("{dataset}, {training}"));
                    text += &format!("{}\n", tables::accuracy(summary, dataset, sgt).to_text(None));
                }
            }
        }
        for sentence in std::iter::once(&summary.scope).chain(&summary.findings) {
            text += &line(sentence);
        }
        for (folder, reason) in &summary.missing {
            text += &line(&format!("without a result: {folder} ({reason})"));
        }
        text + &root.join(report::HTML_FILE).display().to_string()
    })
}

/// Progress of a study on a terminal.
struct Progressing<'a> {
    output: &'a Output,
    training: Option<TrainingWatcher>,
    position: String,
    estimate: &'a dyn Fn() -> Result<Estimate>,
}

impl Watcher for Progressing<'_> {
    fn begin(&mut self, run: &PlannedRun, position: usize, count: usize) {
        self.position = format!(
            "[{position}/{count}] {} {}, seed {}",
            run.variant.dataset,
            run.variant.full_label(),
            run.seed
        );
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
            Ok(result) => {
                let left = (self.estimate)()
                    .map_or(String::new(), |estimate| format!("; {}", remaining(&estimate)));
                self.output.note(&format!(
                    "{}: {:.2} %{left}",
                    run.folder,
                    100.0 * result.accuracy
                ));
            }
            Err(error) => self.output.note(&format!("{}: failed: {}", run.folder, worded(error))),
        }
    }

    fn interrupted(&self) -> Option<i32> {
        signals::interrupted()
    }
}

/// The plan with its estimated times.
fn describe(estimate: &Estimate) -> String {
    let rows = estimate.runs.iter().map(|run| {
        let time = match (run.finished, run.taken_seconds) {
            (true, Some(taken)) => format!("done in {}", duration(taken)),
            (true, None) => "done".into(),
            (false, _) => format!("about {}", duration(run.seconds)),
        };
        [run.dataset.clone(), run.model.clone(), run.seed.to_string(), run.steps.to_string(), time]
    });
    let table = Table::new(["data set", "model", "seed", "steps", "time"], rows);
    format!("{}\n{}", table.to_text(None), remaining(estimate))
}

/// `28 models, 3 of them done; about 9 min left on this adapter`.
fn remaining(estimate: &Estimate) -> String {
    let (all, left) = (estimate.runs.len(), estimate.left());
    let models = if all == 1 { "1 model".to_string() } else { format!("{all} models") };
    let time = if left == 0 {
        "nothing left to do".into()
    } else {
        format!("about {} left on this adapter", duration(estimate.seconds))
    };
    let part = if estimate.shard == Shard::WHOLE.to_string() {
        String::new()
    } else {
        format!("part {}: ", estimate.shard)
    };
    format!("{part}{models}, {} of them done; {time}", all - left)
}
