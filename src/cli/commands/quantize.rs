//! `saliq quantize`.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::ModelFlags;
use crate::{
    Error, Result,
    batch::ResidentData,
    cli::{
        args::{GlobalArgs, QuantizeArgs},
        progress::Progress,
        words::phrased,
    },
    config::{BitsRequest, PixelNormalization, QuantizationConfig, QuantizationOverrides},
    data::Dataset,
    gpu::Gpu,
    metrics::{Cost, Evaluation, Evaluator},
    model::{MODEL_FILE, Model, ModelFile},
    nn::{Network, NetworkOptions},
    post_training::{CalibratedTensor, Calibration, PostTraining, distributions, quantize},
    quant::TensorDistribution,
    report::{Block, DistributionChart, Report, Section, Table, fixed, signed},
    train::DataLocation,
};

/// Images per batch of the comparison.
const BATCH: u32 = 256;
/// Files of an output folder.
const HISTOGRAMS_FILE: &str = "histograms.svg";
const REPORT_FILE: &str = "report.html";

/// The JSON of `saliq quantize --json`.
#[derive(Serialize)]
struct Summary<'a> {
    out: &'a Path,
    bits: String,
    weight_quant: crate::config::WeightQuantizer,
    act_quant: crate::config::ActivationQuantizer,
    per_channel: bool,
    calibration: crate::post_training::Calibration,
    calibration_images: u32,
    float_accuracy: f64,
    accuracy: f64,
    float_loss: f64,
    loss: f64,
    images: u64,
    tensors: &'a [CalibratedTensor],
    /// The warnings; absent if there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// Quantizes a model and compares it with the float one.
///
/// # Errors
/// [`Error`] of the library functions that it calls.
pub fn run(args: &QuantizeArgs, global: &GlobalArgs) -> Result<()> {
    let calibration = args.rule()?;
    let output = global.output();
    let is_file = args.out.extension().is_some_and(|extension| extension == "safetensors");
    let target = if is_file { args.out.clone() } else { args.out.join(MODEL_FILE) };
    super::check_new(&target, args.force)?;
    let own = QuantizationOverrides::default();
    let flags = ModelFlags::of(&args.network, &own, &args.data, args.normalize.as_ref(), global);
    let flags = ModelFlags { reading: args.read.options(global.image_color(), 0), ..flags };
    let file = ModelFile::open(&args.model)?;
    let quantizers = file.quantizers();
    if file.is_bare() && !quantizers.is_empty() {
        let (path, quantizers) = (args.model.display(), quantizers.join(", "));
        return Err(Error::Usage(format!(
            "{path}: is quantized already (it has {quantizers}); quantize takes the float model"
        )));
    }
    let mut float = flags.model(file)?;
    // Its accuracy would otherwise be reported as that of the float model.
    super::check_float(&float, "quantize")?;
    let bits = BitsRequest {
        list: Some(&args.bits.0),
        all_layers: args.all_layers,
        first_last: args.first_last.map(|bits| bits.0),
        ..BitsRequest::default()
    };
    let quantization = args.quantizers.over(QuantizationConfig {
        bits: bits.spread(&float.config.network)?,
        ..float.config.quantization.clone()
    });
    quantization.validate()?;
    let warning = quantization.scale_warning(&float.config.quantization, &float.config.network);
    let warnings = Vec::from_iter(warning.as_ref().map(phrased));
    if quantization
        .bits
        .iter()
        .all(|bits| !bits.quantizes_weights() && !bits.quantizes_activations())
    {
        return Err(Error::Usage(format!("--bits {}: there is nothing to quantize", args.bits)));
    }
    warnings.iter().for_each(|said| output.warn(said));
    let (dataset, normalization) = flags.data(&mut float)?;
    let mut images = dataset.train.clone();
    images.truncate(args.calibrate as usize, dataset.shape);
    let mut test = dataset.test.clone();
    test.truncate(args.test_limit.unwrap_or(u32::MAX) as usize, dataset.shape);
    let gpu = super::open_gpu(global)?;
    flags.say(&output);
    let data = ResidentData::new(&gpu, &images, dataset.shape)?;

    let spinner = Progress::spinner(&output, "calibrating");
    let options = PostTraining { quantization, calibration };
    let outcome = pollster::block_on(quantize(&gpu, &float, &options, &data, normalization));
    spinner.finish();
    let (mut quantized, tensors) = outcome?;
    super::name_dataset(&mut quantized.config, &dataset);
    let location = match quantized.config.dataset == dataset.name {
        true => DataLocation::of(&dataset),
        false => DataLocation::beside(&float),
    };
    Model::save(&target, &quantized.config, &quantized.graph.layout, &quantized.parameters)?;
    // Read from the file, so that the written model is the one that is compared.
    quantized = Model::load(&target, &QuantizationOverrides::default())?;
    let test = ResidentData::new(&gpu, &test, dataset.shape)?;
    let bar = Progress::items(&output, "comparing", 2 * u64::from(test.count));
    let evaluate = |model: &Model, done: u64| {
        evaluate(&gpu, model, &test, normalization, &dataset, &mut |now| bar.set(done + now))
    };
    let (before, after) = (evaluate(&float, 0)?, evaluate(&quantized, u64::from(test.count))?);
    bar.finish();
    let quantizers = &args.quantizers;
    let summary = Summary {
        out: &target,
        bits: args.bits.to_string(),
        weight_quant: quantizers.weight_quant,
        act_quant: quantizers.act_quant,
        per_channel: quantizers.per_channel,
        calibration,
        calibration_images: data.count,
        float_accuracy: before.accuracy,
        accuracy: after.accuracy,
        float_loss: before.loss,
        loss: after.loss,
        images: after.images,
        tensors: &tensors,
        warnings: &warnings,
    };
    if !is_file {
        location.write(&args.out)?;
        let shown = pollster::block_on(distributions(&gpu, &quantized, &data, normalization))?;
        write_report(args, &dataset.name, &summary, &shown, &gpu)?;
    }
    super::note_float_bulk(
        &Cost::new(&quantized.config.network, &quantized.config.quantization)?,
        None,
        &output,
    );
    output.result(&summary, || describe(&summary))
}

