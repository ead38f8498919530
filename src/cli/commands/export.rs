//! `saliq export`.

use std::rc::Rc;

use prost::Message;
use serde::Serialize;

use super::KnownImages;
use crate::{
    Error, Result,
    cli::{
        args::{
            ExportArgs, ExportFormat, ExportInput, ExportPixels, ExportRescale, GlobalArgs, Split,
        },
        progress::Progress,
        words::worded,
    },
    data::Dataset,
    deploy::{
        COptions, DeployableModel, PixelOrder, Rescale, TOLERANCE, Verification, c_header_with,
        c_identifier,
        onnx::{OnnxInput, OnnxOptions, onnx_model},
        packed_file,
    },
    files::write_atomically,
    graph::OpKind,
    integer::{Written, verify},
    metrics::Cost,
    model::{Images, METADATA_KEY, Model, TensorFile, fold_batch_norm},
    report::thousands,
    train::RunFolder,
};

/// The JSON of the written file.
#[derive(Serialize)]
struct Exported {
    file: String,
    format: &'static str,
    /// False if `--verify` failed; the file does not exist then.
    written: bool,
    bytes: u64,
    tensors: usize,
    parameters: u64,
    /// Names of the batch norms that were folded.
    folded: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    /// For a C header: its constants, and the memory that its caller provides.
    #[serde(skip_serializing_if = "Option::is_none")]
    rom_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ram_bytes: Option<u64>,
    /// For `--rescale integer`: edges between levels, and those at another sum than with floats.
    #[serde(skip_serializing_if = "Option::is_none")]
    edges: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edges_moved: Option<u64>,
}

/// Writes a model for use in other programs.
///
/// # Errors
/// [`crate::Error`] of the files, and of `--verify`.
pub fn run(args: &ExportArgs, global: &GlobalArgs) -> Result<()> {
    check(args)?;
    let output = global.output();
    let (original, dataset) = opened(args, global)?;
    let fold = args.fold_batch_norm || args.format != ExportFormat::Safetensors;
    let norms = original.graph.ops.iter();
    let norms = norms.filter(|op| fold && matches!(op.kind, OpKind::BatchNorm(_)));
    let folded: Vec<String> = norms.map(|op| op.name.clone()).collect();
    let model = if fold { fold_batch_norm(&original)? } else { original.clone() };
    let (mut memory, mut edges) = (None, None);
    let prefix = c_identifier(&args.out.file_stem().unwrap_or_default().to_string_lossy());
    let (format, tensors, bytes) = match args.format {
        ExportFormat::Safetensors => {
            let tensors = Model::tensors(&model.graph.layout, &model.parameters);
            let bytes =
                TensorFile::to_bytes(&tensors, &[(METADATA_KEY, model.config.to_metadata())])?;
            ("safetensors", tensors.len(), bytes)
        }
        ExportFormat::Packed => {
            let bytes = packed_file(&model)?;
            ("packed", TensorFile::parse(&args.out, &bytes)?.len(), bytes)
        }
        ExportFormat::C => {
            let header = c_header_with(&DeployableModel::new(&model)?, &prefix, c_options(args))?;
            memory = Some((header.rom_bytes, header.ram_bytes));
            edges = header.edges;
            ("c", model.graph.layout.parameters.len(), header.text.into_bytes())
        }
        ExportFormat::Onnx => {
            let onnx = onnx_model(&DeployableModel::new(&model)?, &onnx_options(&model, args));
            let bytes = onnx.encode_to_vec();
            ("onnx", onnx.graph.map_or(0, |graph| graph.initializer.len()), bytes)
        }
    };
    let verification = verify_file(&original, dataset.as_deref(), (&bytes, &prefix), args, global)?;
    let failure = verification.as_ref().and_then(Verification::failure);
    // A wrong file is not left for later steps.
    if failure.is_none() {
        write_atomically(&args.out, &bytes)?;
        let cost = Cost::new(&model.config.network, &model.config.quantization)?;
        super::note_float_bulk(&cost, Some(&args.model), &output);
    }
    let exported = Exported {
        file: args.out.display().to_string(),
        format,
        written: failure.is_none(),
        bytes: bytes.len() as u64,
        tensors,
        parameters: model.config.network.parameter_count()?,
        folded,
        verification,
        rom_bytes: memory.map(|(rom, _)| rom),
        ram_bytes: memory.map(|(_, ram)| ram),
        edges: edges.map(|edges| edges.all),
        edges_moved: edges.map(|edges| edges.moved),
    };
    match failure {
        None => output.result(&exported, || describe(&exported)),
        Some(reason) => {
            // With --json, programs get the figures; people read the error.
            if global.json.is_some() {
                output.result(&exported, String::new)?;
            }
            Err(Error::Model(format!(
                "{}: {reason}; it was not written; please report this",
                exported.file
            )))
        }
    }
}

