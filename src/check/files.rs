//! Checks a user's shader files: reads them within bounds, makes plain WGSL of their form, and
//! checks every specialisation.

use super::{
    config::Config,
    diagnostic::{Diagnostic, Severity},
    find::{Job, LeftOut, jobs_of},
    forms::{self, Library, Prelude, Prepared, Request, Text, Values},
    guard,
    options::CheckOptions,
    read::{STANDARD_INPUT, read_text, text_of},
    report::{Outcome, ShaderReport, ShaderSource, Specialisation, SpecialisationOutcome},
    spirv, translate,
};
use crate::{Error, Result, panics::caught};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Most bytes of WGSL that are checked for the combinations of one file.
const MAX_COMBINED_BYTES: usize = 1 << 20;
/// Most definitions that are added to a combination that lacks names.
const MAX_REPAIRS: usize = 16;
/// Most faults that are told of one file.
const MAX_FAULTS: usize = 16;

/// How files become the shaders that are checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileOptions {
    /// Definitions of conditions and values (`-D`), by name; without a value an empty text.
    pub definitions: BTreeMap<String, String>,
    /// Constants that the host gives as the module `constants`.
    pub constants: BTreeMap<String, String>,
    /// Values of pipeline-overridable constants.
    pub overrides: Vec<(String, f64)>,
    /// Files that are put in front of those that use what they declare.
    pub preludes: Vec<PathBuf>,
    /// Folders of packages by name.
    pub packages: Vec<(String, PathBuf)>,
    /// Whether all combinations of conditions are checked.
    pub is_thorough: bool,
    /// Whether values that the host gives are assumed where they are missing.
    pub is_assuming: bool,
    /// Whether warnings fail a shader.
    pub deny_warnings: bool,
    /// What a configuration file says of files.
    pub config: Config,
}

/// What was checked.
#[derive(Debug)]
pub struct Checked {
    /// A report a file.
    pub reports: Vec<ShaderReport>,
    /// Texts of files with findings, by name.
    pub texts: HashMap<String, String>,
}

/// Checks files and, recursively, the `.wgsl` and `.wesl` files of folders (hidden folders and what
/// `.gitignore` names are left out). Imports are linked first; `package::` refers to the given
/// folder (or that of the file), and all conditions are off. Files that cannot be read are failures
/// in the report.
///
/// # Errors
/// [`Error::Io`] for a path that does not exist; [`Error::Usage`] if there is nothing to check, or
/// more than [`super::MAX_FILES`] files. Failing shaders are not an error here; see
/// [`super::verdict`].
pub fn check_paths(paths: &[PathBuf]) -> Result<Vec<ShaderReport>> {
    check_paths_for(paths, &CheckOptions::default())
}

/// As [`check_paths`], for targets, features and limits.
///
/// # Errors
/// As [`check_paths`].
pub fn check_paths_for(paths: &[PathBuf], options: &CheckOptions) -> Result<Vec<ShaderReport>> {
    Ok(check_files(paths, &FileOptions::default(), options)?.reports)
}

/// As [`check_paths_for`], with definitions, preludes, packages and a configuration.
///
/// # Errors
/// As [`check_paths`]; [`Error::Usage`] for a prelude that cannot be read.
pub fn check_files(
    paths: &[PathBuf],
    files: &FileOptions,
    options: &CheckOptions,
) -> Result<Checked> {
    let left_out =
        LeftOut { patterns: files.config.ignored.clone(), root: files.config.root.clone() };
    let jobs = jobs_of(paths, &left_out)?;
    let run = Run::new(&jobs, files, options)?;
    let results = guard::parallel(
        &jobs,
        |job| run.check(job),
        |job, reason| (failure(job, reason), BTreeSet::new()),
    );
    let (mut reports, included): (Vec<_>, Vec<_>) = results.into_iter().unzip();
    excuse_fragments(&jobs, &mut reports, &included);
    for report in &mut reports {
        files.config.apply(report);
        if files.deny_warnings {
            deny_warnings(report);
        }
    }
    let texts = run.texts_of(&reports);
    Ok(Checked { reports, texts })
}

