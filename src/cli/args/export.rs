//! Arguments of `saliq export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// A file format for deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A state_dict with PyTorch's names, types and shapes, and saliq's metadata.
    Safetensors,
}

/// `saliq export`.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// Model: a .safetensors file (of saliq or PyTorch) or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// File format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "safetensors")]
    pub format: ExportFormat,
    /// Fold batch norms into the weights and biases of the layers in front of them: the same function without them
    #[arg(long)]
    pub fold_batch_norm: bool,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
