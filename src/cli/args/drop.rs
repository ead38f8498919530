//! Arguments of `saliq drop`.

use std::path::PathBuf;

use clap::Args;

use super::{ModelInputArgs, explain::ExplainTarget, judge::JudgedMethodArgs};
use crate::judgement::Fill;

/// `saliq drop`.
#[derive(Clone, Debug, Args)]
pub struct DropArgs {
    /// Models: .safetensors files (of saliq or PyTorch), ONNX files or run folders; models that
    /// differ only in their seed share one curve
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// The explanations to judge; `random` is always included.
    #[command(flatten)]
    pub method: JudgedMethodArgs,
    /// Class to explain: label, predicted, or a class number
    #[arg(long, value_name = "CLASS", default_value = "predicted", help_heading = "Method")]
    pub target: ExplainTarget,
    /// Values that replace removed features
    #[arg(long, value_enum, value_name = "FILL", default_value_t, help_heading = "Removal")]
    pub fill: Fill,
    /// Percent of the features removed between two points of the curve, 1 to 90; the curve ends at
    /// 90 or before
    #[arg(
        long,
        value_name = "PERCENT",
        default_value = "10",
        value_parser = clap::value_parser!(u32).range(1..=90),
        help_heading = "Removal"
    )]
    pub step: u32,
    /// Also run ROAR: at every point, train a new network on images without the removed features,
    /// and test it
    #[arg(long, help_heading = "Removal")]
    pub roar: bool,
    /// Epochs of each training run of ROAR [default: the model's own]
    #[arg(
        long,
        value_name = "N",
        requires = "roar",
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        help_heading = "Removal"
    )]
    pub epochs: Option<u32>,
    /// Use the first N images
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "Data"
    )]
    pub count: u32,
    /// The images, and how to run the models.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Folder for drop.json, drop.csv, drop.png and drop.svg
    #[arg(long, value_name = "DIR", default_value = "runs/drop")]
    pub out: PathBuf,
}
