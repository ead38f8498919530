//! Arguments of `saliq check` and `saliq bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::Precision;

/// How `check` reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// A table.
    Table,
    /// Annotations that GitHub shows beside the code.
    Github,
    /// JSON, as with `--json`.
    Json,
}

/// `saliq check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// WGSL files and folders with such files [default: saliq's own shaders]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to report
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: CheckFormat,
    /// Also write saliq's own shaders as SPIR-V into this folder, for other validators
    #[arg(long, value_name = "DIR")]
    pub spirv: Option<PathBuf>,
}

/// `saliq bench`: the float training step with saliency guidance, uniform fill, no dropout.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Images a step
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Steps that are timed, after a warm-up; the median counts
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub steps: u32,
    /// Storage of activations and their gradients, as of `saliq train`
    #[arg(long, value_enum, value_name = "f32|f16", default_value = "f32", hide_possible_values = true)]
    pub precision: Precision,
    /// Time other tile sizes of the GPU's matrix products instead, and keep the fastest in a file that later runs use
    ///
    /// Tiles with which results are not the usual ones are rejected. The file lies in the cache folder, a file an adapter and driver;
    /// `saliq devices --tuning` shows it, and `--tiles table` or deleting it goes back to the built-in table.
    #[arg(long, conflicts_with_all = ["compare", "steps"])]
    pub autotune: bool,
    /// An earlier `bench --json` output to compare with
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
}
