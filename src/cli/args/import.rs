//! Arguments of `saliq import`.

use std::path::PathBuf;

use clap::Args;

use super::NetworkArgs;
use crate::config::NormalizeSpec;

/// `saliq import`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Every command reads these files as they are. A model of our own says in addition what network it is,
how its pixels are normalised and what its classes are called, so that no flag has to.

Examples:
  saliq import mobilenet.onnx --normalize unit --out mobilenet.safetensors
  saliq import lenet.safetensors --network lenet-5 --classes digits.txt --out lenet-5.safetensors
  saliq import net.safetensors --network net.toml --rename backbone.0=conv1 --out own.safetensors")]
pub struct ImportArgs {
    /// ONNX file, or a state_dict of PyTorch as .safetensors
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Network of a state_dict.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Other name for tensors of a state_dict: FROM is a tensor's name or what names begin with up
    /// to a dot, TO is what stands there instead (nothing takes it away); can be repeated
    ///
    /// The prefixes `module.` and `_orig_mod.` are taken away without this.
    #[arg(
        long,
        value_name = "FROM=TO",
        value_parser = pair,
        help_heading = "Network & quantization"
    )]
    pub rename: Vec<(String, String)>,
    /// How the pixels of its images are normalised: unit (0..1), none (0..255), MEAN,STD, or
    /// M1,M2,M3/S1,S2,S3 [default: what the file says; the model says nothing else]
    #[arg(long, value_name = "HOW", allow_hyphen_values = true, help_heading = "Data")]
    pub normalize: Option<NormalizeSpec>,
    /// Names of its outputs in order: A,B,…, or a file with a name a line
    #[arg(long, value_name = "FILE|A,B,…", help_heading = "Data")]
    pub classes: Option<String>,
    /// Model file to write
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: Option<PathBuf>,
}

/// FROM=TO.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() => Ok((from.into(), to.into())),
        _ => Err("write FROM=TO, such as backbone.0=conv1".into()),
    }
}
