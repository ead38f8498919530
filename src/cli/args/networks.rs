//! Arguments of `saliq networks`.

use clap::Args;

use crate::config::QuantizationOverrides;

/// `saliq networks`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Figures are for one image of the shape that is listed, as `saliq cost` counts them; --network NAME
follows the shape and the classes of other data.

Examples:
  saliq networks                                     every network, in float
  saliq networks --bits 8 --all-layers               at 8 bits
  saliq networks resnet-8 > resnet.toml              its layers, to be changed
  saliq train --network resnet.toml --dataset DIR    and trained")]
pub struct NetworksArgs {
    /// Network to print as a TOML file, which --network takes
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print the figures as a Markdown table, without the sources
    #[arg(long, conflicts_with_all = ["name", "json"])]
    pub markdown: bool,
    /// Bits and quantizers that the figures are for.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
}
