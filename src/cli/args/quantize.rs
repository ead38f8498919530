//! Arguments of `saliq quantize`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::NetworkArgs;
use crate::{
    Error, Result,
    config::{ActivationQuantizer, BitsList, NormalizeSpec, PactKind, WeightQuantizer, real},
    post_training::Calibration,
};

/// How clipping thresholds are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CalibrationRule {
    /// The largest magnitude: nothing is clipped.
    MinMax,
    /// The magnitude that --percentile of the values do not exceed.
    Percentile,
    /// The threshold of least mean squared error, found by search.
    Mse,
}

/// `saliq quantize`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The result is a model like any other: `saliq eval`, `explain` and `cost` take it, and `saliq train --init` trains it further.
Into a folder go model.safetensors, histograms.svg (weights and activations before and after), report.html and, where the data
set is found by a path, data.toml with that path.

Examples:
  saliq quantize runs/float --bits 8 --out runs/ptq-8
  saliq quantize runs/float --bits 8 --all-layers --out runs/ptq-8-all
  saliq quantize runs/float --bits 4,4 --calibrate 1000 --per-channel --out runs/ptq-4
  saliq quantize runs/float --bits 2,2 --calibration percentile --percentile 99 --out ptq-2.safetensors
  saliq train --init runs/ptq-4 --bits 4,4 --weight-quant lsq --per-channel --epochs 2 --out runs/qat-4")]
pub struct QuantizeArgs {
    /// Trained float model: a .safetensors file (of saliq or PyTorch) or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// What its network is, where the file does not say.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Bits a layer: one value for the convolutions, or a list for the layers in order, such as
    /// `4,2` or `w4a8`
    #[arg(long, value_name = "B1,B2", help_heading = "Quantization")]
    pub bits: BitsList,
    /// --bits N is that of every layer with weights, the fully connected ones too; the last layer's
    /// output stays float
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Quantization"
    )]
    pub all_layers: bool,
    /// Weight quantizer; lsq has the calibrated step, the others ranges of their own; dorefa does
    /// not keep the scale of the weights (warned of)
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "lsq",
        help_heading = "Quantization"
    )]
    pub weight_quant: WeightQuantizer,
    /// A range for every output channel of a weight instead of one for the tensor
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        // So that a file's name behind it is no value; `join_switch_values` makes one of
        // `--per-channel true`.
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Quantization"
    )]
    pub per_channel: bool,
    /// Activation clipping (PACT); `signed` takes the place of the ReLU and needs training
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        default_value = "unsigned",
        help_heading = "Quantization"
    )]
    pub pact: PactKind,
    /// Activation quantizer: PACT's α, or a learned step (LSQ), or step and offset (LSQ+) to train
    /// on with
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "pact",
        help_heading = "Quantization"
    )]
    pub act_quant: ActivationQuantizer,
    /// Calibrate the activations on the first N training images
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Quantization")]
    pub calibrate: u32,
    /// How clipping thresholds are chosen
    #[arg(
        long,
        value_enum,
        value_name = "RULE",
        default_value = "mse",
        help_heading = "Quantization"
    )]
    pub calibration: CalibrationRule,
    /// Percent of the values that are not clipped, with --calibration percentile [default: 99.9]
    #[arg(long, value_name = "P", value_parser = real, help_heading = "Quantization")]
    pub percentile: Option<f64>,
    /// Data set: mnist, fashion-mnist, mnist-mini, fashion-mini, or a folder [default: the one it
    /// was trained on]
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
    /// Compare the models on the first N test images only [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Data")]
    pub test_limit: Option<u32>,
    /// Folder, or a file that ends in .safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub out: PathBuf,
    /// Replace what is there
    #[arg(long)]
    pub force: bool,
}

impl QuantizeArgs {
    /// The rule with its percentile.
    ///
    /// # Errors
    /// [`Error::Usage`] for a percentile outside (0, 100], or one without its rule.
    pub fn rule(&self) -> Result<Calibration> {
        match (self.calibration, self.percentile) {
            (CalibrationRule::Percentile, percent) => {
                let percent = percent.unwrap_or(99.9);
                if percent > 0.0 && percent <= 100.0 {
                    Ok(Calibration::Percentile(percent))
                } else {
                    Err(Error::Usage(format!(
                        "--percentile {percent}: must be above 0 and at most 100"
                    )))
                }
            }
            (_, Some(_)) => Err(Error::Usage(
                "--percentile has an effect with --calibration percentile only".into(),
            )),
            (CalibrationRule::MinMax, None) => Ok(Calibration::MinMax),
            (CalibrationRule::Mse, None) => Ok(Calibration::Mse),
        }
    }
}
