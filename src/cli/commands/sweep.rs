//! `saliq sweep`.

use std::path::Path;

use serde::Serialize;

use super::{
    parts::{note_executed, part},
    sbatch::sbatch,
    train::TrainingWatcher,
};
use crate::{
    Error, Result,
    cli::{
        args::{GlobalArgs, SweepArgs},
        output::Output,
        progress::duration,
        signals, tuning,
        words::worded,
    },
    config::{PartialRunConfig, RunConfig},
    data::Dataset,
    gpu::Gpu,
    model::ModelFile,
    report::Table,
    study::shard::Shard,
    sweep::{
        PlannedRun, RunResult, RunState, SweepFile, SweepPlan, SweepSummary, Watcher, execute,
        expected_seconds, summary_table, write_figures, write_tables,
    },
    train::{Observer, Outcome, Start},
};

/// Makes a sweep, or a part of it.
///
/// # Errors
/// [`Error`] of the library functions that it calls; a failed run ends the command with an error,
/// but only after all others.
pub fn run(args: &SweepArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    super::refuse_file(&args.out)?;
    let mut file = SweepFile::read(&args.file)?;
    file.fixed.color = global.image_color().or(file.fixed.color);
    let plan = SweepPlan::new(&file, &mut |settings| {
        super::data::load(
            settings.dataset_name(),
            settings.data_dir.as_deref(),
            &settings.reading(),
            &output,
        )
    })?;
    if let Some(tasks) = args.sbatch {
        return output.raw(script(args, tasks.min(plan.runs.len() as u32)).trim_end());
    }
    let shard = part(args.shard, ["sweep", "it all"], &output);
    let mine = plan.part(shard);
    let is_open = |index: &usize| plan.result(&args.out, *index).is_none();
    let open: Vec<usize> = mine.iter().copied().filter(is_open).collect();
    if args.plan {
        return show(args, global, &plan, (&mine, &open, shard));
    }
    super::prepare_folder(&args.out)?;
    output.note(&format!(
        "{} of {} in this part ({shard}), {} to do",
        mine.len(),
        crate::report::counted(plan.runs.len(), "run"),
        open.len()
    ));
    let mut failed = 0;
    if !open.is_empty() {
        let gpu = super::open_gpu(global)?;
        signals::install();
        let mut watcher = Progressing {
            output: &output,
            gpu: &gpu,
            training: None,
            after: &|| update(args, &plan).map(|_| ()),
        };
        let executed = pollster::block_on(execute(&gpu, &args.out, &plan, &mine, &mut watcher));
        // What is done counts, also after an interrupt.
        let executed = executed.inspect_err(|_| drop(update(args, &plan)))?;
        failed = executed.failed;
        note_executed(executed, &output);
    }
    let summary = update(args, &plan)?;
    let written = output.result(&summary, || text(&summary, args));
    if failed > 0 {
        return Err(Error::Model(format!(
            "{} could not be made; the reasons are in {}/*/failure.txt",
            crate::report::counted(failed, "run"),
            args.out.display()
        )));
    }
    written
}

/// Writes tables and figures of what is done.
fn update(args: &SweepArgs, plan: &SweepPlan) -> Result<SweepSummary> {
    let summary = SweepSummary::new(plan, &args.out);
    write_tables(&summary, &args.out)?;
    let points = summary.points();
    let has = points.iter().any(|point| point.metrics.contains_key(&args.metric));
    if !points.is_empty() && !has {
        let names: Vec<&str> = points[0].metrics.keys().map(String::as_str).collect();
        return Err(Error::Usage(format!(
            "--metric {}: no run has this figure; they have {}",
            args.metric,
            names.join(", ")
        )));
    }
    write_figures(&points, &args.metric, &plan.keys, &args.out)?;
    Ok(summary)
}

fn text(summary: &SweepSummary, args: &SweepArgs) -> String {
    let table = summary_table(&summary.keys, &summary.runs).to_text(None);
    let mut lines = vec![table];
    for run in &summary.runs {
        if let Some(failure) = &run.failure {
            lines.push(format!("failed: {}: {failure}", run.folder));
        }
    }
    let (done, all) = (summary.count(RunState::Done), summary.runs.len());
    let out = args.out.display();
    lines.push(format!("{done} of {all} runs done; {out}/sweep.csv, {out}/sweep.json"));
    lines.join("\n")
}

