//! Arguments of `saliq bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{bench::Sweep, config::Precision};

/// What `--sweep` varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SweepArg {
    /// Six batch sizes up to --batch-size
    Batch,
    /// conv2 with 16 to 128 filters
    Filters,
    /// Square images of 16 to 40 pixels a side
    Pixels,
}

impl From<SweepArg> for Sweep {
    fn from(arg: SweepArg) -> Sweep {
        match arg {
            SweepArg::Batch => Sweep::Batch,
            SweepArg::Filters => Sweep::Filters,
            SweepArg::Pixels => Sweep::Pixels,
        }
    }
}

/// `saliq bench`: the float training step with saliency guidance, uniform fill, no dropout.
///
/// Shares of the peak are relative to the fastest matrix product and copy that were measured in the
/// same run. Those measurements vary, so that a share may exceed 1. In the JSON, a figure that is
/// not counted for a kernel is null.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Images per step
    #[arg(
        long,
        value_name = "N",
        default_value = "256",
        value_parser = clap::value_parser!(u32).range(1..=65536)
    )]
    pub batch_size: u32,
    /// Number of timed steps, after a warm-up; the figure is their median
    #[arg(
        long,
        value_name = "N",
        default_value = "20",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub steps: u32,
    /// Storage format of activations and their gradients, as in `saliq train`: f32 or f16
    #[arg(
        long,
        value_enum,
        value_name = "f32|f16",
        default_value = "f32",
        hide_possible_values = true,
        conflicts_with = "sweep"
    )]
    pub precision: Precision,
    /// Time several tile sizes of the GPU's matrix products instead, and store the fastest in a
    /// file that later runs use
    ///
    /// Tile sizes whose results differ from those of the built-in ones are rejected. The cache
    /// folder has one file per adapter and driver. `saliq devices --tuning` shows it. `--tiles
    /// table`, or deleting the file, selects the built-in table.
    #[arg(long, conflicts_with_all = ["compare", "steps", "sweep"])]
    pub autotune: bool,
    /// Compare with an earlier output of `bench --json` in this file
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    pub compare: Option<PathBuf>,
    /// Measure instead how the step's time grows with the batch size, the filters of conv2, or the
    /// pixels of an image
    #[arg(long, value_enum, value_name = "WHAT")]
    pub sweep: Option<SweepArg>,
    /// Time inference of this model instead: in floats, fake-quantized and on integers, for batch
    /// sizes up to --batch-size
    #[arg(
        long,
        value_name = "MODEL",
        conflicts_with_all = ["compare", "sweep", "autotune", "precision"]
    )]
    pub inference: Option<PathBuf>,
    /// Also draw the sweep into this SVG file
    #[arg(long, value_name = "FILE", requires = "sweep")]
    pub chart: Option<PathBuf>,
}