/// Writes the SPIR-V of a user's files as [`super::check_all_writing`] does. Files that cannot be
/// translated (the check reports them) or have no entry point are left out.
///
/// # Errors
/// As [`check_paths`], and [`Error::Io`] when writing.
pub fn write_spirv_of_paths(paths: &[PathBuf], dir: &Path) -> Result<Vec<PathBuf>> {
    let jobs = jobs_of(paths, &LeftOut::default())?;
    let (files, options) = (FileOptions::default(), CheckOptions::default());
    let run = Run::new(&jobs, &files, &options)?;
    fs::create_dir_all(dir).map_err(Error::io("cannot create", dir))?;
    let words = guard::parallel(
        &jobs,
        |job| {
            let text = run.text(job).ok()?;
            let (prepared, _) = run.prepared(text, &Values::new());
            let source = source_of(job, prepared.wgsl, Vec::new());
            translate::spirv_words(&source).ok().filter(|_| prepared.faults.is_empty())
        },
        |_, _| None,
    );
    let translated = jobs
        .iter()
        .zip(words)
        .enumerate()
        .filter_map(|(index, (job, words))| Some((index, job, words?)));
    translated
        .map(|(index, job, words)| spirv::write_words(&words, dir, &name_of(job), index))
        .collect()
}

/// Checks the bytes of one file that is in no folder and therefore cannot import. `name` is its
/// name in the report.
pub fn check_bytes(name: &str, bytes: Vec<u8>) -> ShaderReport {
    let job = Job { path: PathBuf::from(name), base: PathBuf::new() };
    let (files, options) = (FileOptions::default(), CheckOptions::default());
    let mut reports = guard::parallel(
        &[bytes],
        |bytes| {
            let run = match Run::new(&[], &files, &options) {
                Ok(run) => run,
                Err(error) => return failure(&job, &error.to_string()),
            };
            match text_of(bytes.clone()) {
                Ok(text) => {
                    let text = Text::new(job.path.clone(), text);
                    run.check_text(&job, Arc::new(text)).0
                }
                Err(reason) => failure(&job, &reason),
            }
        },
        |_, reason| failure(&job, reason),
    );
    reports.pop().unwrap_or_else(|| failure(&job, "not checked"))
}

fn failure(job: &Job, reason: &str) -> ShaderReport {
    ShaderReport::unparsed(&name_of(job), true, Outcome::fail(reason))
}

fn name_of(job: &Job) -> String {
    job.path.display().to_string()
}

fn source_of(job: &Job, wgsl: String, constants: Vec<(String, f64)>) -> ShaderSource {
    ShaderSource { name: name_of(job), wgsl, constants, user: true }
}

/// What all files of a run are checked with.
struct Run<'a> {
    library: Library,
    preludes: Vec<Prelude>,
    files: &'a FileOptions,
    options: &'a CheckOptions,
}

impl<'a> Run<'a> {
    fn new(jobs: &[Job], files: &'a FileOptions, options: &'a CheckOptions) -> Result<Self> {
        let mut bases: Vec<PathBuf> = jobs.iter().map(|job| job.base.clone()).collect();
        bases.sort();
        bases.dedup();
        bases.retain(|base| !base.as_os_str().is_empty());
        let paths = jobs.iter().map(|job| job.path.clone()).collect();
        let mut packages = files.packages.clone();
        packages.extend(files.config.packages.iter().cloned());
        let library = Library::new(bases, paths, packages);
        if jobs.iter().any(|job| job.path.as_os_str() == STANDARD_INPUT) {
            let text = read_text(std::io::stdin().lock()).map_err(Error::Usage)?;
            let path = PathBuf::from(STANDARD_INPUT);
            library.insert(Arc::new(Text::new(path, text)));
        }
        let mut preludes = Vec::new();
        for path in files.preludes.iter().chain(&files.config.preludes) {
            let refused =
                |reason: String| Error::Usage(format!("prelude {}: {reason}", path.display()));
            preludes.push(Prelude::new(&library, library.read(path).map_err(refused)?));
        }
        Ok(Run { library, preludes, files, options })
    }

    fn text(&self, job: &Job) -> Result<Arc<Text>, String> {
        self.library.read(&job.path)
    }

