//! Arguments of `saliq check` and of `saliq-check`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::requirements::RequirementArgs;

/// The format of the report of `check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A table.
    Table,
    /// Annotations that GitHub shows next to the code.
    Github,
    /// JSON, as with `--json`.
    Json,
}

/// `saliq check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// WGSL files, and folders with such files [default: saliq's own shaders]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Format of the report: table, github or json
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: CheckFormat,
    /// Also write the shaders as SPIR-V into this folder, for other validators
    #[arg(long, value_name = "DIR")]
    pub spirv: Option<PathBuf>,
    /// Targets, features and limits.
    #[command(flatten)]
    pub requirements: RequirementArgs,
}
