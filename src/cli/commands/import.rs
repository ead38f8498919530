//! `saliq import`.

use std::path::Path;

use serde::Serialize;

use crate::{
    Error, Result,
    cli::args::{GlobalArgs, ImportArgs},
    cli::words::phrased,
    config::{NetworkChoice, QuantizationOverrides, Shape},
    error::phrase,
    files::read_bounded,
    graph::{Graph, Op, OpKind, ParameterRole},
    model::{Model, ModelFile, Reading},
    plain,
    report::{Table, thousands},
};

/// Largest file of class names, in bytes.
const MOST_NAMES: u64 = 1 << 22;

/// Prints the layers of a file of another program, and writes it as a model of our own.
///
/// # Errors
/// Errors of the file; [`Error::Settings`] for names that do not fit it; [`Error::Io`].
pub fn run(args: &ImportArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let mut file = ModelFile::open(&args.file)?;
    file.rename(&args.rename)?;
    file.without_leftovers();
    let network = args.network.network.as_deref().map(NetworkChoice::find).transpose()?;
    let quantization = QuantizationOverrides::default();
    let reading = Reading { quantization: &quantization, network: network.as_ref(), images: None };
    let (mut model, remark) = file.model(&reading)?;
    if let Some(normalize) = &args.normalize {
        let own = normalize.0.constants().ok_or_else(|| {
            Error::Usage(
                "--normalize standard: needs a data set, which is not read here; give its \
                 MEAN,STD, which `saliq data info` prints"
                    .into(),
            )
        })?;
        own.check(model.config.network.input.channels)
            .map_err(|reason| Error::Settings(phrase!("<normalize {}>: {}", own, reason)))?;
        model.config.normalize = Some(own);
    }
    if let Some(classes) = &args.classes {
        model.config.class_names = class_names(classes)?;
    }
    model.config.validate().map_err(|error| Error::format(&args.file, error.to_string()))?;
    if let Some(remark) = &remark {
        output.note(&phrased(remark));
    }
    if model.config.normalize.is_none() {
        let path = args.file.display();
        output.note(&format!(
            "{path}: does not say how its pixels are normalised; every command will ask for \
             --normalize"
        ));
    }
    if let Some(out) = &args.out {
        Model::save(out, &model.config, &model.graph.layout, &model.parameters)?;
    }
    let imported = Imported::new(&model, args.out.as_deref());
    output.result(&imported, || imported.text())
}

/// The names of `--classes`: a file with a name a line, or a list.
fn class_names(text: &str) -> Result<Vec<String>> {
    let path = Path::new(text);
    let names: Vec<String> = match path.is_file() {
        true => {
            let bytes = read_bounded(path, MOST_NAMES)?;
            let lines = String::from_utf8(bytes)
                .map_err(|_| Error::format(path, "its class names are not UTF-8".to_string()))?;
            let lines = lines.trim_start_matches('\u{feff}').lines();
            lines.map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect()
        }
        false => text.split(',').map(|name| name.trim().to_string()).collect(),
    };
    if names.iter().any(String::is_empty) || names.len() < 2 {
        return Err(Error::Usage(format!(
            "--classes {}: no such file, and no list of names such as cat,dog",
            plain(text)
        )));
    }
    Ok(names)
}

/// What was understood.
#[derive(Serialize)]
struct Imported<'a> {
    input: Shape,
    classes: u32,
    class_names: &'a [String],
    normalize: Option<crate::config::PixelNormalization>,
    parameters: u64,
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
}

/// A layer of it.
#[derive(Serialize)]
struct Layer {
    name: String,
    kind: &'static str,
    output: Shape,
    parameters: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bits: Option<String>,
}

impl<'a> Imported<'a> {
    fn new(model: &'a Model, out: Option<&Path>) -> Imported<'a> {
        let (config, graph) = (&model.config, &model.graph);
        let layers: Vec<Layer> = config
            .network
            .layers
            .iter()
            .zip(&graph.ops)
            .map(|(layer, op)| Layer {
                name: op.name.clone(),
                kind: layer.kind.type_name(),
                output: graph.output_of(op),
                parameters: parameters(graph, &op.name),
                bits: bits(op),
            })
            .collect();
        Imported {
            input: config.network.input,
            classes: config.network.classes,
            class_names: &config.class_names,
            normalize: config.normalize,
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            layers,
            out: out.map(|out| out.display().to_string()),
        }
    }

    fn text(&self) -> String {
        let rows = self.layers.iter().map(|layer| {
            [
                layer.name.clone(),
                layer.kind.into(),
                layer.output.to_string(),
                thousands(layer.parameters),
                layer.bits.clone().unwrap_or_default(),
            ]
        });
        let table = Table::new(["layer", "kind", "output", "parameters", "bits"], rows);
        let mut text = table.to_text(None);
        let classes = self.classes;
        text.push_str(&format!(
            "\n{} parameters, images of {}, {classes} classes",
            thousands(self.parameters),
            self.input
        ));
        if let Some(out) = &self.out {
            text.push_str(&format!("; written to {out}"));
        }
        text
    }
}

/// Weights, biases, scales and shifts of the layer `name`.
fn parameters(graph: &Graph, name: &str) -> u64 {
    let own = graph.layout.parameters.iter().filter(|own| own.layer() == name);
    use ParameterRole::{Bias, Scale, Shift, Slope, Weight};
    own.filter(|own| matches!(own.role, Weight | Bias | Scale | Shift | Slope))
        .map(|own| own.len() as u64)
        .sum()
}

/// The bits of the weights or of the levels of an operation, where it is quantized.
fn bits(op: &Op) -> Option<String> {
    match &op.kind {
        OpKind::Activation(own) => own.learned.map(|_| format!("a{}", own.bits)),
        kind => {
            let bits = kind.weights()?.bits.weight;
            (bits < 32).then(|| format!("w{bits}"))
        }
    }
}
