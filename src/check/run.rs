//! The command: flags, checking, the report, and the exit code.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    args::{CheckArgs, CheckFormat},
    config::{CONFIG_FILE, Config, Flags},
    diagnostic::Platform,
    files::{check_files, write_spirv_of_paths},
    find::{LeftOut, jobs_of},
    options::CheckOptions,
    render::{render_github, to_json, verdict},
    report::ShaderReport,
    requirements::RequirementArgs,
    sarif::{render_junit, render_sarif},
    text::render_text,
};
use crate::{Error, Result};

/// How often watched files are looked at.
const PERIOD: Duration = Duration::from_millis(400);

/// Checks the user's files and gives the report to `print`.
///
/// # Errors
/// [`Error::CheckFailed`] (exit code 1) with the shaders that failed; [`Error::Usage`] (2) if the
/// check could not run; what `print` returns.
pub fn run_files(
    args: &CheckArgs,
    is_json: bool,
    mut print: impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    let format = if is_json { CheckFormat::Json } else { args.format };
    let files = args.file_options()?;
    let options = with_config(&args.requirements, &files.config.flags)?.options()?;
    loop {
        let seen = args.files.watch.then(|| times(&args.paths));
        let verdict = once(args, format, &files, &options, &mut print);
        let Some(seen) = seen else { return verdict };
        if let Err(error) = verdict {
            print(&format!("error: {error}"))?;
        }
        while times(&args.paths) == seen {
            std::thread::sleep(PERIOD);
        }
    }
}

/// The requirements of the command line, and those of the configuration where it has none.
fn with_config(args: &RequirementArgs, flags: &Flags) -> Result<RequirementArgs> {
    let mut own = args.clone();
    if own.targets.is_empty() {
        let target = |name: &String| {
            Platform::ALL
                .into_iter()
                .find(|one| one.name() == name)
                .ok_or_else(|| Error::Usage(format!("{CONFIG_FILE}: there is no target {name}")))
        };
        own.targets = flags.targets.iter().map(target).collect::<Result<_>>()?;
    }
    if own.limits.is_empty() {
        own.limits.clone_from(&flags.limits);
    }
    own.features = own.features.or_else(|| flags.features.clone());
    own.allow_needs = own.allow_needs.or_else(|| flags.allow_needs.clone());
    Ok(own)
}

fn once(
    args: &CheckArgs,
    format: CheckFormat,
    files: &super::FileOptions,
    options: &CheckOptions,
    print: &mut impl FnMut(&str) -> Result<()>,
) -> Result<()> {
    // What keeps the check from running is no verdict on a shader.
    let not_run = |error: Error| match error {
        Error::Io { .. } => Error::Usage(error.to_string()),
        other => other,
    };
    let checked = check_files(&args.paths, files, options).map_err(not_run)?;
    if let Some(folder) = &args.spirv {
        write_spirv_of_paths(&args.paths, folder).map_err(not_run)?;
    }
    if let Some(file) = &args.files.write_baseline {
        Config::write_baseline(&checked.reports, file).map_err(not_run)?;
    }
    print(render(&checked.reports, &checked.texts, format).trim_end())?;
    verdict(&checked.reports)
}

/// When the files were changed last.
fn times(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<SystemTime>> {
    let jobs = jobs_of(paths, &LeftOut::default()).unwrap_or_default();
    let time = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    jobs.into_iter()
        .map(|job| {
            let time = time(&job.path);
            (job.path, time)
        })
        .collect()
}

/// The reports in `format`, with excerpts of `texts` by the names of files.
pub fn render(
    reports: &[ShaderReport],
    texts: &HashMap<String, String>,
    format: CheckFormat,
) -> String {
    match format {
        CheckFormat::Json => to_json(reports).to_string(),
        CheckFormat::Github => render_github(reports).trim_end().into(),
        CheckFormat::Text => render_text(reports, texts),
        CheckFormat::Sarif => render_sarif(reports),
        CheckFormat::Junit => render_junit(reports),
    }
}
