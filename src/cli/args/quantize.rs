//! Arguments of `saliq quantize`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DatasetArgs, NetworkArgs, ReadArgs};
use crate::{
    Error, Result,
    config::{
        ActivationQuantizer, BitsList, LooseBits, NormalizeSpec, PactKind, QuantizationConfig,
        WeightQuantizer, real,
    },
    post_training::Calibration,
};

/// How clipping thresholds are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CalibrationRule {
    /// The largest magnitude, so that nothing is clipped.
    MinMax,
    /// The magnitude that --percentile percent of the values do not exceed.
    Percentile,
    /// The threshold of least mean squared error, found by search.
    Mse,
}

/// The quantizers of a model that is quantized without training.
#[derive(Clone, Debug, Args)]
pub struct QuantizerArgs {
    /// Weight quantizer; lsq uses the calibrated step, the others compute their range from the
    /// weights; dorefa does not keep the scale of the weights (a warning says so)
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "lsq",
        help_heading = "Quantization"
    )]
    pub weight_quant: WeightQuantizer,
    /// Use one range per output channel of a weight instead of one per tensor
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        // With this, the name of a file behind the switch is not its value; `join_switch_values`
        // joins `--per-channel true`.
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_possible_values = true,
        help_heading = "Quantization"
    )]
    pub per_channel: bool,
    /// Kind of activation clipping (PACT); `signed` replaces the ReLU and needs training
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        default_value = "unsigned",
        help_heading = "Quantization"
    )]
    pub pact: PactKind,
    /// Activation quantizer: pact (clips at α), or what further training can learn: a step (lsq),
    /// or a step and an offset (lsq-plus)
    #[arg(
        long,
        value_enum,
        value_name = "NAME",
        default_value = "pact",
        help_heading = "Quantization"
    )]
    pub act_quant: ActivationQuantizer,
}

impl QuantizerArgs {
    /// `own` with these quantizers.
    pub fn over(&self, own: QuantizationConfig) -> QuantizationConfig {
        QuantizationConfig {
            weight_quant: self.weight_quant,
            per_channel: self.per_channel,
            pact: self.pact,
            act_quant: self.act_quant,
            ..own
        }
    }
}

/// `saliq quantize`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
The result is a model like any other: `saliq eval`, `explain` and `cost` read it, and `saliq train
--init` trains it further. An output folder contains model.safetensors, histograms.svg (weights and
activations before and after) and report.html. If the data set was given by a path, data.toml stores
the path.

Examples:
  saliq quantize runs/float --bits 8 --out runs/ptq-8
  saliq quantize runs/float --bits 8 --all-layers --out runs/ptq-8-all
  saliq quantize runs/float --bits 4,4 --calibrate 1000 --per-channel --out runs/ptq-4
  saliq quantize runs/float --bits 2,2 --calibration percentile --percentile 99 \\
      --out ptq-2.safetensors
  saliq train --init runs/ptq-4 --bits 4,4 --weight-quant lsq --per-channel --epochs 2 \\
      --out runs/qat-4")]
pub struct QuantizeArgs {
    /// Trained float model: a .safetensors file (of saliq or PyTorch), an ONNX file or a run folder
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The model's network, if the file does not say it.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Bits per layer, 1 to 8: one value for all convolutions, or a list for the layers in order,
    /// such as `4,2` or `w4a8`
    #[arg(long, value_name = "B1,B2", help_heading = "Quantization")]
    pub bits: BitsList,
    /// Bits of the first and the last layer with weights, whatever the others have, such as 8
    #[arg(long, value_name = "N", help_heading = "Quantization")]
    pub first_last: Option<LooseBits>,
    /// Apply --bits N to every layer with weights, including the fully connected ones; the last
    /// layer's output stays float
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
    /// The quantizers.
    #[command(flatten)]
    pub quantizers: QuantizerArgs,
    /// Calibrate the activations on the first N training images
    #[arg(
        long,
        value_name = "N",
        default_value = "512",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Quantization"
    )]
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
    /// Percentage of the values that are not clipped, above 0 and at most 100, with --calibration
    /// percentile [default: 99.9]
    #[arg(long, value_name = "P", value_parser = real, help_heading = "Quantization")]
    pub percentile: Option<f64>,
    /// The data set.
    #[command(flatten)]
    pub data: DatasetArgs,
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
    /// Compare the models on the first N test images only [default: all]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Data"
    )]
    pub test_limit: Option<u32>,
    /// Output: a folder, or a file whose name ends in .safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub out: PathBuf,
    /// Replace an existing output
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
