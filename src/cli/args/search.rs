//! Arguments of `saliq search`.

use std::path::PathBuf;

use clap::Args;

use super::{DatasetArgs, NetworkArgs, QuantizerArgs};
use crate::{
    Error, Result,
    config::{NormalizeSpec, QuantizationConfig, real},
    post_training::Calibration,
    search::{Budget, Objective, SearchSettings},
};

/// What the quantizers are for the search, which has all widths and no training of its own.
const WEIGHT_QUANT: &str = "Weight quantizer; lsq uses a calibrated step, the others compute their \
                            range from the weights";
const PACT: &str = "Kind of activation clipping (PACT): unsigned or signed-after-relu";
const ACT_QUANT: &str = "Activation quantizer: pact (clips at α), or what training can learn: a \
                         step (lsq), or a step and an offset (lsq-plus)";

/// `saliq search`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The result folder contains bits.toml (for `saliq train --config`), model.safetensors (quantized,
without training), search.json, frontier.csv and frontier.svg; with --recover also recovered/, a run
folder. The frontier has the search beside uniform bits, random bits, bits by the sensitivity of the
loss alone and bits by squared gradients, all within the same BitOPs and the same bytes.

Examples:
  saliq search runs/float --dataset fashion-mini --widths 2,3,4,8 --budget bitops=2% --plan
  saliq search runs/float --dataset fashion-mini --widths 2,3,4,8 --budget bitops=2% --out runs/bits
  saliq search runs/float --widths 1,2,4,8 --budget bytes=160000 --objective explanation \\
      --recover 0 --out runs/small
  saliq train --config runs/bits/bits.toml --dataset fashion-mini --init runs/float \\
      --teacher runs/float --align 5 --epochs 2 --out runs/trained")]
#[command(mut_arg("weight_quant", |own| own.help(WEIGHT_QUANT)))]
#[command(mut_arg("pact", |own| own.help(PACT)))]
#[command(mut_arg("act_quant", |own| own.help(ACT_QUANT)))]
pub struct SearchArgs {
    /// Trained float model: a .safetensors file (of saliq or PyTorch), an ONNX file or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The model's network, if the file does not say it.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Widths to choose from, each 1 to 8; 1-bit weights are binary
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "2,3,4,8",
        value_parser = clap::value_parser!(u32).range(1..=8),
        help_heading = "Search"
    )]
    pub widths: Vec<u32>,
    /// The most that the bits may cost: bitops=X%, of the float model's bit operations as `saliq
    /// cost` counts them, or bytes=N, of the packed model
    #[arg(long, value_name = "bitops=X%|bytes=N", help_heading = "Search")]
    pub budget: Budget,
    /// What the bits are chosen for: accuracy, the float model's explanations, or both
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "both",
        hide_possible_values = true,
        help_heading = "Search"
    )]
    pub objective: Objective,
    /// One width for the weights and the output activations of a layer
    #[arg(long, help_heading = "Search")]
    pub tied: bool,
    /// Print the passes that the search will take, and stop
    #[arg(long, help_heading = "Search")]
    pub plan: bool,
    /// Training images of the search
    #[arg(
        long,
        value_name = "N",
        default_value = "512",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Search"
    )]
    pub images: u32,
    /// Images whose maps are compared
    #[arg(
        long,
        value_name = "N",
        default_value = "256",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Search"
    )]
    pub map_images: u32,
    /// Training images on which the activations of a candidate are calibrated
    #[arg(
        long,
        value_name = "N",
        default_value = "128",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Search"
    )]
    pub calibrate: u32,
    /// Most candidates that are measured for a budget
    #[arg(
        long,
        value_name = "N",
        default_value = "12",
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        help_heading = "Search"
    )]
    pub candidates: u32,
    /// Budgets of the frontier in each unit, beside the one of --budget
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        value_parser = clap::value_parser!(u32).range(0..=100),
        help_heading = "Search"
    )]
    pub levels: u32,
    /// Random assignments at the budget in each unit
    #[arg(
        long,
        value_name = "N",
        default_value = "20",
        value_parser = clap::value_parser!(u32).range(0..=10_000),
        help_heading = "Search"
    )]
    pub random: u32,
    /// Seed of random assignments and of the training
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64),
        help_heading = "Search"
    )]
    pub seed: u64,
    /// The quantizers.
    #[command(flatten)]
    pub quantizers: QuantizerArgs,
    /// Epochs of training with the chosen bits, with the float model as teacher; 0 for none
    #[arg(
        long,
        value_name = "EPOCHS",
        default_value = "1",
        value_parser = clap::value_parser!(u32).range(0..=100_000),
        help_heading = "Recovery"
    )]
    pub recover: u32,
    /// Also train what the baselines chose at the budget, in the same way
    #[arg(long, help_heading = "Recovery")]
    pub recover_baselines: bool,
    /// Weight of the alignment of maps in this training [default: 5; 0 with --objective accuracy]
    #[arg(long, value_name = "W", value_parser = real, help_heading = "Recovery")]
    pub align: Option<f64>,
    /// Peak learning rate of this training
    #[arg(
        long,
        value_name = "RATE",
        value_parser = real,
        default_value = "0.05",
        help_heading = "Recovery"
    )]
    pub lr: f64,
    /// Images a step of this training
    #[arg(
        long,
        value_name = "N",
        default_value = "64",
        value_parser = clap::value_parser!(u32).range(1..=65536),
        help_heading = "Recovery"
    )]
    pub batch_size: u32,
    /// The data set.
    #[command(flatten)]
    pub data: DatasetArgs,
    /// Pixel normalisation: standard, unit (0..1), none (0..255) or MEAN,STD [default: the model's
    /// own]
    #[arg(long, value_name = "HOW", help_heading = "Data")]
    pub normalize: Option<NormalizeSpec>,
    /// Measure the frontier on the first N test images only [default: all]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Data"
    )]
    pub test_limit: Option<u32>,
    /// Train on the first N training images only
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Data"
    )]
    pub train_limit: Option<u32>,
    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "runs/search")]
    pub out: PathBuf,
    /// Replace an existing result
    #[arg(long)]
    pub force: bool,
}

impl SearchArgs {
    /// The settings of the search.
    ///
    /// # Errors
    /// [`Error::Usage`] for a rate or a weight out of range.
    pub fn settings(&self) -> Result<SearchSettings> {
        if !(self.lr.is_finite() && self.lr > 0.0) {
            return Err(Error::Usage(format!("--lr {}: must be above 0", self.lr)));
        }
        if let Some(align) = self.align
            && !(align.is_finite() && align >= 0.0)
        {
            return Err(Error::Usage(format!("--align {align}: must be 0 or more")));
        }
        Ok(SearchSettings {
            widths: self.widths.clone(),
            tied: self.tied,
            budget: self.budget,
            objective: self.objective,
            quantization: self.quantizers.over(QuantizationConfig::default()),
            calibration: Calibration::Mse,
            images: self.images,
            map_images: self.map_images.min(self.images),
            calibration_images: self.calibrate,
            candidates: self.candidates as usize,
            levels: self.levels as usize,
            random: self.random as usize,
            seed: self.seed,
        })
    }

    /// Weight of the alignment in the training.
    pub fn alignment(&self) -> f64 {
        let by_objective = if self.objective == Objective::Accuracy { 0.0 } else { 5.0 };
        self.align.unwrap_or(by_objective)
    }
}
