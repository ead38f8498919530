//! The runs of a sweep with their figures: `sweep.json`, `sweep.csv`, `sweep.md` and a table for
//! people.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use super::{
    groups::{Group, Point, groups},
    plan::SweepPlan,
    result::RunState,
};
use crate::{
    Error, Result,
    files::{read_bounded, write_atomically},
    report::{Table, bytes, fixed},
    study::result::FAILURE_FILE,
    train::RunFolder,
};

/// A run with what is known of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SummaryRun {
    /// Its folder in that of the sweep.
    pub folder: String,
    /// How far it is.
    pub state: RunState,
    /// Its values of the keys that are varied, as text.
    pub settings: BTreeMap<String, String>,
    /// Training steps.
    pub steps: u64,
    /// Number of test images; 0 without a result.
    pub images: u64,
    /// Its figures, if it is done.
    pub metrics: BTreeMap<String, f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// All runs of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepSummary {
    /// The keys that are varied, in order.
    pub keys: Vec<String>,
    /// The runs, in order.
    pub runs: Vec<SummaryRun>,
    /// Means over the seeds of runs that are else alike.
    pub groups: Vec<Group>,
}

impl SweepSummary {
    /// What is in the folder `root` of the runs of `plan`.
    pub fn new(plan: &SweepPlan, root: &Path) -> SweepSummary {
        let runs: Vec<SummaryRun> = (0..plan.runs.len())
            .map(|index| {
                let (run, folder) = (&plan.runs[index], plan.folder(root, index));
                let result = plan.result(root, index);
                let failure = read_bounded(&folder.join(FAILURE_FILE), 1 << 16).ok();
                let state = match (&result, &failure) {
                    (Some(_), _) => RunState::Done,
                    (None, Some(_)) => RunState::Failed,
                    (None, None) if RunFolder::config_of(&folder).exists() => RunState::Begun,
                    (None, None) => RunState::Open,
                };
                let failure = failure.filter(|_| state == RunState::Failed);
                SummaryRun {
                    folder: run.folder.clone(),
                    state,
                    settings: run.settings_as_text(),
                    steps: run.steps,
                    images: result.as_ref().map_or(0, |result| result.images),
                    metrics: result.map_or_else(BTreeMap::new, |result| result.metrics),
                    failure: failure.map(|text| crate::plain(&String::from_utf8_lossy(&text))),
                }
            })
            .collect();
        let points: Vec<Point> = runs.iter().map(SummaryRun::point).collect();
        SweepSummary { keys: plan.keys.clone(), groups: groups(&points), runs }
    }

    /// The runs that are done, as points.
    pub fn points(&self) -> Vec<Point> {
        self.runs.iter().filter(|run| run.state == RunState::Done).map(SummaryRun::point).collect()
    }

    /// How many runs are in a state.
    pub fn count(&self, state: RunState) -> usize {
        self.runs.iter().filter(|run| run.state == state).count()
    }
}

impl SummaryRun {
    fn point(&self) -> Point {
        Point {
            settings: self.settings.clone(),
            metrics: self.metrics.clone(),
            images: self.images,
        }
    }
}

/// The figures that tables for people have: name, heading, and how a value is written.
type Column = (&'static str, &'static str, fn(f64) -> String);

const COLUMNS: [Column; 6] = [
    ("test_accuracy", "accuracy", |value| format!("{:.2} %", 100.0 * value)),
    ("test_loss", "loss", |value| fixed(value, 4)),
    ("validation_accuracy", "validation", |value| format!("{:.2} %", 100.0 * value)),
    ("train_loss", "train loss", |value| fixed(value, 4)),
    ("bytes", "size", |value| bytes(value as u64)),
    ("seconds", "seconds", |value| fixed(value, 1)),
];

/// The table for people.
pub fn summary_table(keys: &[String], runs: &[SummaryRun]) -> Table {
    let has = |name: &str| runs.iter().any(|run| run.metrics.contains_key(name));
    let columns: Vec<Column> = COLUMNS.into_iter().filter(|column| has(column.0)).collect();
    let headers = keys.iter().cloned().chain(columns.iter().map(|column| column.1.to_string()));
    let headers = headers.chain(["state".to_string()]);
    let rows = runs.iter().map(|run| {
        let own = |key: &String| run.settings.get(key).cloned().unwrap_or_else(|| "–".into());
        let figure = |(name, _, written): &Column| {
            run.metrics.get(*name).map_or_else(|| "–".into(), |value| written(*value))
        };
        let cells = keys.iter().map(own).chain(columns.iter().map(figure));
        cells.chain([run.state.name().to_string()]).collect::<Vec<String>>()
    });
    Table::new(headers, rows)
}

/// Writes `sweep.json`, `sweep.csv` and `sweep.md` into `root`.
///
/// # Errors
/// [`Error::Io`].
pub fn write_tables(summary: &SweepSummary, root: &Path) -> Result<()> {
    let json =
        serde_json::to_string_pretty(summary).map_err(|error| Error::Model(error.to_string()))?;
    write_atomically(&root.join("sweep.json"), json.as_bytes())?;
    write_atomically(&root.join("sweep.csv"), (full_table(summary).to_csv() + "\n").as_bytes())?;
    let table = summary_table(&summary.keys, &summary.runs).to_markdown();
    write_atomically(&root.join("sweep.md"), table.as_bytes())
}

/// A row a run: folder, state, keys, every figure that any run has.
fn full_table(summary: &SweepSummary) -> Table {
    let names: BTreeSet<&String> = summary.runs.iter().flat_map(|run| run.metrics.keys()).collect();
    let headers = ["folder", "state"].map(String::from).into_iter();
    let headers = headers.chain(summary.keys.iter().cloned()).chain(names.iter().copied().cloned());
    let rows = summary.runs.iter().map(|run| {
        let setting = |key: &String| run.settings.get(key).cloned().unwrap_or_default();
        let figure =
            |name: &&String| run.metrics.get(*name).map_or_else(String::new, ToString::to_string);
        let cells = [run.folder.clone(), run.state.name().to_string()].into_iter();
        cells.chain(summary.keys.iter().map(setting)).chain(names.iter().map(figure))
    });
    Table::new(headers, rows)
}
