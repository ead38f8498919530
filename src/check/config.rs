//! `saliq-check.toml`: what a repository says of its shaders.

use super::{
    diagnostic::{Diagnostic, Severity},
    find::{below, patterns},
    forms::Values,
    report::{Outcome, ShaderReport},
};
use crate::{Error, Result};
use globset::GlobSet;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The name of the file that is read from the current folder.
pub const CONFIG_FILE: &str = "saliq-check.toml";

/// A configuration file.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The folder that its paths start from.
    pub root: PathBuf,
    /// Files that are left out.
    pub ignored: Option<GlobSet>,
    /// As `--prelude`.
    pub preludes: Vec<PathBuf>,
    /// As `--package`.
    pub packages: Vec<(String, PathBuf)>,
    /// Values for the flags that are not given: `deny`, `targets`, `limits`, `features`.
    pub flags: Flags,
    definitions: Values,
    /// As `--constant`.
    pub constants: BTreeMap<String, String>,
    overrides: Vec<(String, f64)>,
    files: Vec<FileRules>,
    baseline: Vec<Known>,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// Settings that are flags too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// `deny = ["warnings"]`.
    pub deny_warnings: bool,
    /// `targets`.
    pub targets: Vec<String>,
    /// `features`.
    pub features: Option<Vec<String>>,
    /// `limits`: `NAME=V` or `default`.
    pub limits: Vec<String>,
    /// `allow-needs`.
    pub allow_needs: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
struct FileRules {
    files: GlobSet,
    definitions: Values,
    overrides: Vec<(String, f64)>,
    sets: Vec<(Values, Vec<(String, f64)>)>,
    expect: Option<Vec<String>>,
    allow: Vec<String>,
}

/// A fault that a baseline knows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
struct Known {
    file: String,
    rule: String,
    message: String,
}

