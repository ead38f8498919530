//! The file of a sweep: settings of `saliq train`, `[sweep]` with lists and ranges, and
//! combinations that are left out or added.

use std::{collections::BTreeMap, path::Path};

use toml::{Table, Value};

use super::axis::{Axis, text_of};
use crate::{Error, Result, config::PartialRunConfig, files::read_bounded, plain};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Most runs of a sweep.
const MOST_RUNS: usize = 10_000;
/// The parts of the file that are no settings of a run.
const OWN: [&str; 3] = ["sweep", "exclude", "include"];

/// The file of a sweep.
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// What names it in messages.
    pub origin: String,
    /// Settings that all runs have.
    pub fixed: PartialRunConfig,
    /// Keys that are crossed, in the order of the file.
    pub axes: Vec<Axis>,
    /// Combinations that are left out: those that have all values of an entry.
    exclude: Vec<Table>,
    /// Combinations besides the crossed ones.
    include: Vec<Table>,
}

/// A combination of values, by key in the order of the axes.
pub(super) type Combination = Vec<(String, Value)>;

impl SweepFile {
    /// Reads a file of at most 1 MiB.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Usage`] or [`Error::Settings`] with file, line and key.
    pub fn read(path: &Path) -> Result<SweepFile> {
        let bytes = read_bounded(path, MAX_FILE)?;
        let origin = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|_| {
            Error::Usage(format!("{origin}: not UTF-8 text; a sweep is a TOML file"))
        })?;
        SweepFile::parse(&text, &origin)
    }

    /// Parses a file; `origin` names it in messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str, origin: &str) -> Result<SweepFile> {
        let fixed = PartialRunConfig::parse_beside(text, origin, &OWN)?;
        let usage = |reason: String| Error::Usage(format!("{origin}: {}", plain(&reason)));
        if fixed.out.is_some() {
            return Err(usage("out: the runs of a sweep are in the folder of the sweep".into()));
        }
        // What is no setting is parsed already: only the order of keys is left.
        let mut table: Table =
            toml::from_str(text).map_err(|error| usage(error.message().replace('\n', "; ")))?;
        let Some(Value::Table(sweep)) = table.remove("sweep") else {
            return Err(usage(
                "has no table [sweep]; it holds the keys to be varied, such as seed = [0, 1]"
                    .into(),
            ));
        };
        let tables = |value: Option<Value>, name: &str| match value {
            None => Ok(Vec::new()),
            Some(Value::Array(entries)) => entries
                .into_iter()
                .map(|entry| match entry {
                    Value::Table(entry) => Ok(entry),
                    _ => Err(usage(format!("{name}: is a list of tables: [[{name}]]"))),
                })
                .collect(),
            Some(_) => Err(usage(format!("{name}: is a list of tables: [[{name}]]"))),
        };
        let (exclude, include) = (
            tables(table.remove("exclude"), "exclude")?,
            tables(table.remove("include"), "include")?,
        );
        let lines = lines_of_keys(text);
        let mut axes = Vec::new();
        for (key, value) in sweep {
            let line = lines.get(&key).map_or(String::new(), |line| format!(":{line}"));
            let said = |reason: String| {
                Error::Usage(plain(&format!("{origin}{line}: [sweep] {key}: {reason}")))
            };
            if table.contains_key(&key) {
                return Err(said("stands at the top too; leave one of them out".into()));
            }
            let axis = Axis::new(&key, value).map_err(said)?;
            for value in &axis.values {
                let one = Table::from_iter([(key.clone(), value.clone())]);
                settings_of(one, &format!("{origin}{line}: [sweep]"))?;
            }
            axes.push(axis);
        }
        axes.sort_by_key(|axis| lines.get(&axis.key).copied().unwrap_or(usize::MAX));
        let is_unknown = |key: &&String| axes.iter().all(|axis| axis.key != **key);
        if let Some(key) = exclude.iter().flat_map(Table::keys).find(is_unknown) {
            return Err(usage(format!("[[exclude]] {key}: is no key of [sweep]")));
        }
        for entry in &include {
            settings_of(entry.clone(), &format!("{origin}: [[include]]"))?;
        }
        let file = SweepFile { origin: origin.into(), fixed, axes, exclude, include };
        let count = file
            .axes
            .iter()
            .try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()))
            .filter(|count| count + file.include.len() <= MOST_RUNS);
        if count.is_none() {
            return Err(usage(format!("has more than {MOST_RUNS} runs")));
        }
        Ok(file)
    }

    /// All combinations, the last key changing fastest.
    pub(super) fn combinations(&self) -> Vec<Combination> {
        let mut crossed: Vec<Combination> = vec![Vec::new()];
        for axis in &self.axes {
            let with = |combination: &Combination| -> Vec<Combination> {
                let one = |value: &Value| {
                    let mut longer = combination.clone();
                    longer.push((axis.key.clone(), value.clone()));
                    longer
                };
                axis.values.iter().map(one).collect()
            };
            crossed = crossed.iter().flat_map(with).collect();
        }
        crossed.retain(|combination| !self.exclude.iter().any(|entry| matches(entry, combination)));
        crossed.extend(self.include.iter().map(|entry| entry.clone().into_iter().collect()));
        crossed
    }

    /// The settings of a combination over those that all runs have.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn settings(&self, combination: &Combination) -> Result<PartialRunConfig> {
        let table = combination.iter().cloned().collect();
        let own = settings_of(table, &format!("{}: [sweep]", self.origin))?;
        let mut merged = own.clone().over(self.fixed.clone());
        merged.out = None;
        own.check_against(&merged)?;
        merged.check_merged()?;
        Ok(merged)
    }
}

