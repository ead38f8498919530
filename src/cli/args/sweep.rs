//! Arguments of `saliq sweep`, `saliq runs` and `saliq watch`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::study::shard::Shard;

/// `saliq sweep`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
A file of a sweep has settings of `saliq train`, and a table [sweep] with keys that are varied:
lists are crossed, ranges stand for lists. [[exclude]] leaves out combinations, [[include]] adds
some:

  dataset = \"mnist-mini\"
  epochs = 3
  [sweep]
  bits = [\"32\", \"4,2\"]
  lr = { from = 1e-2, to = 1e-1, steps = 3, scale = \"log\" }
  seed = [0, 1, 2]
  [[exclude]]
  bits = \"32\"
  lr = 0.01

Every run has a folder, named by its values. Finished runs are not repeated, stopped ones go on: the
same command continues a sweep, also after lines were added to the file. The folder has sweep.json,
sweep.csv, sweep.md, and a figure of --metric for every key.

Parts: the runs are dealt by their work, so that all parts take about the same time. In an array job
of Slurm (SLURM_ARRAY_TASK_ID, _COUNT, _MIN, _STEP) or Kubernetes (JOB_COMPLETION_INDEX,
JOB_COMPLETIONS), the index of the job selects the part, and a message says so. --shard takes
precedence, and --shard none makes all runs.

Examples:
  saliq sweep grid.toml --out runs/grid --plan
  saliq sweep grid.toml --out runs/grid
  saliq sweep grid.toml --out /shared/grid --shard 2/4
  saliq sweep grid.toml --out /shared/grid --sbatch 8 > grid.sbatch
  saliq runs runs/grid --best")]
pub struct SweepArgs {
    /// TOML file with the settings and their lists
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder for the runs, tables and figures
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Print the runs with an estimate of their time on this adapter, and exit
    #[arg(long)]
    pub plan: bool,
    /// Make only this part, such as 2/4; `none` makes all runs [default: the part given by the
    /// array variables of Slurm or Kubernetes, else all]
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Print a script for Slurm's sbatch that makes the sweep in N parts, and exit
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sbatch: Option<u32>,
    /// The figure that is drawn against every key
    #[arg(long, value_name = "NAME", default_value = "test_accuracy")]
    pub metric: String,
}

/// The form of a table on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For a terminal.
    Text,
    /// Comma-separated values.
    Csv,
    /// A Markdown table.
    Markdown,
}

/// `saliq runs`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The figures are those of the last epoch in metrics.jsonl: test_accuracy, test_loss,
best_test_accuracy, train_loss, train_accuracy, validation_accuracy, seconds, …

Examples:
  saliq runs runs                                  what was trained, with which settings
  saliq runs runs/grid --best                      the run with the highest test_accuracy
  saliq runs runs/grid --best test_loss
  saliq runs runs/grid --format csv > runs.csv
  saliq runs runs/grid --plot test_loss --by lr --figure loss.svg")]
pub struct RunsArgs {
    /// Folder that is looked into
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Only the best run by a figure [default: test_accuracy]
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "test_accuracy")]
    pub best: Option<String>,
    /// Order by a figure, the best first [default: by folder]
    #[arg(long, value_name = "NAME")]
    pub sort: Option<String>,
    /// Show these settings [default: those in which the runs differ]
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub keys: Vec<String>,
    /// Form of the table
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: TableFormat,
    /// Draw a figure
    #[arg(long, value_name = "NAME", requires = "by")]
    pub plot: Option<String>,
    /// The setting on the horizontal axis
    #[arg(long, value_name = "KEY", requires = "plot")]
    pub by: Option<String>,
    /// File for the figure: SVG, or PNG by its ending [default: NAME-by-KEY.svg in DIR]
    #[arg(long, value_name = "FILE", requires = "plot")]
    pub figure: Option<PathBuf>,
}

/// `saliq watch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
It reads metrics.jsonl and newest-maps.safetensors in the run's folder, which `saliq train` writes
while it runs: on another machine, over ssh or a shared disk. The maps are there with
--snapshot-every or --log tensorboard. It ends with the run.

Examples:
  saliq watch runs/first
  saliq watch runs/first --once
  ssh machine saliq watch runs/first --once --color always
  saliq watch runs/first --json")]
pub struct WatchArgs {
    /// The run folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Print once and exit; the default where standard output is no terminal
    #[arg(long)]
    pub once: bool,
    /// Seconds between two views
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub every: u64,
}
