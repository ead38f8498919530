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
/// Shares of the peak are relative to the best product and copy that were measured in the same run.
/// Those measurements vary, so that a share may exceed 1. In the JSON, what is not counted for a
/// kernel is null.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// Images a step
    #[arg(long, value_name = "N", default_value = "256", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch_size: u32,
    /// Steps that are timed, after a warm-up; the median counts
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub steps: u32,
    /// Storage of activations and their gradients, as of `saliq train`
    #[arg(
        long,
        value_enum,
        value_name = "f32|f16",
        default_value = "f32",
        hide_possible_values = true,
        conflicts_with = "sweep"
    )]
    pub precision: Precision,
    /// Time other tile sizes of the GPU's matrix products instead, and keep the fastest in a file
    /// that later runs use
    ///
    /// Tiles with which results are not the usual ones are rejected. The file lies in the cache
    /// folder, a file an adapter and driver; `saliq devices --tuning` shows it, and `--tiles table`
    /// or deleting it goes back to the built-in table.
    #[arg(long, conflicts_with_all = ["compare", "steps", "sweep"])]
    pub autotune: bool,
    /// An earlier `bench --json` output to compare with
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    pub compare: Option<PathBuf>,
    /// Show instead how the step's time grows with the batch, the filters, or the pixels
    #[arg(long, value_enum, value_name = "WHAT")]
    pub sweep: Option<SweepArg>,
    /// Time inference instead: this model in floats, fake-quantized and on integers, by batch size
    /// up to --batch-size
    #[arg(long, value_name = "MODEL", conflicts_with_all = ["compare", "sweep", "autotune", "precision"])]
    pub inference: Option<PathBuf>,
    /// Also draw the sweep, as SVG
    #[arg(long, value_name = "FILE", requires = "sweep")]
    pub chart: Option<PathBuf>,
}
