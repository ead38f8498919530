//! `saliq cost`.

use std::path::Path;

use crate::{
    Result,
    cli::args::{Accounting, CostArgs, GlobalArgs},
    config::{
        DatasetInfo, NetworkChoice, NetworkConfig, PartialRunConfig, QuantizationConfig, Shape,
        resolve,
    },
    data,
    deploy::packed_file,
    metrics::{Cost, LayerKind, PaperCost},
    model::MODEL_FILE,
    report::{Table, bytes, thousands},
    train::RunFolder,
};

/// Counts operations, bits and bytes. Needs no adapter, and no images if the data set is a known
/// one.
///
/// # Errors
/// [`crate::Error`] for an invalid model or configuration, or for bits that do not fit it.
pub fn run(args: &CostArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let (network, quantization, packed_file_bytes) = subject(args, global)?;
    match args.accounting {
        Accounting::Executed => {
            let cost = Cost { packed_file_bytes, ..Cost::new(&network, &quantization)? };
            super::note_float_bulk(
                &cost,
                args.subject.as_deref().filter(|path| is_model(path)),
                &output,
            );
            output.result(&cost, || describe(&cost))
        }
        Accounting::Paper => {
            let cost = PaperCost::new(&network, &quantization)?;
            output.result(&cost, || describe_paper(&cost))
        }
    }
}

/// The network and its quantization, from a model, from a configuration, or Table I's in float,
/// with `--bits` and related flags over it. For a model that can be deployed, also the size of its
/// packed file.
fn subject(
    args: &CostArgs,
    global: &GlobalArgs,
) -> Result<(NetworkConfig, QuantizationConfig, Option<u64>)> {
    let configuration = match &args.subject {
        None => PartialRunConfig::default(),
        Some(path) if is_model(path) => {
            let flags = super::ModelFlags {
                assumed: Default::default(),
                read: Default::default(),
                network: &args.network,
                quantization: &args.quantization,
                dataset: args.dataset.as_deref(),
                data_dir: args.data_dir.as_deref(),
                normalize: None,
                reading: args.read.options(global.image_color(), 0),
                output: global.output(),
            };
            let model = flags.open(path)?;
            flags.say(&global.output());
            // A model has no α's for bits that it was not trained with: its cost can be counted,
            // but no file can be written.
            let packed =
                if model.has_alphas() { Some(packed_file(&model)?.len() as u64) } else { None };
            return Ok((model.config.network, model.config.quantization, packed));
        }
        Some(path) if path.is_dir() => PartialRunConfig::from_file(&RunFolder::config_of(path))?,
        Some(path) => PartialRunConfig::from_file(path)?,
    };
    let configuration = match &args.network.network {
        Some(text) => configuration.with_network(NetworkChoice::find(text)?.table()),
        None => configuration,
    };
    let info = images_of(&configuration, args, global)?;
    let config = resolve(configuration, &info)?;
    let quantization = args.quantization.apply(&config.quantization, &config.network)?;
    Ok((config.network, quantization, None))
}

/// Whether it is a tensor file or one of ONNX, or a folder with one. A run that has just begun has
/// only a configuration.
fn is_model(path: &Path) -> bool {
    if path.is_dir() {
        path.join(MODEL_FILE).exists()
    } else {
        let is_ending = |ending: &std::ffi::OsStr| ending == "safetensors" || ending == "onnx";
        path.extension().is_some_and(is_ending)
    }
}