/// What the configuration says of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct OfFile {
    pub definitions: Values,
    pub overrides: Vec<(String, f64)>,
    /// Specialisations that take the place of all combinations: definitions and overrides.
    pub sets: Vec<(Values, Vec<(String, f64)>)>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Document {
    ignore: Vec<String>,
    deny: Vec<String>,
    targets: Vec<String>,
    features: Option<Vec<String>>,
    limits: Option<toml::Value>,
    allow_needs: Option<Vec<String>>,
    prelude: OneOrMore,
    packages: BTreeMap<String, PathBuf>,
    define: BTreeMap<String, toml::Value>,
    constants: BTreeMap<String, toml::Value>,
    overrides: BTreeMap<String, f64>,
    baseline: Option<PathBuf>,
    file: Vec<FileTable>,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum OneOrMore {
    #[default]
    None,
    One(PathBuf),
    More(Vec<PathBuf>),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileTable {
    path: Patterns,
    #[serde(default)]
    define: BTreeMap<String, toml::Value>,
    #[serde(default)]
    overrides: BTreeMap<String, f64>,
    #[serde(default)]
    specialisations: Vec<SetTable>,
    /// Rules whose errors the file must have; `[]` any.
    expect: Option<Vec<String>>,
    /// Rules whose findings do not count.
    #[serde(default)]
    allow: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SetTable {
    #[serde(default)]
    define: BTreeMap<String, toml::Value>,
    #[serde(default)]
    overrides: BTreeMap<String, f64>,
}

#[derive(Deserialize, serde::Serialize)]
struct Baseline {
    #[serde(default)]
    known: Vec<Known>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file that cannot be read or has a key that is not known.
    pub fn read(path: &Path) -> Result<Self> {
        let refused = |reason: String| Error::Usage(format!("{}: {reason}", path.display()));
        let text = super::read::read_bounded(path).map_err(refused)?;
        let document: Document = toml::from_str(&text)
            .map_err(|error| refused(error.to_string().trim().replace('\n', " ")))?;
        let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
        if let Some(other) = document.deny.iter().find(|one| *one != "warnings") {
            return Err(refused(format!("deny = [\"{other}\"]: only \"warnings\" can be denied")));
        }
        let preludes = match document.prelude {
            OneOrMore::None => Vec::new(),
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(all) => all,
        };
        let packages = document.packages.into_iter();
        let mut files = Vec::new();
        for table in document.file {
            let all = match table.path {
                Patterns::One(one) => vec![one],
                Patterns::More(all) => all,
            };
            let sets = table.specialisations.into_iter();
            files.push(FileRules {
                files: patterns(&all).map_err(refused)?,
                definitions: values(table.define),
                overrides: table.overrides.into_iter().collect(),
                sets: sets
                    .map(|set| (values(set.define), set.overrides.into_iter().collect()))
                    .collect(),
                expect: table.expect,
                allow: table.allow,
            });
        }
        let ignored = if document.ignore.is_empty() {
            None
        } else {
            Some(patterns(&document.ignore).map_err(refused)?)
        };
        let baseline = match &document.baseline {
            Some(file) => read_baseline(&root.join(file))?,
            None => Vec::new(),
        };
        let flags = Flags {
            deny_warnings: !document.deny.is_empty(),
            targets: document.targets,
            features: document.features,
            limits: document.limits.map(limits).unwrap_or_default(),
            allow_needs: document.allow_needs,
        };
        Ok(Config {
            ignored,
            preludes: preludes.into_iter().map(|file| root.join(file)).collect(),
            packages: packages.map(|(name, folder)| (name, root.join(folder))).collect(),
            flags,
            definitions: values(document.define),
            constants: values(document.constants),
            overrides: document.overrides.into_iter().collect(),
            files,
            baseline,
            root,
        })
    }

    /// What it says of a file.
    pub(super) fn of(&self, path: &Path) -> OfFile {
        let mut own = OfFile {
            definitions: self.definitions.clone(),
            overrides: self.overrides.clone(),
            sets: Vec::new(),
        };
        for rules in self.rules(path) {
            own.definitions.extend(rules.definitions.clone());
            own.overrides.extend(rules.overrides.clone());
            own.sets.extend(rules.sets.clone());
        }
        own
    }

    fn rules(&self, path: &Path) -> Vec<&FileRules> {
        if self.files.is_empty() {
            return Vec::new();
        }
        let path = below(path, &self.root);
        self.files.iter().filter(|rules| rules.files.is_match(&path)).collect()
    }

    /// Applies expectations, allowed rules and the baseline to a report.
    pub(super) fn apply(&self, report: &mut ShaderReport) {
        if self.files.is_empty() && self.baseline.is_empty() {
            return;
        }
        let path = PathBuf::from(&report.name);
        let rules = self.rules(&path);
        let allowed: Vec<&String> = rules.iter().flat_map(|rules| &rules.allow).collect();
        excuse(report, "allowed", |one| allowed.iter().any(|rule| **rule == one.rule));
        if !self.baseline.is_empty() {
            let root = &self.root;
            excuse(report, "known", |one| {
                let known = Known::of(one, root);
                self.baseline.contains(&known)
            });
        }
        let Some(expected) = rules.iter().rev().find_map(|rules| rules.expect.as_ref()) else {
            return;
        };
        let is_error = |one: &&Diagnostic| one.severity == Severity::Error;
        let found: Vec<&'static str> =
            report.diagnostics.iter().filter(is_error).map(|one| one.rule).collect();
        let missing: Vec<_> =
            expected.iter().filter(|rule| !found.iter().any(|own| own == *rule)).collect();
        if !report.failed() || !missing.is_empty() {
            let names: Vec<_> = missing.iter().map(|rule| rule.as_str()).collect();
            let what = if names.is_empty() { "an error".into() } else { names.join(", ") };
            let mut one = Diagnostic::error(
                "expectation",
                format!("{CONFIG_FILE} expects {what} of this file, and there is none"),
            );
            one.file.clone_from(&report.name);
            report.diagnostics.push(one);
            return;
        }
        let is_expected =
            |one: &Diagnostic| expected.is_empty() || expected.iter().any(|rule| *rule == one.rule);
        excuse(report, "expected", is_expected);
    }

    /// Writes the errors of reports as a baseline.
    ///
    /// # Errors
    /// [`Error::Io`] when writing.
    pub fn write_baseline(reports: &[ShaderReport], path: &Path) -> Result<()> {
        let root = path.parent().unwrap_or(Path::new(""));
        let errors = reports.iter().flat_map(|report| &report.diagnostics);
        let mut known: Vec<_> = errors
            .filter(|one| one.severity == Severity::Error)
            .map(|one| Known::of(one, root))
            .collect();
        known.dedup();
        let text = toml::to_string(&Baseline { known }).unwrap_or_default();
        std::fs::write(path, text).map_err(Error::io("cannot write", path))
    }
}

impl Known {
    /// Without a line, which changes with every edit above it.
    fn of(one: &Diagnostic, root: &Path) -> Self {
        let file = below(Path::new(&one.file), root).display().to_string().replace('\\', "/");
        Known { file, rule: one.rule.to_owned(), message: one.message.clone() }
    }
}

/// Findings that do not fail the shader any more.
fn excuse(report: &mut ShaderReport, word: &str, is_excused: impl Fn(&Diagnostic) -> bool) {
    let mut changed = false;
    for one in &mut report.diagnostics {
        if one.severity > Severity::Info && is_excused(one) {
            one.severity = Severity::Info;
            one.message = format!("{word}: {}", one.message);
            changed = true;
        }
    }
    if changed && !report.diagnostics.iter().any(|one| one.severity == Severity::Error) {
        for outcome in report.outcomes_mut() {
            if let Outcome::Fail { message, .. } = outcome {
                *outcome = Outcome::skipped(format!("{word}: {message}"));
            }
        }
    }
}

fn read_baseline(path: &Path) -> Result<Vec<Known>> {
    let refused = |reason: String| Error::Usage(format!("{}: {reason}", path.display()));
    let text = super::read::read_bounded(path).map_err(refused)?;
    let baseline: Baseline = toml::from_str(&text)
        .map_err(|error| refused(error.to_string().trim().replace('\n', " ")))?;
    Ok(baseline.known)
}

fn limits(value: toml::Value) -> Vec<String> {
    match value {
        toml::Value::Table(table) => {
            table.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        }
        toml::Value::String(text) => vec![text],
        toml::Value::Array(all) => {
            all.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

/// Definitions as text: `true` defines a name without a value, `false` does not define it.
fn values(table: BTreeMap<String, toml::Value>) -> Values {
    let text = |value: toml::Value| match value {
        toml::Value::Boolean(true) => Some(String::new()),
        toml::Value::Boolean(false) => None,
        toml::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    table.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<Config> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(CONFIG_FILE);
        std::fs::write(&path, text).expect("written");
        Config::read(&path)
    }

    #[test]
    fn a_file_is_read_and_unknown_keys_are_refused() {
        let read = config(
            "ignore = [\"a/**\"]\ndeny = [\"warnings\"]\nprelude = \"p.wgsl\"\n\
             define = { A = true, B = 2, C = false }\nlimits = { maxBindGroups = 5 }\n\
             [[file]]\npath = \"*.wgsl\"\nspecialisations = [{ define = { F = true } }, {}]\n",
        )
        .expect("readable");
        assert_eq!(read.flags.limits, ["maxBindGroups=5"]);
        assert!(read.flags.deny_warnings);
        let own = read.of(&read.root.join("x.wgsl"));
        assert_eq!(own.definitions.get("B").map(String::as_str), Some("2"));
        assert!(!own.definitions.contains_key("C"));
        for wrong in ["unknown = 1", "deny = [\"all\"]", "[[file]]\n", "ignore = [\"[\"]", "="] {
            assert_eq!(config(wrong).expect_err(wrong).exit_code(), 2);
        }
    }
}
