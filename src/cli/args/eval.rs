//! Arguments of `saliq eval`, and those it shares with `saliq explain`: the images, and how to run
//! the model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DatasetArgs, ReadArgs};
use crate::config::{NormalizeSpec, Precision, QuantizationOverrides};

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Test images.
    Test,
    /// Training images.
    Train,
}

impl Split {
    /// `test` or `train`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Test => "test",
            Split::Train => "train",
        }
    }
}

/// The network of a model whose file does not say what it is.
#[derive(Clone, Debug, Default, Args)]
pub struct NetworkArgs {
    /// Network of a file that does not say what its network is, such as a PyTorch state_dict: a
    /// name from `saliq networks`, or a TOML file with [[network.layers]] (with network.input =
    /// [C, H, W] if no data set is named)
    #[arg(long, value_name = "NAME|FILE.toml", help_heading = "Network & quantization")]
    pub network: Option<String>,
}

/// The images to run a model on, and how to run it.
#[derive(Clone, Debug, Args)]
pub struct ModelInputArgs {
    /// The data set.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// How the images are read; where this says nothing, as for the training of the model.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Images to use: test or train
    #[arg(long, value_enum, default_value = "test", value_name = "SPLIT", help_heading = "Data")]
    pub split: Split,
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
    /// Images per step; a smaller value needs less memory and gives the same results
    #[arg(
        long,
        value_name = "N",
        default_value = "256",
        value_parser = clap::value_parser!(u32).range(1..=65536),
        help_heading = "Data"
    )]
    pub batch_size: u32,
    /// The model's network, if the file does not say it.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// How to run the model; overrides what its file says.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
}

/// The engine that runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Floats with fake quantization, as in training.
    #[default]
    Float,
    /// Integer levels of one byte each, wherever a tensor is quantized.
    Integer,
}

/// `saliq eval`.
#[derive(Clone, Debug, Args)]
pub struct EvalArgs {
    /// Model: a .safetensors file (of saliq or PyTorch), an ONNX file or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The images, and how to run the model.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// Use the first N images only [default: all]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Data"
    )]
    pub count: Option<u32>,
    /// Storage format of activations; f16 halves their memory and changes results slightly
    /// [default: f32, however the model was trained]
    #[arg(
        long,
        value_enum,
        value_name = "f32|f16",
        default_value = "f32",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub precision: Precision,
    /// Engine that runs the model: float (with fake quantization) or integer (as in a deployed
    /// model)
    #[arg(
        long,
        value_enum,
        value_name = "float|integer",
        default_value = "float",
        hide_possible_values = true
    )]
    pub engine: Engine,
    /// Also run the other engine and compare every level and prediction; slow
    #[arg(long, requires = "engine")]
    pub compare_levels: bool,
    /// Also write every image's label, prediction and probability to this CSV file
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Also draw the distributions of quantized weights and activations, in float and quantized,
    /// into this SVG file
    ///
    /// Activations are those of the first 512 images. `saliq quantize` draws the same figure for
    /// its model.
    #[arg(long, value_name = "FILE")]
    pub histograms: Option<PathBuf>,
}