/// The model, with the normalisation of its pixels determined if the format needs it, and the data
/// set of `--verify`.
fn opened(args: &ExportArgs, global: &GlobalArgs) -> Result<(Model, Option<Rc<Dataset>>)> {
    let flags = super::ModelFlags {
        assumed: Default::default(),
        read: Default::default(),
        network: &args.network,
        quantization: &args.quantization,
        dataset: args.dataset.as_deref(),
        data_dir: args.data_dir.as_deref(),
        normalize: args.normalize.as_ref(),
        reading: args.read.options(global.image_color(), 0),
        output: global.output(),
    };
    let mut model = flags.open(&args.model)?;
    model.require_alphas()?;
    if args.verify.is_some() {
        let (dataset, _) = flags.data(&mut model)?;
        flags.say(&global.output());
        return Ok((model, Some(dataset)));
    }
    let images = flags.images(&model)?;
    let images = images.as_ref().map_or(Images::Unknown, KnownImages::images);
    // A model file may leave the normalisation open, as its source does; a graph or a program may
    // not.
    let may_be_open = matches!(args.format, ExportFormat::Safetensors | ExportFormat::Packed)
        && args.normalize.is_none();
    match flags.normalize(&mut model, images) {
        Err(error @ Error::Unsaid { .. }) if may_be_open => {
            let reason = crate::plain(&worded(&error));
            global
                .output()
                .note(&format!("{reason}; {} will not say it either", args.out.display()))
        }
        settled => settled?,
    }
    flags.say(&global.output());
    Ok((model, None))
}

/// Returns an error for flags that the format does not use.
fn check(args: &ExportArgs) -> Result<()> {
    let is_onnx = args.format == ExportFormat::Onnx;
    for (flag, given) in [
        ("--int4", args.int4),
        ("--int2", args.int2),
        ("--qoperator", args.qoperator),
        ("--input normalized", args.input != ExportInput::Image),
    ] {
        if given && !is_onnx {
            return Err(Error::Usage(format!("{flag} is for --format onnx")));
        }
    }
    let options = c_options(args);
    for (flag, given) in [
        ("--pixels hwc", options.pixels == PixelOrder::Hwc),
        ("--rescale integer", options.rescale == Rescale::Integer),
    ] {
        if given && args.format != ExportFormat::C {
            return Err(Error::Usage(format!("{flag} is for --format c")));
        }
    }
    Ok(())
}

fn c_options(args: &ExportArgs) -> COptions {
    COptions {
        pixels: match args.pixels {
            ExportPixels::Chw => PixelOrder::Chw,
            ExportPixels::Hwc => PixelOrder::Hwc,
        },
        rescale: match args.rescale {
            ExportRescale::Float => Rescale::Float,
            ExportRescale::Integer => Rescale::Integer,
        },
    }
}

fn onnx_options(model: &Model, args: &ExportArgs) -> OnnxOptions {
    let config = &model.config;
    let bits: Vec<String> = model
        .graph
        .weighted()
        .map(|(op, weights)| format!("{}={}", op.name, weights.bits))
        .collect();
    let mut metadata =
        vec![(METADATA_KEY.to_string(), config.to_metadata()), ("bits".into(), bits.join(","))];
    if !config.class_names.is_empty() {
        metadata.push(("class_names".into(), serde_json::json!(config.class_names).to_string()));
    }
    // Only a run folder has it; a bare file does not.
    let epochs = RunFolder::read_metrics(&args.model).map(|(_, epochs)| epochs).unwrap_or_default();
    if let Some(last) = epochs.last() {
        metadata.push(("test_accuracy".into(), last.test_accuracy.to_string()));
    }
    OnnxOptions {
        input: onnx_input(args),
        four_bits: args.int4,
        two_bits: args.int2,
        on_integers: args.qoperator,
        metadata,
    }
}

