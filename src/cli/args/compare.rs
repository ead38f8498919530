//! Arguments of `saliq compare`.

use std::path::PathBuf;

use clap::Args;

use super::{ModelInputArgs, explain::ExplainTarget, judge::JudgedMethodArgs};
use crate::judgement::Fill;

/// `saliq compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// The model that the others are compared with: a .safetensors file or a run folder
    #[arg(value_name = "REF")]
    pub reference: PathBuf,
    /// The models compared with it
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// Which explanations are judged.
    #[command(flatten)]
    pub method: JudgedMethodArgs,
    /// The class that is explained: label, predicted (of each model its own), or a class number
    #[arg(long, value_name = "CLASS", default_value = "label", help_heading = "Method")]
    pub target: ExplainTarget,
    /// What changed features become in deletion and insertion
    #[arg(
        long,
        value_enum,
        value_name = "FILL",
        default_value = "zero",
        help_heading = "Judgement"
    )]
    pub fill: Fill,
    /// Also the parameter randomisation check: the maps' rank correlation with themselves as layers
    /// are randomised
    #[arg(long, help_heading = "Judgement")]
    pub randomisation: bool,
    /// Also the earth mover's distance to the reference's maps: exact, and slow
    #[arg(long, help_heading = "Judgement")]
    pub earth_mover: bool,
    /// The first N images
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Data")]
    pub count: u32,
    /// Which images, and how to run the models.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Folder for compare.json, compare.csv, compare.png, compare.svg and maps.png
    #[arg(long, value_name = "DIR", default_value = "runs/compare")]
    pub out: PathBuf,
}
