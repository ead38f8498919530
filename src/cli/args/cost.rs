//! Arguments of `saliq cost`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{NetworkArgs, data::ReadArgs};
use crate::config::QuantizationOverrides;

/// How operations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Accounting {
    /// The operations that saliq executes.
    Executed,
    /// The paper's constants, which give the figures printed in the paper.
    Paper,
}

/// `saliq cost`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
All figures are for one image. BitOPs are MACs × bits of the weights × bits of the layer's input (8
for the image). The paper's measure is Σ FLOPs × bits / 32 over the convolutions plus the unscaled
FLOPs of the fully connected layers. The memory of an inference has a byte for a pixel or a
quantized number and four for a float.

Examples:
  saliq cost runs/4-2                            a trained model
  saliq cost runs/float --bits w4a8,w2a4         the same network at other bits
  saliq cost runs/float --bits 8 --all-layers    with the fully connected layers quantized too
  saliq cost network.toml --json                 a configuration, before training
  saliq cost --network resnet-8 --bits 8         a network known by name
  saliq cost --bits 4,2 --accounting paper       3,122,816, as printed in the paper")]
pub struct CostArgs {
    /// Model or configuration: a run folder, a .safetensors file or a TOML file of `saliq train`
    /// [default: the network of Table I]
    #[arg(value_name = "MODEL|CONFIG")]
    pub subject: Option<PathBuf>,
    /// How operations are counted: as executed, or with the paper's constants
    #[arg(long, value_enum, default_value = "executed", value_name = "HOW")]
    pub accounting: Accounting,
    /// The network of a file that does not say what its network is, or a network that replaces the
    /// configuration's.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Bits and quantizers, which override those of the model or the configuration.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
    /// Data set that determines the image shape of a configuration, or of a model whose file does
    /// not say it [default: the configuration's own]
    #[arg(long, value_name = "NAME|DIR", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Folder in which named data sets are looked up first [default: SALIQ_DATA_DIR, the cache
    /// folder, /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// How the images are read; where this says nothing, as for the training of the model.
    #[command(flatten)]
    pub read: ReadArgs,
}