    /// The report of a file, and the files that it includes as text.
    fn check(&self, job: &Job) -> (ShaderReport, BTreeSet<PathBuf>) {
        match self.text(job) {
            Ok(text) => self.check_text(job, text),
            Err(reason) => (failure(job, &reason), BTreeSet::new()),
        }
    }

    /// A file as plain WGSL, and whether its form was kept: where linking fails and the text itself
    /// is WGSL, the text counts.
    fn prepared(&self, text: Arc<Text>, values: &Values) -> (Prepared, bool) {
        let constants = &self.files.constants;
        let request = Request {
            library: &self.library,
            text: text.clone(),
            preludes: &self.preludes,
            constants,
            is_assuming: self.files.is_assuming,
        };
        let Some(prepared) = caught(|| forms::prepare(&request, values)) else {
            return (forms::plain(&text), false);
        };
        if prepared.map.is_some() || !prepared.faults.is_empty() {
            let is_wgsl = !prepared.faults.is_empty()
                && guard::bounded_depth(&text.text).is_ok()
                && naga::front::wgsl::parse_str(&text.text).is_ok();
            if is_wgsl {
                return (forms::plain(&text), false);
            }
        }
        (prepared, true)
    }

    fn check_text(&self, job: &Job, text: Arc<Text>) -> (ShaderReport, BTreeSet<PathBuf>) {
        let name = name_of(job);
        let rules = self.files.config.of(&job.path);
        let mut given = self.files.definitions.clone();
        given.extend(rules.definitions.clone());
        let mut overrides = self.files.overrides.clone();
        overrides.extend(rules.overrides.clone());
        let (first, _) = self.prepared(text.clone(), &given);
        let mut included = first.included.clone();
        let names = first.names.clone();
        let form = first.form;
        // Sets that the configuration names take the place of all combinations.
        let (sets, is_complete, of) = if !rules.sets.is_empty() {
            (rules.sets.clone(), true, rules.sets.len() as u128)
        } else if self.files.is_thorough && !names.is_empty() {
            let plan = forms::plan(&names, &given);
            let sets: Vec<_> = plan.combinations.into_iter().map(|one| (one, vec![])).collect();
            let is_complete = sets.len() as u128 + 1 == plan.of;
            (sets, is_complete, plan.of)
        } else {
            (Vec::new(), true, 1)
        };
        let has_named_sets = !rules.sets.is_empty();
        let mut variants: Vec<Variant> = Vec::new();
        let mut seen: HashSet<(u64, String)> = HashSet::new();
        let mut bytes = 0;
        let mut checked = 0u128;
        let all = std::iter::once((Values::new(), Vec::new())).chain(sets);
        let mut first = Some(first);
        for (index, (added, more)) in all.enumerate() {
            if has_named_sets && index == 0 {
                continue;
            }
            if bytes > MAX_COMBINED_BYTES && !has_named_sets {
                break;
            }
            let mut values = given.clone();
            values.extend(added.clone());
            let prepared = match first.take().filter(|_| added.is_empty()) {
                Some(first) => first,
                None => self.prepared(text.clone(), &values).0,
            };
            included.extend(prepared.included.iter().cloned());
            let mut constants = overrides.clone();
            constants.extend(more);
            checked += 1;
            if !seen.insert((digest(&prepared.wgsl), format!("{constants:?}"))) {
                variants.push(Variant { added, report: None, is_unmeant: false });
                continue;
            }
            bytes += prepared.wgsl.len();
            let mut report = self.report(job, &prepared, &constants);
            let mut is_unmeant = report.failed() && lacks_conditional_name(&report, &prepared);
            let mut added = added;
            if is_unmeant && !has_named_sets && self.files.is_thorough {
                // What it lacks may be declared with more definitions.
                let fixed =
                    self.repaired(job, &text, &given, &values, &report, &prepared, &constants);
                if let Some((values, fixed, spent, lacks)) = fixed {
                    bytes += spent;
                    // What is complete counts, with errors of its own too.
                    if !lacks {
                        (report, is_unmeant) = (fixed, false);
                        added = values;
                        added.retain(|name, _| !given.contains_key(name));
                    }
                }
            }
            let is_linked = prepared.faults.is_empty() && prepared.map.is_some();
            if report.failed() && is_linked && !has_named_sets && self.files.is_thorough {
                // What it imports may need definitions that it does not read itself.
                for values in prepared.of_imports(&values, MAX_REPAIRS) {
                    if bytes > MAX_COMBINED_BYTES {
                        break;
                    }
                    let prepared = self.prepared(text.clone(), &values).0;
                    bytes += prepared.wgsl.len();
                    let fixed = self.report(job, &prepared, &constants);
                    if !fixed.failed() {
                        (report, is_unmeant) = (fixed, false);
                        added = values;
                        added.retain(|name, _| !given.contains_key(name));
                        break;
                    }
                }
            }
            variants.push(Variant { added, report: Some(report), is_unmeant });
        }
        let mut report = merged(&name, variants, has_named_sets, is_complete && checked >= of);
        report.form = form;
        if !has_named_sets && checked < of {
            report.diagnostics.push(located_note(
                &name,
                "specialisations",
                format!("{checked} of {of} combinations of conditions were checked"),
            ));
        }
        (report, included)
    }

