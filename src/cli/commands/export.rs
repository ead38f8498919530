//! `saliq export`.

use prost::Message;
use serde::Serialize;

use crate::{
    Error, Result,
    batch::ResidentData,
    cli::{
        args::{ExportArgs, ExportFormat, ExportInput, GlobalArgs, Split},
        progress::Progress,
    },
    config::{LayerConfig, QuantizationOverrides},
    data::Dataset,
    deploy::{
        DeployableModel, TOLERANCE, Verification, c_header, c_identifier,
        onnx::{Interpreter, OnnxInput, OnnxOptions, onnx_model},
        packed_file,
    },
    files::write_atomically,
    gpu::Gpu,
    model::{METADATA_KEY, Model, TensorFile, fold_batch_norm},
    saliency::{DataOptions, ExplainedNetwork, Method, explain_data},
    train::RunFolder,
};

/// What was written.
#[derive(Serialize)]
struct Exported {
    file: String,
    format: &'static str,
    bytes: u64,
    tensors: usize,
    parameters: u64,
    /// Names of the batch norms that were folded.
    folded: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    /// Of a C header: its constants, and what its caller provides.
    #[serde(skip_serializing_if = "Option::is_none")]
    rom_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram_bytes: Option<u64>,
}

/// Writes a model for use elsewhere.
///
/// # Errors
/// [`crate::Error`] of the files, and of the work behind `--verify`.
pub fn run(args: &ExportArgs, global: &GlobalArgs) -> Result<()> {
    check(args)?;
    let original = Model::load(&args.model, &QuantizationOverrides::default())?;
    let fold = args.fold_batch_norm || args.format != ExportFormat::Safetensors;
    let norms = original.config.network.layers.iter().filter_map(|layer| match layer {
        LayerConfig::BatchNorm { name } if fold => Some(name.clone()),
        _ => None,
    });
    let folded: Vec<String> = norms.collect();
    let model = if fold { fold_batch_norm(&original)? } else { original.clone() };
    let mut verification = None;
    let mut memory = None;
    let (format, tensors) = match args.format {
        ExportFormat::Safetensors => {
            Model::save(&args.out, &model.config, &model.layout, &model.parameters)?;
            ("safetensors", model.layout.parameters.len())
        }
        ExportFormat::Packed => {
            let bytes = packed_file(&model)?;
            write_atomically(&args.out, &bytes)?;
            ("packed", TensorFile::parse(&args.out, &bytes)?.len())
        }
        ExportFormat::C => {
            let stem = args.out.file_stem().unwrap_or_default().to_string_lossy();
            let header = c_header(&DeployableModel::new(&model)?, &c_identifier(&stem))?;
            write_atomically(&args.out, header.text.as_bytes())?;
            memory = Some((header.rom_bytes, header.ram_bytes));
            ("c", model.layout.parameters.len())
        }
        ExportFormat::Onnx => {
            let onnx = onnx_model(&DeployableModel::new(&model)?, &onnx_options(&model, args));
            let bytes = onnx.encode_to_vec();
            write_atomically(&args.out, &bytes)?;
            verification = args.verify.map(|count| verify_onnx(&original, &bytes, count, args, global)).transpose()?;
            ("onnx", onnx.graph.map_or(0, |graph| graph.initializer.len()))
        }
    };
    let exported = Exported {
        file: args.out.display().to_string(),
        format,
        bytes: std::fs::metadata(&args.out).map_err(Error::io("cannot read", &args.out))?.len(),
        tensors,
        parameters: model.config.network.parameter_count()?,
        folded,
        verification,
        rom_bytes: memory.map(|(rom, _)| rom),
        ram_bytes: memory.map(|(_, ram)| ram),
    };
    global.output().result(&exported, || describe(&exported))?;
    match &exported.verification {
        Some(Verification { failed, images, .. }) if !failed.is_empty() => Err(Error::Model(format!(
            "{}: differs from the model on {} of {images} images, first image {}; please report this",
            exported.file,
            failed.len(),
            failed[0]
        ))),
        _ => Ok(()),
    }
}

/// Refuses flags that the format has no use for.
fn check(args: &ExportArgs) -> Result<()> {
    let is_onnx = args.format == ExportFormat::Onnx;
    for (flag, given) in
        [("--int4", args.int4), ("--input normalized", args.input != ExportInput::Image), ("--verify", args.verify.is_some())]
    {
        if given && !is_onnx {
            return Err(Error::Usage(format!("{flag} is for --format onnx")));
        }
    }
    Ok(())
}

