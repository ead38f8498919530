//! Definitions of every command, flag and help text.

mod bench;
mod compare;
mod cost;
mod data;
mod drop;
mod eval;
mod explain;
mod export;
mod import;
mod judge;
mod networks;
mod quantize;
mod reproduce;
mod search;
mod shell;
mod sweep;
mod train;

use std::{io::IsTerminal, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::output::Output;
use crate::config::ColorMode;

pub use crate::check::{CheckArgs, CheckFormat};
pub use bench::BenchArgs;
pub use compare::CompareArgs;
pub use cost::{Accounting, CostArgs};
pub use data::{
    ConvertArgs, DataArgs, DataCommand, DatasetArgs, FetchArgs, InfoArgs, ListArgs, ReadArgs,
    SourceArgs,
};
pub use drop::DropArgs;
pub use eval::{Engine, EvalArgs, ModelInputArgs, NetworkArgs, Split};
pub use explain::{ExplainArgs, ExplainOutput, ExplainTarget, Indices};
pub use export::{ExportArgs, ExportFormat, ExportInput, ExportPixels, ExportRescale};
pub use import::ImportArgs;
pub use judge::JudgedMethodArgs;
pub use networks::NetworksArgs;
pub use quantize::{CalibrationRule, QuantizeArgs, QuantizerArgs};
pub use reproduce::{ReportArgs, ReproduceArgs};
pub use search::SearchArgs;
pub use shell::{CompletionsArgs, ManArgs};
pub use sweep::{RunsArgs, SweepArgs, TableFormat, WatchArgs};
pub use train::TrainArgs;

/// Saliency guided training and quantization of small CNNs, on any GPU.
#[derive(Debug, Parser)]
#[command(
    name = "saliq",
    version,
    propagate_version = false,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Start with `saliq demo`, or:
  saliq train --dataset mnist-mini --bits 4,2 --epochs 3 --out runs/first
  saliq eval runs/first
  saliq explain runs/first --method gradient --count 8
Without a GPU, a software Vulkan driver is enough; `saliq devices` lists what was found.")]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Adapter to run on: auto, its number, or a part of its name (see `saliq devices`)
    #[arg(
        long,
        global = true,
        env = "SALIQ_ADAPTER",
        default_value = "auto",
        value_name = "auto|INDEX|NAME",
        help_heading = "Global"
    )]
    pub adapter: String,
    /// Tile sizes: auto (those of `saliq bench --autotune` on this adapter, else the built-in
    /// table), table (the built-in table), or a file
    #[arg(
        long,
        global = true,
        env = "SALIQ_TILES",
        default_value = "auto",
        value_name = "auto|table|FILE",
        help_heading = "Global"
    )]
    pub tiles: String,
    /// Print results and errors only, without progress, notes and warnings
    #[arg(long, short, global = true, conflicts_with = "verbose", help_heading = "Global")]
    pub quiet: bool,
    /// Print more on standard error; give it twice to include messages of the graphics library
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Global")]
    pub verbose: u8,
    /// Print only the result, as JSON, on standard output; with --json=lines one object a line,
    /// those of a training while it goes on
    #[arg(
        long,
        global = true,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "document",
        value_name = "document|lines",
        hide_possible_values = true,
        help_heading = "Global"
    )]
    pub json: Option<JsonForm>,
    /// When to colour the output: auto (the default), always or never; or the channels that images
    /// from files are converted to: rgb or grey
    #[arg(
        long,
        global = true,
        value_enum,
        action = clap::ArgAction::Append,
        value_name = "WHEN|rgb|grey",
        help_heading = "Global"
    )]
    pub color: Vec<ColorWhen>,
}

impl GlobalArgs {
    /// The output that these arguments request.
    pub fn output(&self) -> Output {
        let when = self.color.iter().rev().find(|color| color.channels().is_none());
        let color = match when.copied().unwrap_or(ColorWhen::Auto) {
            ColorWhen::Rgb | ColorWhen::Grey => false,
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            // https://no-color.org: set and not empty means no colour.
            ColorWhen::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                std::io::stdout().is_terminal() && !refused && !dumb
            }
        };
        Output::new(self.json.is_some(), self.quiet, color)
            .in_lines(self.json == Some(JsonForm::Lines))
    }

    /// The channels that images are converted to, if given.
    pub fn image_color(&self) -> Option<ColorMode> {
        self.color.iter().rev().find_map(|color| color.channels())
    }
}

/// The form of JSON on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum JsonForm {
    /// One indented document.
    Document,
    /// An object a line.
    Lines,
}

/// When to colour the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
    /// Images of three channels.
    Rgb,
    /// Images of one channel.
    #[value(alias = "gray")]
    Grey,
}

impl ColorWhen {
    /// The channels of images, if it is about images.
    fn channels(self) -> Option<ColorMode> {
        match self {
            ColorWhen::Rgb => Some(ColorMode::Rgb),
            ColorWhen::Grey => Some(ColorMode::Grey),
            ColorWhen::Auto | ColorWhen::Always | ColorWhen::Never => None,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train four models on built-in images; write figures and a report
    ///
    /// The models are the float model and (4,4), (4,2), (2,2).
    Demo(DemoArgs),
    /// List the adapters, and say which one would be picked and why
    Devices(DevicesArgs),
    /// List or download data sets
    Data(DataArgs),
    /// List the networks known by name, or print one as a file
    Networks(NetworksArgs),
    /// Train a network
    Train(Box<TrainArgs>),
    /// Train many models from one file of lists and ranges
    Sweep(SweepArgs),
    /// List and compare runs
    Runs(RunsArgs),
    /// Watch a run: its figures, its loss as a curve, its newest maps
    Watch(WatchArgs),
    /// Quantize a trained float model without training
    ///
    /// The two are compared.
    Quantize(QuantizeArgs),
    /// Find bits of each layer that keep accuracy and explanations within a budget
    Search(Box<SearchArgs>),
    /// Measure accuracy, loss, confusion matrix, per-class figures
    Eval(EvalArgs),
    /// Show which pixels a model uses: attribution maps and grids
    Explain(ExplainArgs),
    /// Count what a model costs: operations, bits, bytes
    Cost(CostArgs),
    /// Write a model for use in other programs
    Export(ExportArgs),
    /// Read a model of another program and write it as one of our own
    ///
    /// Its layers are printed.
    Import(ImportArgs),
    /// Measure accuracy as features are removed, most salient first
    ///
    /// It tests whether a map names the features that the network uses.
    Drop(DropArgs),
    /// Compare the maps of models with those of a reference
    ///
    /// Alignment, stability, clarity and faithfulness are measured.
    Compare(CompareArgs),
    /// Train and judge all models of the paper, and write a report
    Reproduce(Box<ReproduceArgs>),
    /// Write the report of a study that several machines made
    Report(ReportArgs),
    /// Validate shaders without any GPU
    ///
    /// They are parsed, validated and translated to SPIR-V, MSL, HLSL and GLSL.
    Check(CheckArgs),
    /// Time the training step and its kernels
    Bench(BenchArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Write the man pages
    Man(ManArgs),
}

/// `saliq demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Folder for figures, models and report.html; the folder of an earlier demo is replaced
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    pub out: PathBuf,
    /// Replace the folder even if it is not an earlier demo's
    #[arg(long)]
    pub force: bool,
    /// Run a few steps only, to test that everything works together
    #[arg(long, hide = true)]
    pub tiny: bool,
}

/// `saliq devices`.
#[derive(Clone, Debug, Args)]
pub struct DevicesArgs {
    /// Show the measured tile sizes of the adapter that is picked
    #[arg(long)]
    pub tuning: bool,
}