    /// A combination that lacks names, with the definitions under which they are declared: the last
    /// that was tried, with the bytes that were checked for it, and whether it lacks one still.
    #[expect(clippy::too_many_arguments, reason = "one specialisation with its report")]
    fn repaired(
        &self,
        job: &Job,
        text: &Arc<Text>,
        given: &Values,
        values: &Values,
        report: &ShaderReport,
        prepared: &Prepared,
        constants: &[(String, f64)],
    ) -> Option<(Values, ShaderReport, usize, bool)> {
        let missing = |report: &ShaderReport| {
            let error = report.diagnostics.iter().find(|one| one.severity == Severity::Error)?;
            let names = names_in(&error.message).map(str::to_owned).collect::<Vec<_>>();
            Some((names, error.message.clone(), error.line))
        };
        let mut lack = missing(report)?;
        let mut values = values.clone();
        let mut tried = vec![values.clone()];
        let mut result = None;
        let mut bytes = 0;
        let mut current: Option<Prepared> = None;
        while tried.len() < MAX_REPAIRS && bytes < MAX_COMBINED_BYTES {
            let from = current.as_ref().unwrap_or(prepared);
            let mut candidates: Vec<Values> = Vec::new();
            if lack.1.contains("at least one member") {
                lack.0 = lack.0.iter().flat_map(|name| from.members(name)).collect();
            }
            for name in &lack.0 {
                let is_member =
                    ["field", "accessor", "member"].iter().any(|word| lack.1.contains(word));
                candidates.extend(from.repaired(name, is_member, &values, given));
            }
            if lack.1.contains("declared return type") {
                for name in &lack.0 {
                    candidates.extend(from.returning(name, &values, given));
                }
            }
            candidates.retain(|one| !tried.contains(one));
            // The first that gets further.
            let mut next = None;
            for candidate in candidates.into_iter().take(MAX_REPAIRS) {
                tried.push(candidate.clone());
                let prepared = self.prepared(text.clone(), &candidate).0;
                bytes += prepared.wgsl.len();
                let report = self.report(job, &prepared, constants);
                let new = missing(&report);
                if new.as_ref().is_none_or(|new| (&new.1, new.2) != (&lack.1, lack.2)) {
                    next = Some((candidate, prepared, report, new));
                    break;
                }
            }
            let Some((candidate, prepared, report, new)) = next else { return result };
            let lacks = report.failed() && lacks_conditional_name(&report, &prepared);
            result = Some((candidate.clone(), report, bytes, lacks));
            let Some(new) = new.filter(|_| lacks) else { return result };
            (values, lack, current) = (candidate, new, Some(prepared));
        }
        result
    }

