//! Arguments of `saliq data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{ColorMode, ImageSize, ReadOptions, real};

/// `saliq data`.
#[derive(Clone, Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct DataArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: DataCommand,
}

/// The commands of `saliq data`.
#[derive(Clone, Debug, Subcommand)]
pub enum DataCommand {
    /// List the data sets that are available, and where they were found
    List(ListArgs),
    /// Download data sets; an interrupted download is resumed, and checksums are verified
    Fetch(FetchArgs),
    /// Print what is read of a data set: shape, classes with counts, mean and deviation, files that
    /// were left out and why, and what is odd
    Info(InfoArgs),
    /// Write a data set as one .safetensors file, which every command reads at once
    Convert(ConvertArgs),
}

/// `saliq data list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Folder in which data sets are looked up first [default: SALIQ_DATA_DIR, the cache folder,
    /// /usr/share/datasets]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// `saliq data fetch`.
#[derive(Clone, Debug, Args)]
pub struct FetchArgs {
    /// Names of data sets, such as mnist or fashion-mnist (see `saliq data list`)
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Folder in which to store them [default: SALIQ_DATA_DIR, else the cache folder]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// The data set that a model is run on.
#[derive(Clone, Debug, Args)]
pub struct DatasetArgs {
    /// Data set: mnist, fashion-mnist, mnist-mini, fashion-mini, or a folder [default: the one that
    /// the model was trained on]
    #[arg(long, value_name = "NAME|DIR", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Folder in which named data sets are looked up first [default: SALIQ_DATA_DIR, the cache
    /// folder, /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
}

/// How the images of a data set are read.
#[derive(Clone, Debug, Default, Args)]
pub struct ReadArgs {
    /// Size of the images: the shorter side is resized, the centre is cut out; required where
    /// pictures differ in size [default: as they are]
    #[arg(long, value_name = "H,W", help_heading = "Data")]
    pub image_size: Option<ImageSize>,
    /// Share of each class that becomes the test set, for data without one
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Data")]
    pub test_share: Option<f64>,
    /// Exchange rows and columns of every image (EMNIST's files are transposed)
    #[arg(long, help_heading = "Data")]
    pub transpose: bool,
}

impl ReadArgs {
    /// The options, with `--color` and the seed of the choice of test images.
    pub fn options(&self, color: Option<ColorMode>, seed: u64) -> ReadOptions {
        ReadOptions {
            image_size: self.image_size,
            color,
            test_share: self.test_share.map(|share| share as f32),
            seed: if self.test_share.is_some() { seed } else { 0 },
            transpose: self.transpose,
        }
    }
}

/// A share above 0 and below 1.
fn share(text: &str) -> Result<f64, String> {
    let share = real(text)?;
    if share as f32 > 0.0 && (share as f32) < 1.0 {
        Ok(share)
    } else {
        Err("must be above 0 and below 1".into())
    }
}

/// The data set of `saliq data info` and `saliq data convert`.
#[derive(Clone, Debug, Args)]
pub struct SourceArgs {
    /// Data set: a name, a folder or a file
    #[arg(value_name = "DATASET")]
    pub dataset: String,
    /// Folder in which named data sets are looked up first [default: SALIQ_DATA_DIR, the cache
    /// folder, /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// How the images are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Seed of the choice of test images
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64),
        help_heading = "Data"
    )]
    pub seed: u64,
}

/// `saliq data info`.
#[derive(Clone, Debug, Args)]
pub struct InfoArgs {
    /// The data set, and how it is read.
    #[command(flatten)]
    pub source: SourceArgs,
}

/// `saliq data convert`.
#[derive(Clone, Debug, Args)]
pub struct ConvertArgs {
    /// The data set, and how it is read.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The .safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}
