//! The runs of a sweep, their folders and their work.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use toml::Value;

use super::{
    axis::text_of,
    file::{Combination, SweepFile},
    result::RunResult,
};
use crate::{
    Error, Result,
    config::{PartialRunConfig, ReadOptions, resolve},
    data::Dataset,
    digest::sha256_hex,
    metrics::Cost,
    study::{
        shard::{Shard, deal},
        work::Work,
    },
};

/// Longest readable part of the name of a folder.
const LONGEST: usize = 80;

/// A run of a sweep.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Name of its folder in that of the sweep: the values of the keys, and a part of the digest of
    /// all settings, so that a folder belongs to one run whatever becomes of the file.
    pub folder: String,
    /// Its values of the keys that are varied.
    pub point: Vec<(String, Value)>,
    /// All of its settings.
    pub settings: PartialRunConfig,
    /// Digest of the settings.
    pub digest: String,
    /// Training steps.
    pub steps: u64,
    /// Its work in multiply-accumulates, which is equal on every machine.
    pub work: u64,
    /// Place of its data set in the plan.
    pub dataset: usize,
}

impl PlannedRun {
    /// Its values of the keys that are varied, as text.
    pub fn settings_as_text(&self) -> BTreeMap<String, String> {
        self.point.iter().map(|(key, value)| (key.clone(), text_of(value))).collect()
    }
}

/// A sweep as a list of runs.
#[derive(Debug)]
pub struct SweepPlan {
    /// The keys that are varied, in order.
    pub keys: Vec<String>,
    /// The runs, in order.
    pub runs: Vec<PlannedRun>,
    /// The data sets of the runs.
    pub datasets: Vec<Dataset>,
}

/// What a data set is read by.
type Source = (String, Option<PathBuf>, ReadOptions);

impl SweepPlan {
    /// The runs of `file`; `load` reads the data set of settings.
    ///
    /// # Errors
    /// Errors of the file, of data sets, and of settings that do not fit together, which name the
    /// run.
    pub fn new(
        file: &SweepFile,
        load: &mut dyn FnMut(&PartialRunConfig) -> Result<Dataset>,
    ) -> Result<SweepPlan> {
        let keys = file.axes.iter().map(|axis| axis.key.clone()).collect();
        let mut sources: Vec<Source> = Vec::new();
        let mut plan = SweepPlan { keys, runs: Vec::new(), datasets: Vec::new() };
        for combination in file.combinations() {
            let settings = file.settings(&combination)?;
            let source = (
                settings.dataset_name().to_string(),
                settings.data_dir.clone(),
                settings.reading(),
            );
            let dataset = match sources.iter().position(|own| *own == source) {
                Some(place) => place,
                None => {
                    plan.datasets.push(load(&settings)?);
                    sources.push(source);
                    sources.len() - 1
                }
            };
            for (key, _) in &combination {
                if !plan.keys.contains(key) {
                    plan.keys.push(key.clone());
                }
            }
            let run = planned(combination, settings, &plan.datasets[dataset], dataset)?;
            if let Some(same) = plan.runs.iter().find(|own| own.digest == run.digest) {
                return Err(Error::Usage(format!(
                    "{}: two runs have the same settings: {} and {}",
                    file.origin, same.folder, run.folder
                )));
            }
            plan.runs.push(run);
        }
        if plan.runs.is_empty() {
            return Err(Error::Usage(format!("{}: [[exclude]] leaves no run", file.origin)));
        }
        Ok(plan)
    }

    /// The indices of the runs of a part, in order. They are dealt by their work, so that all parts
    /// take about the same time.
    pub fn part(&self, shard: Shard) -> Vec<usize> {
        let weights: Vec<(usize, u64)> =
            self.runs.iter().enumerate().map(|(index, run)| (index, run.work.max(1))).collect();
        let mut mine: Vec<usize> = deal(&weights, shard.count)
            .into_iter()
            .filter(|(_, part)| *part == shard.index)
            .map(|(index, _)| index)
            .collect();
        mine.sort_unstable();
        mine
    }