fn evaluate(
    gpu: &Gpu,
    model: &Model,
    test: &ResidentData,
    normalization: PixelNormalization,
    dataset: &Dataset,
    progress: &mut dyn FnMut(u64),
) -> Result<Evaluation> {
    let options = NetworkOptions {
        slots: BATCH.min(test.count),
        training: false,
        gradients: false,
        ..NetworkOptions::default()
    };
    let network = Network::new(gpu, &model.config.network, &model.config.quantization, options)?;
    gpu.write(network.parameters(), 0, &model.parameters);
    let evaluator = Evaluator::record(gpu, &network, test, normalization, BATCH)?;
    pollster::block_on(evaluator.run(gpu, &dataset.class_names, progress))
}

fn tensor_table(summary: &Summary<'_>) -> Table {
    let rows = summary.tensors.iter().map(|tensor| {
        [
            tensor.name.clone(),
            tensor.bits.to_string(),
            format!("{:.4}", tensor.largest),
            format!("{:.4}", tensor.clip),
            tensor
                .signal_to_noise_db
                .map_or("–".into(), |decibel| format!("{} dB", fixed(decibel, 1))),
        ]
    });
    Table::new(["tensor", "bits", "largest", "clipped at", "signal to noise"], rows)
}

/// Explanations of the columns of [`tensor_table`].
fn terms() -> Vec<(String, String)> {
    let terms = [
        (
            "Largest",
            "the largest magnitude of a weight, or of an activation on the calibration images, in \
             the tensor's own units",
        ),
        ("Clipped at", "the magnitude of the outermost level; larger magnitudes become that level"),
        (
            "Signal to noise",
            "the power of the values divided by that of the quantization error, in decibels; \
             higher is better, and 6 dB more halve the error",
        ),
    ];
    terms.map(|(term, meaning)| (term.to_string(), meaning.to_string())).into()
}

fn accuracies(summary: &Summary<'_>) -> String {
    format!(
        "test accuracy {:.2} % quantized, {:.2} % float ({} points) on {} images; loss {:.4} and \
         {:.4}",
        100.0 * summary.accuracy,
        100.0 * summary.float_accuracy,
        signed(100.0 * (summary.accuracy - summary.float_accuracy), 2),
        summary.images,
        summary.loss,
        summary.float_loss
    )
}

fn describe(summary: &Summary<'_>) -> String {
    let table = if summary.tensors.is_empty() {
        String::new()
    } else {
        format!("{}\n", tensor_table(summary).to_text(None))
    };
    format!("{table}{}; {}", accuracies(summary), summary.out.display())
}

/// The name of a flag's value on the command line.
fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().into())
}

/// `histograms.svg` and `report.html` of an output folder.
fn write_report(
    args: &QuantizeArgs,
    dataset: &str,
    summary: &Summary<'_>,
    shown: &[TensorDistribution],
    gpu: &Gpu,
) -> Result<()> {
    let out = &args.out;
    let chart = DistributionChart::new(
        &format!("Weights and activations at {} bits, before and after", summary.bits),
        shown,
    );
    let svg = chart.to_svg()?;
    crate::files::write_atomically(&out.join(HISTOGRAMS_FILE), svg.as_bytes())?;
    let quantizers = &args.quantizers;
    let range = if quantizers.per_channel { "a channel" } else { "a tensor" };
    let calibration = match summary.calibration {
        Calibration::MinMax => "largest magnitude".to_string(),
        Calibration::Percentile(share) => format!("percentile {share}"),
        Calibration::Mse => "least MSE".into(),
    };
    let report = Report {
        title: format!("Quantized to {} bits without training", summary.bits),
        intro: std::iter::once(format!("The {}.", accuracies(summary)))
            .chain(summary.warnings.iter().map(|said| format!("Warning: {said}.")))
            .collect(),
        sections: vec![
            Section {
                title: "Clipping".into(),
                blocks: vec![Block::Table(tensor_table(summary)), Block::Terms(terms())],
            },
            Section {
                title: "Distributions".into(),
                blocks: vec![Block::Svg { svg, caption: DistributionChart::CAPTION.into() }],
            },
            Section {
                title: "How this was made".into(),
                blocks: vec![Block::Facts(vec![
                    ("model".into(), args.model.display().to_string()),
                    ("data set".into(), dataset.into()),
                    (
                        "weights".into(),
                        format!("{}, a range {range}", value_name(quantizers.weight_quant)),
                    ),
                    (
                        "activations".into(),
                        format!(
                            "{}, {}",
                            value_name(quantizers.act_quant),
                            value_name(quantizers.pact)
                        ),
                    ),
                    (
                        "calibration".into(),
                        format!("{calibration}, {} training images", summary.calibration_images),
                    ),
                    ("adapter".into(), gpu.adapter_description()),
                    ("saliq".into(), env!("CARGO_PKG_VERSION").into()),
                    ("command".into(), super::command_line()),
                ])],
            },
        ],
    };
    let path: PathBuf = out.join(REPORT_FILE);
    report.write(path)
}