    /// The report of one specialisation, with the places of files.
    fn report(&self, job: &Job, prepared: &Prepared, overrides: &[(String, f64)]) -> ShaderReport {
        let name = name_of(job);
        if !prepared.faults.is_empty() {
            return faulty(&name, prepared);
        }
        let constants = declared(&prepared.wgsl, overrides);
        let mut source = source_of(job, prepared.wgsl.clone(), constants);
        let mut report = translate::check_source(&source, None, self.options);
        let mut shifted: Option<Prepared> = None;
        let mut enabled: Vec<String> = Vec::new();
        // naga wants its own extensions enabled, and files are written for versions that did not.
        while let Some(extension) = missing_extension(&report)
            && !enabled.contains(&extension)
        {
            let directive = format!("enable {extension};");
            let from = shifted.as_ref().unwrap_or(prepared);
            shifted = Some(from.behind(&directive));
            source.wgsl.insert_str(0, &directive);
            enabled.push(extension);
            report = translate::check_source(&source, None, self.options);
        }
        let prepared = shifted.as_ref().unwrap_or(prepared);
        super::more::add(&mut report, &source.wgsl, MAX_FAULTS);
        relocate(&mut report, prepared, &source.wgsl);
        for extension in enabled {
            let note = format!("naga 30 wants `enable {extension};`, which was assumed");
            report.diagnostics.push(located_note(&name, "assumed", note));
        }
        for note in &prepared.notes {
            report.diagnostics.push(located_note(&name, "assumed", note.clone()));
        }
        report
    }

    /// The texts of files with findings.
    fn texts_of(&self, reports: &[ShaderReport]) -> HashMap<String, String> {
        let mut texts = HashMap::new();
        for one in reports.iter().flat_map(|report| &report.diagnostics) {
            if !texts.contains_key(&one.file)
                && let Ok(text) = self.library.read(Path::new(&one.file))
            {
                texts.insert(one.file.clone(), text.text.clone());
            }
        }
        texts
    }
}

/// A specialisation; the report is `None` if its text is one that was checked before.
struct Variant {
    added: Values,
    report: Option<ShaderReport>,
    is_unmeant: bool,
}

