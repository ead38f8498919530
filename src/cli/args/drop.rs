//! Arguments of `saliq drop`.

use std::path::PathBuf;

use clap::Args;

use super::{ModelInputArgs, explain::ExplainTarget, judge::JudgedMethodArgs};
use crate::judgement::Fill;

/// `saliq drop`.
#[derive(Clone, Debug, Args)]
pub struct DropArgs {
    /// Models: .safetensors files (of saliq or PyTorch) or run folders; those trained alike but for
    /// the seed share a line
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Which explanations are judged; `random` is always among them.
    #[command(flatten)]
    pub method: JudgedMethodArgs,
    /// The class that is explained: label, predicted, or a class number
    #[arg(long, value_name = "CLASS", default_value = "predicted", help_heading = "Method")]
    pub target: ExplainTarget,
    /// What removed features become
    #[arg(long, value_enum, value_name = "FILL", default_value_t, help_heading = "Removal")]
    pub fill: Fill,
    /// Percent of the features removed from one point of the curve to the next, up to 90
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=90), help_heading = "Removal")]
    pub step: u32,
    /// ROAR: also train a network anew at every point, without the features, and test that
    #[arg(long, help_heading = "Removal")]
    pub roar: bool,
    /// Epochs of each of ROAR's trainings [default: the model's own]
    #[arg(long, value_name = "N", requires = "roar", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "Removal")]
    pub epochs: Option<u32>,
    /// The first N images
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Data")]
    pub count: u32,
    /// Which images, and how to run the models.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Folder for drop.json, drop.csv, drop.png and drop.svg
    #[arg(long, value_name = "DIR", default_value = "runs/drop")]
    pub out: PathBuf,
}