fn describe(exported: &Exported) -> String {
    let folded = match exported.folded.len() {
        0 => String::new(),
        count => format!(", {count} batch norms folded"),
    };
    let verified = exported
        .verification
        .as_ref()
        .map_or_else(String::new, |verification| format!("\n{}", verified(verification)));
    let memory = exported.rom_bytes.zip(exported.ram_bytes);
    let memory = memory
        .map_or_else(String::new, |(rom, ram)| format!(", {rom} bytes of ROM, {ram} bytes of RAM"));
    let edges =
        exported.edges.zip(exported.edges_moved).map_or_else(String::new, |(all, moved)| {
            format!(
                "\n{moved} of {} edges between levels differ from those of floats",
                thousands(all)
            )
        });
    format!(
        "{}: {} tensors, {} parameters, {}{folded}{memory}{edges}{verified}",
        exported.file,
        exported.tensors,
        exported.parameters,
        crate::report::bytes(exported.bytes)
    )
}

/// The results of the comparison; the number of compared images comes first.
fn verified(verification: &Verification) -> String {
    let Verification { images, compared, equal_predictions, levels, levels_different, .. } =
        verification;
    let of_levels = match (levels, levels_different) {
        (0, _) => String::new(),
        (_, 0) => format!("; all {} levels equal", thousands(*levels)),
        (_, different) => format!(
            "; {} of {} levels differ, each at the edge between two levels, where the rounding of \
             f32 decides ({} images)",
            thousands(*different),
            thousands(*levels),
            verification.images_at_an_edge
        ),
    };
    let alone = match verification.images_at_an_edge {
        0 => String::new(),
        _ => format!(
            " from equal levels, {:.1e} where the file runs on its own",
            verification.largest_difference_of_all
        ),
    };
    format!(
        "verified: {compared} of {images} images compared{of_levels}\n\
         {equal_predictions} of {images} predictions equal; logits within {:.1e} ({TOLERANCE:.0e} \
         is allowed){alone}",
        verification.largest_difference
    )
}

/// Runs the first images of `dataset` (`--verify` gives their number) through the file `bytes` and
/// through `model` on the GPU. Names in a C header begin with `prefix`.
fn verify_file(
    model: &Model,
    dataset: Option<&Dataset>,
    (bytes, prefix): (&[u8], &str),
    args: &ExportArgs,
    global: &GlobalArgs,
) -> Result<Option<Verification>> {
    let (Some(count), Some(dataset)) = (args.verify, dataset) else { return Ok(None) };
    let mut split = super::split_of(dataset, Split::Test).clone();
    split.truncate(count as usize, dataset.shape);
    let output = global.output();
    if split.len() < count as usize {
        output.note(&format!("--verify {count}: {} has {} test images", dataset.name, split.len()));
    }
    let header;
    let written = match args.format {
        ExportFormat::Onnx => Written::Onnx(bytes, onnx_input(args)),
        ExportFormat::Safetensors | ExportFormat::Packed => Written::Model(bytes),
        ExportFormat::C => {
            header = String::from_utf8_lossy(bytes);
            Written::CWith(&header, prefix, c_options(args))
        }
    };
    let gpu = super::open_gpu(global)?;
    let bar = Progress::items(&output, "verifying", split.len() as u64);
    let mut progress = |done| bar.set(done);
    let images = (&split, dataset.shape);
    let normalization = model.normalization()?;
    let verification =
        pollster::block_on(verify(&gpu, model, written, images, normalization, &mut progress))?;
    bar.finish();
    Ok(Some(verification))
}

fn onnx_input(args: &ExportArgs) -> OnnxInput {
    match args.input {
        ExportInput::Image => OnnxInput::Image,
        ExportInput::Normalized => OnnxInput::Normalized,
    }
}