fn digest(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// The extension of naga that a report finds not enabled.
fn missing_extension(report: &ShaderReport) -> Option<String> {
    let Outcome::Fail { message, .. } = &report.parse else { return None };
    if !message.contains("not enabled") {
        return None;
    }
    names_in(message).find(|name| name.starts_with("wgpu_")).map(str::to_owned)
}

/// A finding of a file as a whole.
fn located_note(name: &str, rule: &'static str, message: String) -> Diagnostic {
    let mut note = Diagnostic::new(rule, Severity::Info, message);
    note.file = name.to_owned();
    note
}

/// The report of a file whose form has faults.
fn faulty(name: &str, prepared: &Prepared) -> ShaderReport {
    let mut report = ShaderReport::unparsed(name, true, Outcome::Pass);
    for fault in &prepared.faults {
        let mut one = Diagnostic::error(fault.rule, fault.message.clone());
        one.file.clone_from(&fault.file);
        (one.line, one.column) = (Some(fault.line), Some(fault.column));
        (one.end_line, one.end_column) = (fault.end.map(|end| end.0), fault.end.map(|end| end.1));
        one.targets = super::Platform::ALL.to_vec();
        report.diagnostics.push(one);
    }
    if let Some(first) = prepared.faults.first() {
        let is_own = first.file == name;
        let message = if is_own {
            first.message.clone()
        } else {
            format!("{} (in {}:{}:{})", first.message, first.file, first.line, first.column)
        };
        let place = is_own.then_some((first.line, first.column));
        report.parse = Outcome::Fail {
            message,
            line: place.map(|place| place.0),
            column: place.map(|place| place.1),
        };
    }
    report.form = prepared.form;
    report
}

/// The overrides that a shader declares, of those given for all shaders.
fn declared(wgsl: &str, overrides: &[(String, f64)]) -> Vec<(String, f64)> {
    if overrides.is_empty() {
        return Vec::new();
    }
    let is_declared = |name: &str| {
        let by_number = name.bytes().all(|byte| byte.is_ascii_digit());
        if by_number {
            return wgsl.replace(' ', "").contains(&format!("@id({name})"));
        }
        wgsl.match_indices("override").any(|(at, word)| {
            let rest = wgsl[at + word.len()..].trim_start();
            rest.strip_prefix(name)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    };
    let mut last: Vec<(String, f64)> = Vec::new();
    for (name, value) in overrides.iter().filter(|(name, _)| is_declared(name)) {
        last.retain(|(own, _)| own != name);
        last.push((name.clone(), *value));
    }
    last
}

/// Places of a linked shader become those of files, and its names those that the files have.
fn relocate(report: &mut ShaderReport, prepared: &Prepared, wgsl: &str) {
    let Some(map) = &prepared.map else { return };
    let name = report.name.clone();
    let at = |line: Option<u32>, column: Option<u32>| {
        forms::offset_of(wgsl, line?, column.unwrap_or(1)).and_then(|offset| map.place(offset))
    };
    let own = |message: &str| map.own_names(message);
    for outcome in report.outcomes_mut() {
        if let Outcome::Fail { message, line, column } | Outcome::Warn { message, line, column } =
            outcome
        {
            *message = own(message);
            let place = at(*line, *column);
            (*line, *column) = (None, None);
            match place {
                Some((file, new_line, new_column)) if map.path(file) == name => {
                    (*line, *column) = (Some(new_line), Some(new_column));
                }
                Some((file, new_line, new_column)) => {
                    message.push_str(&format!(" (in {}:{new_line}:{new_column})", map.path(file)));
                }
                None => {}
            }
        }
        if let Outcome::Skipped { reason } = outcome {
            *reason = own(reason);
        }
    }
    for one in &mut report.diagnostics {
        one.message = own(&one.message);
        let start = match one.span.as_ref() {
            Some(span) => map.place(span.start),
            None => at(one.line, one.column),
        };
        let end = match one.span.as_ref() {
            Some(span) if span.end > span.start => map.place(span.end - 1),
            _ => at(one.end_line, one.end_column.map(|column| column.saturating_sub(1).max(1))),
        };
        (one.line, one.column, one.end_line, one.end_column) = (None, None, None, None);
        if let Some((file, line, column)) = start {
            one.file = map.path(file);
            (one.line, one.column) = (Some(line), Some(column));
            if let Some((_, end_line, end_column)) =
                end.filter(|end| end.0 == file && (end.1, end.2) >= (line, column))
            {
                (one.end_line, one.end_column) = (Some(end_line), Some(end_column + 1));
            }
        }
    }
}

/// Whether the first error of a report is a name that is missing or declared twice, and that the
/// files declare under a condition; or what is left of a declaration when conditions empty it.
/// Further errors may follow from it.
fn lacks_conditional_name(report: &ShaderReport, prepared: &Prepared) -> bool {
    let is_excused = |one: &Diagnostic| {
        let message = one.message.as_str();
        let is_emptied = ["at least one member", "declared return type", "does not return"]
            .iter()
            .any(|words| message.contains(words));
        if is_emptied {
            return match (one.line, one.column) {
                (Some(line), Some(column)) => prepared.has_conditions(&one.file, line, column),
                _ => names_in(message).any(|name| prepared.is_conditional(name)),
            };
        }
        is_about_names(message) && names_in(message).any(|name| prepared.is_conditional(name))
    };
    let first = report.diagnostics.iter().find(|one| one.severity == Severity::Error);
    first.is_some_and(is_excused)
}

/// Whether a message is about a name that is not known, or known twice.
fn is_about_names(message: &str) -> bool {
    let words = [
        "no definition",
        "not declared",
        "unknown",
        "redefin",
        "redeclar",
        "twice",
        "no declaration",
        "invalid field",
        "invalid accessor",
        "no member",
        "has no field",
        "no field",
        "conflict",
        "duplicate",
        "already",
        "undeclared",
    ];
    words.iter().any(|word| message.contains(word))
}

/// The names in a message: in quotes, or its first word.
fn names_in(message: &str) -> impl Iterator<Item = &str> {
    let is_name = |part: &&str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let first = message.split(' ').next().filter(|_| message.contains(" is "));
    first.into_iter().chain(message.split(['`', '\'', '"']).skip(1).step_by(2)).filter(is_name)
}

/// One report of all specialisations.
fn merged(name: &str, variants: Vec<Variant>, is_named: bool, is_complete: bool) -> ShaderReport {
    // A combination that lacks a name is excused if everything that it defines is part of one that
    // passes.
    let passing: Vec<Values> = variants
        .iter()
        .filter(|one| one.report.as_ref().is_some_and(|report| !report.failed()))
        .map(|one| one.added.clone())
        .collect();
    let is_covered = |added: &Values| {
        // Some of many definitions exclude each other; each alone is checked too.
        let is_mixture = !is_complete && added.len() > 1;
        !passing.is_empty()
            && (is_mixture
                || added.iter().all(|(name, value)| {
                    passing.iter().any(|other| other.get(name) == Some(value))
                }))
    };
    let is_single = variants.len() < 2;
    let mut specialisations = Vec::new();
    let mut all: Option<ShaderReport> = None;
    let mut last_resort: Option<ShaderReport> = None;
    for Variant { added, report, is_unmeant, .. } in variants {
        let shown = forms::name_of(&added);
        let Some(report) = report else {
            continue;
        };
        let outcome = if !report.failed() {
            SpecialisationOutcome::Passed
        } else if is_unmeant && !is_named && is_covered(&added) {
            SpecialisationOutcome::NotMeant
        } else {
            SpecialisationOutcome::Failed
        };
        specialisations.push(Specialisation { name: shown.clone(), outcome });
        if outcome == SpecialisationOutcome::NotMeant {
            last_resort.get_or_insert(report);
            continue;
        }
        match &mut all {
            None => {
                let mut report = report;
                if !shown.is_empty() {
                    report.say_with(&shown);
                }
                all = Some(report);
            }
            Some(all) => all.merge(report, &shown),
        }
    }
    let mut report = all
        .or(last_resort)
        .unwrap_or_else(|| ShaderReport::unparsed(name, true, Outcome::fail("not checked")));
    if !is_single {
        report.specialisations = specialisations;
    }
    report
}

/// A file that others include as text, and that fails because it lacks what they declare, is
/// checked as a part of them.
fn excuse_fragments(jobs: &[Job], reports: &mut [ShaderReport], included: &[BTreeSet<PathBuf>]) {
    let mut includers: HashMap<PathBuf, Vec<usize>> = HashMap::new();
    for (index, files) in included.iter().enumerate() {
        for file in files {
            includers.entry(forms::normal(file)).or_default().push(index);
        }
    }
    for index in 0..jobs.len() {
        let report = &reports[index];
        let is_fragment =
            report.failed() && report.entry_points.is_empty() && report.parse.is_fail();
        let Some(users) = includers.get(&forms::normal(&jobs[index].path)) else { continue };
        let passes = users.iter().find(|&&user| user != index && !reports[user].failed());
        if let Some(&user) = passes.filter(|_| is_fragment) {
            let including = reports[user].name.clone();
            let form = report.form;
            let mut passed = ShaderReport::unparsed(&report.name, true, Outcome::Pass);
            for outcome in passed.outcomes_mut() {
                *outcome = Outcome::skipped("a part of other files, checked with them");
            }
            passed.form = form;
            let message = format!("a part of other files, checked with them: {including}");
            let note = located_note(&passed.name, "fragment", message);
            passed.diagnostics.push(note);
            reports[index] = passed;
        }
    }
}

fn deny_warnings(report: &mut ShaderReport) {
    for one in &mut report.diagnostics {
        if one.severity == Severity::Warning {
            one.severity = Severity::Error;
        }
    }
    for outcome in report.outcomes_mut() {
        if let Outcome::Warn { message, line, column } = outcome {
            *outcome = Outcome::Fail { message: message.clone(), line: *line, column: *column };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::forms::Form;

    /// The report of a file of a folder with `files`, the last of which is checked.
    fn checked(files: &[(&str, &str)], options: &FileOptions) -> ShaderReport {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        let (last, _) = files.last().expect("a file");
        let all = check_files(&[folder.path().into()], options, &CheckOptions::default());
        let mut reports = all.expect("checked").reports;
        let place = reports.iter().position(|report| report.name.ends_with(*last));
        reports.swap_remove(place.expect("reported"))
    }

    fn thorough() -> FileOptions {
        FileOptions { is_thorough: true, is_assuming: true, ..FileOptions::default() }
    }

    const ENTRY: &str = "@compute @workgroup_size(1) fn main() { _ = f(); }\n";

    #[test]
    fn every_form_is_linked_and_named() {
        let f = "fn f() -> u32 { return 1u; }\n";
        let oil = format!("#define_import_path lib::math\n{f}");
        let oil = oil.as_str();
        let import = |text: &str| format!("{text}\n{ENTRY}");
        for (form, other, text) in [
            (
                Form::Wesl,
                ("my-lib/lib-math.wesl", f),
                import("import package::my_lib::lib_math::f;"),
            ),
            (Form::Wesl, ("p.wesl", f), import("import super::p as q;").replace("f()", "q::f()")),
            (Form::NagaOil, ("p.wgsl", oil), import("#import lib::math::f")),
            (
                Form::NagaOil,
                ("p.wgsl", oil),
                import("#import lib::math").replace("f()", "math::f()"),
            ),
            (Form::Vello, ("shared/p.wgsl", f), import("#import p")),
            (Form::Rerun, ("p.wgsl", f), import("#import <./p.wgsl>")),
            (Form::Include, ("p.wgsl", f), import("#include \"p.wgsl\"")),
            (Form::Plain, ("p.wgsl", f), format!("/* a::b */ {f}{ENTRY}")),
        ] {
            let report = checked(&[other, ("root.wgsl", &text)], &FileOptions::default());
            assert!(!report.failed(), "{form:?}: {report:?}");
            assert_eq!((report.form, report.entry_points.len()), (form, 1), "{text}");
        }
    }

    #[test]
    fn faults_have_the_place_and_the_names_of_their_file() {
        let wrong = "\nfn f() -> u32 {\n    return 1.5f;\n}\n";
        let root = format!("import package::p::f;\n{ENTRY}");
        let report = checked(&[("p.wesl", wrong), ("root.wesl", &root)], &FileOptions::default());
        let first = &report.diagnostics[0];
        assert!(first.file.ends_with("p.wesl") && report.failed(), "{report:?}");
        assert!(first.line.is_some_and(|line| (2..=4).contains(&line)), "{first:?}");
        assert!(!first.message.contains("f_m"), "{first:?}");
    }

    #[test]
    fn code_behind_conditions_is_checked_and_what_is_not_meant_is_excused() {
        let wrong = "@if(FAST) const a: u32 = 1.5;\n@if(SLOW) const b = 1;\n";
        let report = checked(&[("a.wesl", wrong)], &thorough());
        assert!(report.failed() && report.specialisations.len() == 4, "{report:?}");
        assert!(!checked(&[("a.wesl", wrong)], &FileOptions::default()).failed());
        // B alone lacks what A declares.
        let needs = "@if(A) const a = 1u;\n@if(B) const b = a;\n@if(C) const a = 2u;\n";
        let report = checked(&[("a.wesl", needs)], &thorough());
        assert!(!report.failed(), "{report:?}");
    }

    #[test]
    fn templates_preludes_and_fragments() {
        let template = format!("const n = {{{{ n }}}}u;\nfn f() -> u32 {{ return n; }}\n{ENTRY}");
        let report = checked(&[("t.wgsl", &template)], &FileOptions::default());
        assert!(report.diagnostics[0].message.starts_with("a template: give values"), "{report:?}");
        let definitions = Values::from([("n".into(), "3".into())]);
        let given = FileOptions { definitions, ..FileOptions::default() };
        assert!(!checked(&[("t.wgsl", &template)], &given).failed());
        // The part uses what its only includer declares.
        let root = format!("const n = 1u;\n#include \"p.wgsl\"\n{ENTRY}");
        let part = "fn f() -> u32 { return n; }\n";
        let report = checked(&[("root.wgsl", &root), ("p.wgsl", part)], &FileOptions::default());
        assert!(!report.failed(), "{report:?}");
    }

    #[test]
    fn hostile_forms_end() {
        let deep = format!("@if({}A{}) const a = 1;", "(".repeat(5_000), ")".repeat(5_000));
        let many: String = (0..2_000).map(|n| format!("@if(N{n}) const c{n} = 1;\n")).collect();
        let grows = "#define A B B\n#define B A A\nconst x = A;\n";
        for text in [
            "#include \"root.wgsl\"\n",
            "#import <./root.wgsl>\n",
            "#define_import_path a\n#import a\n",
            "import super::root::f; fn f() {}",
            "#ifdef A\n",
            "#import a::{b::{c",
            "@if(A) @else @elif",
            "fn f() { for (;;) { for (",
            deep.as_str(),
            many.as_str(),
            grows,
        ] {
            checked(&[("root.wgsl", text)], &thorough());
        }
    }
}