fn onnx_options(model: &Model, args: &ExportArgs) -> OnnxOptions {
    let config = &model.config;
    let bits: Vec<String> = config
        .network
        .weight_layers()
        .iter()
        .enumerate()
        .map(|(layer, weighted)| format!("{}={}", weighted.name, config.quantization.layer_bits(layer)))
        .collect();
    let mut metadata = vec![(METADATA_KEY.to_string(), config.to_metadata()), ("bits".into(), bits.join(","))];
    if !config.class_names.is_empty() {
        metadata.push(("class_names".into(), serde_json::json!(config.class_names).to_string()));
    }
    // Of a run folder; a bare file does not say.
    let epochs = RunFolder::read_metrics(&args.model).map(|(_, epochs)| epochs).unwrap_or_default();
    if let Some(last) = epochs.last() {
        metadata.push(("test_accuracy".into(), last.test_accuracy.to_string()));
    }
    OnnxOptions {
        input: match args.input {
            ExportInput::Image => OnnxInput::Image,
            ExportInput::Normalized => OnnxInput::Normalized,
        },
        four_bits: args.int4,
        metadata,
    }
}

fn describe(exported: &Exported) -> String {
    let folded = match exported.folded.len() {
        0 => String::new(),
        count => format!(", {count} batch norms folded"),
    };
    let verified = exported.verification.as_ref().map_or_else(String::new, |verification| {
        format!(
            "\nverified: {} of {} predictions equal; logits within {:.1e} ({:.0e} is allowed){}",
            verification.equal_predictions,
            verification.images,
            verification.largest_difference,
            TOLERANCE,
            match verification.undecided {
                0 => String::new(),
                count => format!(
                    "; left out of this: {count} images with an activation on the border between two levels (with them: {:.1e})",
                    verification.largest_difference_of_all
                ),
            }
        )
    });
    let memory = exported.rom_bytes.zip(exported.ram_bytes);
    let memory = memory.map_or_else(String::new, |(rom, ram)| format!(", {rom} bytes of ROM, {ram} bytes of RAM"));
    format!(
        "{}: {} tensors, {} parameters, {}{folded}{memory}{verified}",
        exported.file,
        exported.tensors,
        exported.parameters,
        crate::report::bytes(exported.bytes)
    )
}

/// Runs the first `count` test images through the written file and through `model` on the GPU.
fn verify_onnx(model: &Model, bytes: &[u8], count: u32, args: &ExportArgs, global: &GlobalArgs) -> Result<Verification> {
    let (dataset, _) = super::dataset_for(model, args.dataset.as_deref(), args.data_dir.as_deref(), None)?;
    let mut split = super::split_of(&dataset, Split::Test).clone();
    split.truncate(count as usize, dataset.shape);
    let gpu = super::open_gpu(global)?;
    let ours = logits(&gpu, model, &dataset, &split)?;
    let interpreter = Interpreter::new(bytes)?;
    let normalize = model.config.normalize;
    let pixel = |&byte: &u8| match args.input {
        ExportInput::Image => f64::from(byte) / 255.0,
        ExportInput::Normalized => (f64::from(byte) / 255.0 - f64::from(normalize.mean)) / f64::from(normalize.deviation),
    };
    let output = global.output();
    let bar = Progress::items(&output, "verifying", split.len() as u64);
    let (mut theirs, mut margins) = (Vec::new(), Vec::new());
    for image in split.images.chunks_exact(dataset.shape.elements() as usize) {
        let outcome = interpreter.run(&image.iter().map(pixel).collect::<Vec<_>>(), dataset.shape)?;
        theirs.extend(outcome.logits);
        margins.extend(outcome.margins);
        bar.set(margins.len() as u64);
    }
    bar.finish();
    Ok(Verification::new(model.config.network.classes as usize, &ours, &theirs, &margins))
}

/// The model's own logits, [images, classes].
fn logits(gpu: &Gpu, model: &Model, dataset: &Dataset, split: &crate::data::Split) -> Result<Vec<f32>> {
    let data = ResidentData::new(gpu, split, dataset.shape)?;
    let parameters = gpu.upload("parameters", &model.parameters)?;
    let network =
        ExplainedNetwork { config: &model.config.network, quantization: &model.config.quantization, parameters: &parameters };
    let normalization = (model.config.normalize.mean, model.config.normalize.deviation);
    let options = DataOptions { methods: vec![Method::Random], normalization, ..DataOptions::default() };
    Ok(pollster::block_on(explain_data(gpu, network, &data, &options, &mut |_| {}))?.logits)
}