    /// The folder of run `index` in that of the sweep.
    pub fn folder(&self, root: &Path, index: usize) -> PathBuf {
        root.join(&self.runs[index].folder)
    }

    /// The result of run `index` in the folder of the sweep, if it is finished.
    pub fn result(&self, root: &Path, index: usize) -> Option<RunResult> {
        RunResult::read(&self.folder(root, index), &self.runs[index].digest)
    }
}

fn planned(
    point: Combination,
    settings: PartialRunConfig,
    dataset: &Dataset,
    place: usize,
) -> Result<PlannedRun> {
    let name: Vec<String> =
        point.iter().map(|(key, value)| format!("{key}-{}", text_of(value))).collect();
    let name = name.join("_");
    let named = |error: Error| match error {
        Error::Usage(said) => Error::Usage(format!("{}: {said}", crate::plain(&name))),
        other => other,
    };
    let config = resolve(settings.clone(), &dataset.info()).map_err(named)?;
    // What is logged, and where data is found, does not make another run.
    let computed = PartialRunConfig {
        data_dir: None,
        log: None,
        log_every: None,
        checkpoint_every: None,
        snapshot_every: None,
        ..settings.clone()
    };
    let text = toml::to_string(&computed).map_err(|error| Error::Model(error.to_string()))?;
    let digest = sha256_hex([text.as_bytes()]);
    let passes = Work::of_training(&config, dataset);
    let macs = Cost::new(&config.network, &config.quantization)?.macs;
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' };
    let readable: String = name.chars().map(plain).take(LONGEST).collect();
    Ok(PlannedRun {
        folder: format!("{readable}-{}", &digest[..8]).trim_start_matches(['-', '.']).into(),
        point,
        settings,
        digest,
        steps: passes.steps,
        work: passes.passes().saturating_mul(macs),
        dataset: place,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<SweepPlan> {
        let file = SweepFile::parse(text, "grid.toml")?;
        SweepPlan::new(&file, &mut |settings| crate::data::load(settings.dataset_name(), None))
    }

    #[test]
    fn folders_are_of_settings_and_not_of_places() {
        let base = "train-limit = 64\ntest-limit = 20\nsteps = 2\n[sweep]\n";
        let one = plan(&format!("{base}bits = [\"32\", \"4,2\"]\nseed = [0, 1]")).unwrap();
        assert_eq!((one.runs.len(), one.datasets.len()), (4, 1));
        assert!(one.runs[2].folder.starts_with("bits-4-2_seed-0-"), "{}", one.runs[2].folder);
        let more =
            plan(&format!("{base}bits = [\"2,2\", \"32\", \"4,2\"]\nseed = [1, 0]")).unwrap();
        for run in &one.runs {
            assert!(more.runs.iter().any(|own| own.folder == run.folder), "{}", run.folder);
        }
        let same = plan(&format!("{base}seed = [0]\n[[include]]\nseed = 0")).map(|_| ());
        assert!(same.unwrap_err().to_string().contains("two runs have the same settings"));
        let none = plan(&format!("{base}seed = [0]\n[[exclude]]\nseed = 0")).map(|_| ());
        assert!(none.unwrap_err().to_string().contains("leaves no run"));
    }

    #[test]
    fn parts_have_the_same_work() {
        let text = "train-limit = 64\ntest-limit = 20\n[sweep]\nsteps = [1, 2, 3, 4, 5, 6, 7, 8]\n\
                    sgt = [true, false]";
        let plan = plan(text).unwrap();
        let all: u64 = plan.runs.iter().map(|run| run.work).sum();
        let mut seen = Vec::new();
        for index in 1..=3 {
            let part = plan.part(Shard { index, count: 3 });
            let own: u64 = part.iter().map(|&index| plan.runs[index].work).sum();
            assert!((own as f64 - all as f64 / 3.0).abs() < 0.1 * all as f64, "{own} of {all}");
            seen.extend(part);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..16).collect::<Vec<_>>());
    }
}
