//! Finds and compares the runs below a folder, whichever command made them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use toml::Value;

use super::{
    axis::text_of,
    epochs::{figures_of, finite},
    groups::Point,
};
use crate::{
    Error, Result,
    files::read_bounded,
    model::MODEL_FILE,
    train::{EpochLine, RunFolder},
};

/// Folders below one another that are looked into.
const DEPTH: usize = 6;
/// Most runs that are read.
const MOST_RUNS: usize = 10_000;
/// Largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// A run that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FoundRun {
    /// Its folder below the one that was looked into.
    pub folder: PathBuf,
    /// Whether its model is there.
    pub finished: bool,
    /// Epochs of its metrics.
    pub epochs: u64,
    /// Steps of its metrics.
    pub steps: u64,
    /// Its settings as text; those of tables have dotted names.
    pub settings: BTreeMap<String, String>,
    /// Figures of the last epoch, by name.
    pub metrics: BTreeMap<String, f64>,
}

impl FoundRun {
    /// The run as a point of a figure, with these of its settings.
    pub fn point(&self, keys: &[String]) -> Point {
        let own = |key: &String| Some((key.clone(), self.settings.get(key)?.clone()));
        Point {
            settings: keys.iter().filter_map(own).collect(),
            metrics: self.metrics.clone(),
            images: 0,
        }
    }
}

/// The runs below `folder`, by name. What cannot be read is left out with a warning.
///
/// # Errors
/// [`Error::Io`] where the folder itself cannot be read; [`Error::Usage`] where there is no run.
pub fn find_runs(folder: &Path) -> Result<Vec<FoundRun>> {
    fs::read_dir(folder).map_err(Error::io("cannot read", folder))?;
    let mut runs = Vec::new();
    look(folder, folder, DEPTH, &mut runs);
    if runs.is_empty() {
        return Err(Error::Usage(format!(
            "{}: there is no run folder in it; a training or a sweep makes one",
            folder.display()
        )));
    }
    Ok(runs)
}

fn look(root: &Path, folder: &Path, depth: usize, runs: &mut Vec<FoundRun>) {
    if runs.len() >= MOST_RUNS {
        return;
    }
    if RunFolder::config_of(folder).exists() && RunFolder::metrics_of(folder).exists() {
        match read(root, folder) {
            Ok(run) => runs.push(run),
            Err(error) => log::warn!("left out: {error}"),
        }
    }
    if depth == 0 {
        return;
    }
    // Links are not followed: they could lead in a circle.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut inner: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    inner.sort();
    inner.iter().for_each(|path| look(root, path, depth - 1, runs));
}

fn read(root: &Path, folder: &Path) -> Result<FoundRun> {
    let config = RunFolder::config_of(folder);
    let bytes = read_bounded(&config, MAX_CONFIG)?;
    let text = String::from_utf8_lossy(&bytes);
    let table: toml::Table = toml::from_str(&text)
        .map_err(|error| Error::format(&config, error.message().replace('\n', "; ")))?;
    let mut settings = BTreeMap::new();
    flatten("", &Value::Table(table), &mut settings);
    settings.remove("out");
    let (steps, epochs) = RunFolder::read_metrics(folder)?;
    let last_step = steps.last().map_or(0, |line| line.step);
    let last = epochs.last();
    Ok(FoundRun {
        folder: folder.strip_prefix(root).unwrap_or(folder).into(),
        finished: folder.join(MODEL_FILE).exists(),
        epochs: last.map_or(0, |line| line.epoch),
        steps: last.map_or(0, |line| line.step).max(last_step),
        settings,
        metrics: figures(&epochs),
    })
}

/// Settings by dotted names.
fn flatten(prefix: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, found);
            }
        }
        other => {
            found.insert(prefix.into(), text_of(other));
        }
    }
}

fn figures(epochs: &[EpochLine]) -> BTreeMap<String, f64> {
    let Some(last) = epochs.last() else { return BTreeMap::new() };
    let tested = [
        ("test_accuracy", Some(last.test_accuracy)),
        ("test_loss", Some(last.test_loss)),
        ("best_test_accuracy", epochs.iter().map(|line| line.test_accuracy).reduce(f64::max)),
        ("seconds", Some(epochs.iter().map(|line| line.seconds).sum())),
    ];
    finite(figures_of(epochs).chain(tested)).collect()
}

/// The keys in which runs differ. Those of networks are left out: layers have too many.
pub fn differing_keys(runs: &[FoundRun]) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> =
        runs.iter().flat_map(|run| run.settings.keys()).collect();
    let differs = |key: &&String| {
        let first = runs.first().and_then(|run| run.settings.get(*key));
        runs.iter().any(|run| run.settings.get(*key) != first)
    };
    let is_shown = |key: &&String| !key.starts_with("network.layers");
    keys.into_iter().filter(differs).filter(is_shown).cloned().collect()
}