/// Shape and number of classes of the images: from the configuration, from a known data set, or
/// from the data set found.
fn images_of(
    configuration: &PartialRunConfig,
    args: &CostArgs,
    global: &GlobalArgs,
) -> Result<DatasetInfo> {
    let name = args.dataset.as_deref().unwrap_or(configuration.dataset_name());
    let info = |shape: Shape, classes: u32| DatasetInfo { name: name.into(), shape, classes };
    let own = configuration.network.as_ref().and_then(|network| network.input.zip(network.classes));
    if let (Some((shape, classes)), None) = (own, &args.dataset) {
        return Ok(info(shape, classes));
    }
    let preset = configuration.network.as_ref().and_then(|network| network.preset);
    let has_data = args.dataset.is_some() || configuration.dataset.is_some();
    if let Some(preset) = preset.filter(|_| !has_data) {
        return Ok(info(preset.input, preset.classes));
    }
    if let Some(known) = data::catalog::find(name) {
        return Ok(info(known.shape, known.class_names.len() as u32));
    }
    let data_dir = args.data_dir.as_deref().or(configuration.data_dir.as_deref());
    let reading = args.read.options(global.image_color(), 0).over(configuration.reading());
    let dataset = super::data::load(name, data_dir, &reading, &global.output())?;
    Ok(dataset.info())
}

fn bits(weight: u32, input: u32) -> String {
    let width = |bits: u32| if bits < 32 { bits.to_string() } else { "float".into() };
    format!("{} × {}", width(weight), width(input))
}

fn shape(shape: Shape) -> String {
    match <[u32; 3]>::from(shape) {
        [channels, 1, 1] => channels.to_string(),
        [channels, height, width] => format!("{channels}×{height}×{width}"),
    }
}

fn describe(cost: &Cost) -> String {
    let headers = [
        "layer",
        "output",
        "MACs",
        "FLOPs",
        "weights × input",
        "BitOPs",
        "FLOPs · bits/32",
        "parameters",
        "weight bytes",
        "activation bytes",
    ];
    let mut rows: Vec<Vec<String>> = cost
        .layers
        .iter()
        .map(|layer| {
            vec![
                layer.name.clone(),
                shape(layer.output),
                thousands(layer.macs),
                thousands(layer.flops),
                bits(layer.weight_bits, layer.input_bits),
                thousands(layer.bit_ops),
                match layer.kind {
                    LayerKind::Conv => thousands(layer.weighted_flops),
                    LayerKind::Linear => format!("{} (unscaled)", thousands(layer.weighted_flops)),
                },
                thousands(layer.parameters),
                thousands(layer.weight_bytes),
                thousands(layer.activation_bytes),
            ]
        })
        .collect();
    rows.push(vec![
        "total".into(),
        String::new(),
        thousands(cost.macs),
        thousands(cost.flops),
        String::new(),
        thousands(cost.bit_ops),
        thousands(cost.weighted_flops),
        thousands(cost.parameters),
        thousands(cost.weight_bytes),
        thousands(cost.activation_bytes),
    ]);
    let file = cost.packed_file_bytes.map_or_else(String::new, |file| {
        format!("; with its header a file of {} bytes", thousands(file))
    });
    format!(
        "{}\n\
         memory of an inference: {} at most (image and outputs among them), during {}\n\
         packed model: {} (weights at their bits; biases, steps and α in float){file}, {:.1} times \
         smaller than the {} of float",
        Table::new(headers, rows).to_text(None),
        bytes(cost.peak_activation_bytes),
        cost.peak_activation_layer,
        bytes(cost.packed_bytes),
        cost.float_bytes as f64 / cost.packed_bytes.max(1) as f64,
        bytes(cost.float_bytes)
    )
}

fn describe_paper(cost: &PaperCost) -> String {
    let mut rows: Vec<[String; 4]> = cost
        .layers
        .iter()
        .map(|layer| {
            [
                layer.name.clone(),
                thousands(layer.flops),
                layer.bits.to_string(),
                thousands(layer.weighted_flops),
            ]
        })
        .collect();
    rows.push([
        "total".into(),
        thousands(cost.flops),
        String::new(),
        thousands(cost.weighted_flops),
    ]);
    format!(
        "{}\n\
         the paper's own count: 225,792·b1/32 + 30,618,624·b2/32 + 1,180,928. conv1 is counted \
         with padding that the network does not have, and the number for conv2 matches no layout \
         of it; without --accounting paper, the executed operations are counted",
        Table::new(["layer", "FLOPs (paper)", "bits", "FLOPs · bits/32"], rows).to_text(None)
    )
}
