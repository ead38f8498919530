//! Arguments of `saliq cost`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::NetworkArgs;
use crate::config::QuantizationOverrides;

/// How operations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accounting {
    /// What is executed.
    Executed,
    /// With the paper's own constants: its printed figures.
    Paper,
}

/// `saliq cost`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Everything is for one image. BitOPs are MACs × bits of the weights × bits of the layer's input (8 for the image). The paper's measure
is Σ FLOPs × bits / 32 over the convolutions plus the unscaled fully connected layers.

Examples:
  saliq cost runs/4-2                            a trained model
  saliq cost runs/float --bits w4a8,w2a4         the same network at other widths
  saliq cost runs/float --bits 8 --all-layers    the fully connected layers too
  saliq cost network.toml --json                 a configuration, nothing trained yet
  saliq cost --bits 4,2 --accounting paper       3,122,816, as the paper prints it")]
pub struct CostArgs {
    /// Model or configuration: a run folder, a .safetensors file or a TOML file of `saliq train`
    /// [default: the network of Table I]
    #[arg(value_name = "MODEL|CONFIG")]
    pub subject: Option<PathBuf>,
    /// Count what is executed, or as the paper does
    #[arg(long, value_enum, default_value = "executed", value_name = "HOW")]
    pub accounting: Accounting,
    /// The network, of a file that does not say what it is, or in the place of the configuration's.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Bits and quantizers, over what the model or the configuration says.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
    /// Data set whose images a configuration, or a model that does not say, is for [default: the
    /// configuration's own]
    #[arg(long, value_name = "NAME|DIR", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Where named data sets are looked up first [default: SALIQ_DATA_DIR, the cache folder,
    /// /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
}
