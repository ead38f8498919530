//! Arguments of `saliq export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{NetworkArgs, data::ReadArgs};
use crate::config::{NormalizeSpec, QuantizationOverrides};

/// A file format for deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// A state_dict with PyTorch's names, types and shapes, and saliq's metadata.
    Safetensors,
    /// Weights as packed codes of 1 to 8 bits, with their scales; every command reads this file;
    /// batch norms are folded (docs/packed-format.md).
    Packed,
    /// One C99 header for microcontrollers, with packed weights and inference on integers; batch
    /// norms are folded.
    C,
    /// ONNX: float, or QDQ and QCDQ if the model is quantized; batch norms are folded.
    Onnx,
}

/// The input of an ONNX graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportInput {
    /// Pixels from 0 to 1; the graph normalises them.
    Image,
    /// Pixels that are normalised already.
    Normalized,
}

/// The order of the bytes of an image that a C header reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportPixels {
    /// `[channel][row][column]`.
    Chw,
    /// `[row][column][channel]`, as most cameras give them.
    Hwc,
}

/// How a C header makes levels of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportRescale {
    /// With floats: exactly the levels of `--engine integer`.
    Float,
    /// With a multiplier of 32 bits and a shift, for processors without floats.
    Integer,
}

/// `saliq export`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  saliq export runs/4-2 --format onnx --out model.onnx --verify 100
      for ONNX Runtime; compares the file with saliq on 100 test images
  saliq export runs/4-2 --format packed --out 4-2.safetensors
      weights at their bits; `saliq eval 4-2.safetensors` runs the file
  saliq export runs/4-2 --format c --out digits.h --verify 100
      `digits_classify(pixels, …)` for a microcontroller
  saliq export runs/4-2 --format c --pixels hwc --rescale integer --out digits.h
      for a camera, and a processor without floats
  saliq export runs/bn --fold-batch-norm --out model.safetensors
      batch norms folded, for PyTorch")]
pub struct ExportArgs {
    /// Model: a .safetensors file (of saliq or PyTorch), an ONNX file or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// File format
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "safetensors")]
    pub format: ExportFormat,
    /// Fold batch norms into the weights and biases of the layers in front of them; the function
    /// stays the same (all formats except safetensors always do this)
    #[arg(long)]
    pub fold_batch_norm: bool,
    /// onnx: input of the graph, pixels from 0 to 1 or normalised pixels
    #[arg(long, value_enum, value_name = "WHAT", default_value = "image", help_heading = "ONNX")]
    pub input: ExportInput,
    /// onnx: store weights whose levels fit 4 bits in 4 bits instead of 8; needs operator set 21
    /// (ONNX Runtime 1.19)
    #[arg(long, help_heading = "ONNX")]
    pub int4: bool,
    /// onnx: store weights whose levels fit 2 bits in 2 bits; needs operator set 25 (ONNX Runtime
    /// 1.32 has it)
    #[arg(long, help_heading = "ONNX")]
    pub int2: bool,
    /// onnx: QOperator form: layers between quantized activations as QLinearConv and QGemm, on
    /// integers, for runtimes without floats
    ///
    /// Biases are rounded to a multiple of the product of two scales; a level can differ at the
    /// edge between two.
    #[arg(long, conflicts_with_all = ["int4", "int2"], help_heading = "ONNX")]
    pub qoperator: bool,
    /// c: order of the bytes of an image
    #[arg(long, value_enum, value_name = "ORDER", default_value = "chw", help_heading = "C")]
    pub pixels: ExportPixels,
    /// c: how sums become levels
    ///
    /// A level of `integer` can differ from that of `float` only at the edge between two levels;
    /// the header and --json say how many edges differ.
    #[arg(long, value_enum, value_name = "HOW", default_value = "float", help_heading = "C")]
    pub rescale: ExportRescale,
    /// Run the written file on the first N test images and compare it with saliq's own network; if
    /// they differ, the command fails and writes no file
    ///
    /// Every layer of the file starts from saliq's own levels. A level may differ only at the edge
    /// between two levels, where the rounding of f32 decides. Logits agree to 1e-4 of the largest.
    /// onnx, packed and safetensors run in f64. c is compiled by the host's C compiler (CC, else
    /// cc, gcc or clang) and run; a missing compiler is an error.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub verify: Option<u32>,
    /// Data set for --verify, and for a model whose file does not say which images it is for
    /// [default: the one that the model was trained on]
    #[arg(long, value_name = "NAME|DIR", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Folder in which named data sets are looked up first [default: SALIQ_DATA_DIR, the cache
    /// folder, /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// How the images are read; where this says nothing, as for the training of the model.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Pixel normalisation: standard, unit (0..1), none (0..255) or MEAN,STD [default: the model's
    /// own]
    ///
    /// The flag is required if the file does not say how its pixels are normalised. The network of
    /// Table I on a data set known by name is an exception and takes the published constants.
    /// `standard` is the published mean and deviation of such a set, else those of the training
    /// images. Without a data set, it is the model's own, if the model was trained with `standard`.
    /// `M1,M2,M3/S1,S2,S3` gives each channel its own.
    #[arg(long, value_name = "HOW", help_heading = "Data")]
    pub normalize: Option<NormalizeSpec>,
    /// The model's network, if the file does not say it.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Bits and quantizers of the written file; override those of the model's file.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