/// Settings as if they stood in a file.
fn settings_of(table: Table, origin: &str) -> Result<PartialRunConfig> {
    if table.contains_key("out") {
        return Err(Error::Usage(format!(
            "{origin} out: the runs of a sweep are in the folder of the sweep"
        )));
    }
    let text = toml::to_string(&table)
        .map_err(|error| Error::Usage(format!("{origin}: {}", plain(&error.to_string()))))?;
    PartialRunConfig::parse(&text, origin)
}

/// Whether a combination has all values of `entry`; a list is any of its values.
fn matches(entry: &Table, combination: &Combination) -> bool {
    !entry.is_empty()
        && entry.iter().all(|(key, wanted)| {
            let own =
                combination.iter().find(|(own, _)| own == key).map(|(_, value)| text_of(value));
            own.is_some_and(|own| match wanted {
                Value::Array(any) => {
                    any.iter().any(|one| text_of(one) == own) || text_of(wanted) == own
                }
                one => text_of(one) == own,
            })
        })
}

/// The line of every key of `[sweep]`.
fn lines_of_keys(text: &str) -> BTreeMap<String, usize> {
    let Ok(table) = toml::de::DeTable::parse(text) else { return BTreeMap::new() };
    let sweep = table.get_ref().get("sweep").and_then(|sweep| sweep.get_ref().as_table());
    let line_of =
        |offset: usize| 1 + text.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count();
    let keys = sweep.into_iter().flat_map(|sweep| sweep.keys());
    keys.map(|key| (key.get_ref().to_string(), line_of(key.span().start.min(text.len())))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SweepFile> {
        SweepFile::parse(text, "grid.toml")
    }

    fn names(file: &SweepFile) -> Vec<String> {
        let name = |combination: &Combination| {
            let part = |(key, value): &(String, Value)| format!("{key} {}", text_of(value));
            combination.iter().map(part).collect::<Vec<_>>().join(" ")
        };
        file.combinations().iter().map(name).collect()
    }

    #[test]
    fn combinations_are_crossed_left_out_and_added() {
        let file = parse(
            "lr = 0.1\n[sweep]\nseed = [0, 1]\nbits = [\"32\", \"4,2\", [2, 2]]\n\
             [[exclude]]\nbits = \"32\"\nseed = [1, 2]\n[[exclude]]\nbits = [\"2,2\"]\n\
             [[include]]\nlr = 0.5\nseed = 9\n",
        )
        .unwrap();
        assert_eq!(
            names(&file),
            ["seed 0 bits 32", "seed 0 bits 4,2", "seed 1 bits 4,2", "lr 0.5 seed 9"]
        );
        let last = file.settings(&file.combinations()[3]).unwrap();
        assert_eq!((last.lr, last.seed, file.fixed.lr), (Some(0.5), Some(9), Some(0.1)));
    }

    #[test]
    fn tables_are_values_too() {
        let text = "[sweep]\nquantization = [{ bits = { default = 8 } }, \
                    { bits = { \"conv*\" = 2 } }]\nnetwork = [\"lenet-5\", \"resnet-8\"]";
        let file = parse(text).unwrap();
        assert_eq!(file.combinations().len(), 4);
        for combination in file.combinations() {
            let settings = file.settings(&combination).unwrap();
            assert!(settings.network.is_some() && settings.quantization.is_some());
        }
    }

    #[test]
    fn mistakes_name_file_line_and_key() {
        for (text, expected) in [
            ("lr = 1", "grid.toml: has no table [sweep]"),
            ("lamda = 1\n[sweep]\nseed = [1]", "grid.toml:1: unknown key `lamda`"),
            ("seed = 1\n[sweep]\nseed = [1]", "grid.toml:3: [sweep] seed: stands at the top too"),
            ("[sweep]\nlr = [0.1]\nbits = [\"9\"]", "grid.toml:3: [sweep]"),
            ("[sweep]\nlr = { from = 1.0, to = 2.0 }", "grid.toml:2: [sweep] lr: a range needs"),
            ("out = \"x\"\n[sweep]\nseed = [1]", "out: the runs of a sweep"),
            ("[sweep]\nout = [\"x\", \"y\"]", "out: the runs of a sweep"),
            ("[sweep]\nseed = [1]\n[[exclude]]\nlr = 1", "[[exclude]] lr: is no key of [sweep]"),
            ("exclude = 3\n[sweep]\nseed = [1]", "exclude: is a list of tables"),
            ("[sweep]\nsed = [1]", "unknown key `sed`"),
            ("lr = \n[sweep]", "grid.toml:1: "),
            (
                "[sweep]\nseed = { from = 0, to = 999 }\nlr = { from = 1.0, to = 2.0, steps = 11 }",
                "more than 10000 runs",
            ),
        ] {
            let said = parse(text).map(|_| ()).unwrap_err().to_string();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
