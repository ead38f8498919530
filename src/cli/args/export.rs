//! Arguments of `saliq export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::NetworkArgs;
use crate::config::{NormalizeSpec, QuantizationOverrides};

/// A file format for deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A state_dict with PyTorch's names, types and shapes, and saliq's metadata.
    Safetensors,
    /// Weights as codes of 1 to 8 bits side by side, with their scales; a MODEL everywhere; batch
    /// norms folded (docs/packed-format.md).
    Packed,
    /// One C99 header for microcontrollers: packed weights and inference on integers; batch norms
    /// folded.
    C,
    /// ONNX: float, or QDQ and QCDQ where the model is quantized; batch norms folded.
    Onnx,
}

/// What an ONNX graph takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportInput {
    /// Pixels from 0 to 1; the graph normalises them.
    Image,
    /// Pixels that are normalised already.
    Normalized,
}

/// `saliq export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  saliq export runs/4-2 --format onnx --out model.onnx --verify 100   for ONNX Runtime; 100 test images through the file and through saliq
  saliq export runs/4-2 --format packed --out 4-2.safetensors         weights at their bits; `saliq eval 4-2.safetensors` runs it
  saliq export runs/4-2 --format c --out digits.h --verify 100        `digits_classify(pixels, …)` for a microcontroller
  saliq export runs/bn --fold-batch-norm --out model.safetensors      batch norms folded, for PyTorch")]
pub struct ExportArgs {
    /// Model: a .safetensors file (of saliq or PyTorch) or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// File format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "safetensors")]
    pub format: ExportFormat,
    /// Fold batch norms into the weights and biases of the layers in front of them: the same
    /// function without them (all formats but safetensors always do)
    #[arg(long)]
    pub fold_batch_norm: bool,
    /// onnx: what the graph takes
    #[arg(long, value_enum, value_name = "WHAT", default_value = "image", help_heading = "ONNX")]
    pub input: ExportInput,
    /// onnx: weights whose levels fit 4 bits take 4 bits instead of 8; needs operator set 21 (ONNX
    /// Runtime 1.19)
    #[arg(long, help_heading = "ONNX")]
    pub int4: bool,
    /// Read the file back and run it on the first N test images beside saliq's own network; where
    /// they differ it fails and nothing is written
    ///
    /// Every layer of the file starts from saliq's own levels: a level that differs must be at the
    /// edge between two levels, where the rounding of f32 decides, and logits agree to 1e-4 of the
    /// largest. onnx, packed and safetensors run in exact arithmetic (f64); c is compiled by the
    /// host's C compiler (CC, else cc, gcc or clang; an error where there is none) and run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub verify: Option<u32>,
    /// Data set of --verify, and of a model that does not say what images it is for [default: the
    /// one it was trained on]
    #[arg(long, value_name = "NAME|DIR", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Where named data sets are looked up first [default: SALIQ_DATA_DIR, the cache folder,
    /// /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// Pixel normalisation: standard, unit (0..1), none (0..255) or MEAN,STD [default: the model's
    /// own]
    ///
    /// A file that does not say needs it, but for the network of Table I on a data set known by
    /// name, which takes the published constants. `standard` is the published mean and deviation of
    /// such a set, else those of the training images; without a data set, the model's own, if it
    /// was trained with `standard`. `M1,M2,M3/S1,S2,S3` is a pair a channel; so far all must be
    /// equal.
    #[arg(long, value_name = "HOW", help_heading = "Data")]
    pub normalize: Option<NormalizeSpec>,
    /// What its network is, where the file does not say.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// How the model is run, over what its file says: bits and quantizers of what is written.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
