//! Arguments of `saliq check` and of `saliq-check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{
    config::{CONFIG_FILE, Config},
    files::FileOptions,
    requirements::RequirementArgs,
};
use crate::{Error, Result};

/// The format of the report of `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Findings with excerpts of the code, and a table.
    #[value(alias = "table")]
    Text,
    /// Annotations that GitHub shows next to the code.
    Github,
    /// JSON, as with `--json`.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// `JUnit`'s XML, for reports of tests.
    Junit,
}

/// `saliq check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// WGSL files, folders with such files, patterns, and - for standard input [default: saliq's
    /// own shaders]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Format of the report: text, json, github, sarif or junit
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: CheckFormat,
    /// Also write the shaders as SPIR-V into this folder, for other validators
    #[arg(long, value_name = "DIR")]
    pub spirv: Option<PathBuf>,
    /// Targets, features and limits.
    #[command(flatten)]
    pub requirements: RequirementArgs,
    #[command(flatten)]
    pub(super) files: FileArgs,
}

/// What files are checked with.
#[derive(Clone, Debug, Args)]
pub(super) struct FileArgs {
    /// Define a name of conditions, or the value of a #{NAME} or of a marker of a template
    #[arg(short = 'D', long = "define", value_name = "NAME[=VALUE]", value_delimiter = ',')]
    define: Vec<String>,
    /// Value of a constant of the module `constants`, which the host gives
    #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',')]
    constant: Vec<String>,
    /// Value of a pipeline-overridable constant, by name or @id
    #[arg(long = "override", value_name = "NAME=VALUE", value_delimiter = ',')]
    overrides: Vec<String>,
    /// Put this file in front of those that use what it declares
    #[arg(long, value_name = "FILE")]
    prelude: Vec<PathBuf>,
    /// Folder of a package that shaders import; without a name a folder that holds packages
    #[arg(long, value_name = "[NAME=]DIR")]
    package: Vec<String>,
    /// Let warnings fail a shader: warnings
    #[arg(long, value_name = "WHAT", value_parser = ["warnings"])]
    deny: Option<String>,
    /// Configuration [default: saliq-check.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the conditions given alone, not every combination of conditions
    #[arg(long)]
    only_given: bool,
    /// Write the errors found to a file, which the configuration can name as `baseline`
    #[arg(long, value_name = "FILE")]
    pub(super) write_baseline: Option<PathBuf>,
    /// Check again whenever a file changes
    #[arg(long)]
    pub(super) watch: bool,
}

impl CheckArgs {
    /// What files are checked with, from flags and configuration.
    ///
    /// # Errors
    /// [`Error::Usage`] for a value that cannot be read, or a configuration.
    pub fn file_options(&self) -> Result<FileOptions> {
        let own = &self.files;
        let config = match &own.config {
            Some(file) => Config::read(file)?,
            None if std::path::Path::new(CONFIG_FILE).is_file() => {
                Config::read(std::path::Path::new(CONFIG_FILE))?
            }
            None => Config::default(),
        };
        let pair = |flag: &str, text: &String| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(Error::Usage(format!("{flag} {text}: it takes NAME=VALUE"))),
        };
        let definition = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        };
        let number = |text: &String| {
            let (name, value) = pair("override", text)?;
            let value = match value.as_str() {
                "true" => 1.0,
                "false" => 0.0,
                other => other.trim_end_matches(['u', 'i', 'f']).parse().map_err(|_| {
                    Error::Usage(format!("override {text}: the value is a number or a boolean"))
                })?,
            };
            Ok((name, value))
        };
        let folder = |text: &String| {
            // A folder alone holds packages that are found by their own names.
            let (name, folder) = match text.split_once('=') {
                Some(_) => pair("package", text)?,
                None => (String::new(), text.clone()),
            };
            let folder = PathBuf::from(folder);
            if !folder.is_dir() {
                return Err(Error::Usage(format!("package {text}: no such folder")));
            }
            Ok((name, folder))
        };
        let mut constants = config.constants.clone();
        for text in &own.constant {
            let (name, value) = pair("constant", text)?;
            constants.insert(name, value);
        }
        Ok(FileOptions {
            definitions: own.define.iter().map(definition).collect(),
            constants,
            overrides: own.overrides.iter().map(number).collect::<Result<_>>()?,
            preludes: own.prelude.clone(),
            packages: own.package.iter().map(folder).collect::<Result<_>>()?,
            is_thorough: !own.only_given,
            is_assuming: true,
            deny_warnings: own.deny.is_some() || config.flags.deny_warnings,
            config,
        })
    }
}
