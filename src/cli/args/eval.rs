//! Arguments of `saliq eval`, and what it shares with `saliq explain`: which images, and how to run
//! the model.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::{NormalizeSpec, Precision, QuantizationOverrides};

/// Which part of a data set.
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

/// What a model's network is, where its file does not say.
#[derive(Clone, Debug, Default, Args)]
pub struct NetworkArgs {
    /// Network of a file that does not say what it is, such as a PyTorch state_dict: table-1, or a
    /// TOML file with [[network.layers]] (network.input = [C, H, W] where no data set is named)
    #[arg(long, value_name = "NAME|FILE.toml", help_heading = "Network & quantization")]
    pub network: Option<String>,
}

/// Which images to run a model on, and how.
#[derive(Clone, Debug, Args)]
pub struct ModelInputArgs {
    /// Data set: mnist, fashion-mnist, mnist-mini, fashion-mini, or a folder [default: the one it
    /// was trained on]
    #[arg(long, value_name = "NAME|DIR", help_heading = "Data")]
    pub dataset: Option<String>,
    /// Where named data sets are looked up first [default: SALIQ_DATA_DIR, the cache folder,
    /// /usr/share/datasets]
    #[arg(long, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// Test or training images
    #[arg(long, value_enum, default_value = "test", value_name = "SPLIT", help_heading = "Data")]
    pub split: Split,
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
    /// Images a step: less memory, not other results
    #[arg(
        long,
        value_name = "N",
        default_value = "256",
        value_parser = clap::value_parser!(u32).range(1..=65536),
        help_heading = "Data"
    )]
    pub batch_size: u32,
    /// What its network is, where the file does not say.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// How to run the model, over what its file says.
    #[command(flatten)]
    pub quantization: QuantizationOverrides,
}

/// What runs a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Floats, fake-quantized: what training saw.
    #[default]
    Float,
    /// Integer levels, a byte each, wherever something is quantized.
    Integer,
}

/// `saliq eval`.
#[derive(Clone, Debug, Args)]
pub struct EvalArgs {
    /// Model: a .safetensors file (of saliq or PyTorch) or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// Which images, and how to run the model.
    #[command(flatten)]
    pub input: ModelInputArgs,
    /// The first N images only [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Data")]
    pub count: Option<u32>,
    /// Storage of activations; f16 halves their memory and is not exact [default: f32, however the
    /// model was trained]
    #[arg(
        long,
        value_enum,
        value_name = "f32|f16",
        default_value = "f32",
        hide_default_value = true,
        hide_possible_values = true
    )]
    pub precision: Precision,
    /// What runs the model: floats that are fake-quantized, or the integers of a deployed model
    #[arg(
        long,
        value_enum,
        value_name = "float|integer",
        default_value = "float",
        hide_possible_values = true
    )]
    pub engine: Engine,
    /// Also run the other engine, and compare every level and prediction; slow
    #[arg(long, requires = "engine")]
    pub compare_levels: bool,
    /// Also write every image's label, prediction and probability to this CSV file
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Also draw the distributions of quantized weights and activations, in float and quantized,
    /// into this SVG file
    ///
    /// Activations are those of the first 512 images. `saliq quantize` draws the same of what it
    /// made.
    #[arg(long, value_name = "FILE")]
    pub histograms: Option<PathBuf>,
}
