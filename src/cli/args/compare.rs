//! Arguments of `saliq compare`.

use std::path::PathBuf;

use clap::Args;

use super::{ModelInputArgs, explain::ExplainTarget, judge::JudgedMethodArgs};
use crate::judgement::Fill;

/// `saliq compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Reference model that the others are compared with: a .safetensors file or a run folder
    #[arg(value_name = "REF")]
    pub reference: PathBuf,
    /// Models to compare with the reference: .safetensors files or run folders
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// The explanations to judge.
    #[command(flatten)]
    pub method: JudgedMethodArgs,
    /// Class to explain: label, predicted (each model's own prediction), or a class number
    #[arg(long, value_name = "CLASS", default_value = "label", help_heading = "Method")]
    pub target: ExplainTarget,
    /// Values that replace features in deletion and insertion
    #[arg(
        long,
        value_enum,
        value_name = "FILL",
        default_value = "zero",
        help_heading = "Judgement"
    )]
    pub fill: Fill,
    /// Also check parameter randomisation: the rank correlation of each model's maps with its maps
    /// after layers are randomised
    #[arg(long, help_heading = "Judgement")]
    pub randomisation: bool,
    /// Also compute the exact earth mover's distance to the reference's maps; slow
    #[arg(long, help_heading = "Judgement")]
    pub earth_mover: bool,
    /// Folder of masks, with a picture for each image at the same path (cat/001.png for
    /// cat/001.jpg): black is outside; adds pointing game, relevance mass, rank and overlap
    #[arg(long, value_name = "DIR", help_heading = "Judgement")]
    pub masks: Option<PathBuf>,
    /// Use the first N images
    #[arg(
        long,
        value_name = "N",
        default_value = "200",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        help_heading = "Data"
    )]
    pub count: u32,
    /// The images, and how to run the models.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Folder for compare.json, compare.csv, compare.png, compare.svg and maps.png
    #[arg(long, value_name = "DIR", default_value = "runs/compare")]
    pub out: PathBuf,
}