fn script(args: &SweepArgs, tasks: u32) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let [file, out] = [&args.file, &args.out].map(|path| absolute(path).display().to_string());
    let name = args.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let command = format!("saliq sweep {} --out {}", super::quoted(&file), super::quoted(&out));
    sbatch(&name, &command, tasks as usize)
}

/// The JSON of `saliq sweep --plan --json`.
#[derive(Serialize)]
struct PlanResult {
    shard: String,
    runs: Vec<PlanRow>,
    /// Remaining time in seconds.
    seconds: f64,
}

#[derive(Serialize)]
struct PlanRow {
    folder: String,
    settings: std::collections::BTreeMap<String, String>,
    steps: u64,
    finished: bool,
    /// Remaining time in seconds.
    seconds: f64,
}

fn show(
    args: &SweepArgs,
    global: &GlobalArgs,
    plan: &SweepPlan,
    (mine, open, shard): (&[usize], &[usize], Shard),
) -> Result<()> {
    let seconds = match open.is_empty() {
        true => Vec::new(),
        false => {
            let gpu = super::open_gpu(global)?;
            expected_seconds(&gpu, plan, open)?
        }
    };
    let rows = mine.iter().map(|&index| {
        let run = &plan.runs[index];
        let place = open.iter().position(|own| *own == index);
        PlanRow {
            folder: run.folder.clone(),
            settings: run.settings_as_text(),
            steps: run.steps,
            finished: place.is_none(),
            seconds: place.map_or(0.0, |place| seconds[place]),
        }
    });
    let result = PlanResult {
        shard: shard.to_string(),
        runs: rows.collect(),
        seconds: seconds.iter().sum(),
    };
    global.output().result(&result, || {
        let headers = plan.keys.iter().cloned().chain(["steps", "time"].map(String::from));
        let rows = result.runs.iter().map(|row| {
            let own = |key: &String| row.settings.get(key).cloned().unwrap_or_else(|| "–".into());
            let time = match row.finished {
                true => "done".into(),
                false => format!("about {}", duration(row.seconds)),
            };
            let cells = plan.keys.iter().map(own).collect::<Vec<_>>();
            [cells, vec![row.steps.to_string(), time]].concat()
        });
        format!(
            "{}\npart {shard}: {}, {} to do; about {} on this adapter, without tests; {}",
            Table::new(headers, rows).to_text(None),
            crate::report::counted(mine.len(), "run"),
            open.len(),
            duration(result.seconds),
            args.out.display()
        )
    })
}

/// Progress of a sweep on a terminal.
struct Progressing<'a> {
    output: &'a Output,
    gpu: &'a Gpu,
    training: Option<TrainingWatcher>,
    /// Called after every run.
    after: &'a dyn Fn() -> Result<()>,
}

impl Watcher for Progressing<'_> {
    fn begin(&mut self, run: &PlannedRun, position: usize, count: usize) {
        self.output.note(&format!("[{position}/{count}] {}", run.folder));
    }

    fn prepare(
        &mut self,
        settings: PartialRunConfig,
        dataset: &Dataset,
    ) -> Result<(RunConfig, Option<ModelFile>)> {
        super::train::resolve_on(settings, dataset, self.output)
    }

    fn training(&mut self, config: &RunConfig, steps: u64) -> &mut dyn Observer {
        // Lines of steps would not say which run they are of.
        let output = self.output.in_lines(false);
        self.training.insert(TrainingWatcher::new(&output, config, steps))
    }

    fn trained(
        &mut self,
        config: &RunConfig,
        dataset: &Dataset,
        outcome: &Outcome,
        start: Start,
    ) -> Result<()> {
        self.training = None;
        tuning::record(&config.out, self.gpu)?;
        super::snapshots::write(&config.out, dataset, outcome, start).map(|_| ())
    }

    fn end(&mut self, run: &PlannedRun, outcome: Result<&RunResult, &Error>) {
        self.training = None;
        match outcome {
            Ok(result) => {
                let accuracy = result.metrics.get("test_accuracy").copied().unwrap_or(f64::NAN);
                self.output.note(&format!("{}: {:.2} %", run.folder, 100.0 * accuracy));
            }
            Err(error) => self.output.note(&format!("{}: failed: {}", run.folder, worded(error))),
        }
        if let Err(error) = (self.after)() {
            self.output.warn(&worded(&error));
        }
    }

    fn interrupted(&self) -> Option<i32> {
        signals::interrupted()
    }
}
