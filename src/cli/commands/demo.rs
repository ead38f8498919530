//! `saliq demo`: the paper on a small scale, with built-in images.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use serde::Serialize;

use super::{snapshots, train::train};
use crate::{
    Error, Result,
    batch::ResidentData,
    cli::{
        args::{DemoArgs, GlobalArgs},
        output::Output,
    },
    config::{PartialRunConfig, QuantizationOverrides, RunConfig},
    data::{self, Dataset},
    gpu::Gpu,
    judgement::wilson,
    metrics::Cost,
    model::{MODEL_FILE, Model, ModelFile},
    post_training::distributions,
    quant::QuantizerState,
    report::{
        Block, ColorMap, DistributionChart, Grid, GridColumn, LineChart, QuantizerTrace, Report,
        ResultRow, Section, Series, Table, quantizer_charts, result_table, result_terms,
    },
    saliency::{Attributions, DataOptions, ExplainedNetwork, Method, MethodOptions, explain_data},
    train::{Outcome, RunFolder, Start},
};

/// The models of Table II: folder, title, `--bits`, accuracy in the paper (MNIST).
const MODELS: [(&str, &str, &str, f32); 4] = [
    ("float", "float", "32", 0.9946),
    ("4-4", "(4,4)", "4,4", 0.9870),
    ("4-2", "(4,2)", "4,2", 0.9825),
    ("2-2", "(2,2)", "2,2", 0.9019),
];

/// A limitation that the table of accuracies does not show.
const NO_CONTROL: &str = "The quantized models start from the float model and are trained for more \
                          steps in total, so a difference from it does not come from the bits \
                          alone. `saliq reproduce` compares them with a float model that is \
                          trained for the same number of further steps.";

/// File that marks a folder as that of a demo, which the next demo replaces.
const MARKER: &str = "report.html";

impl Trained {
    /// Number of steps of its own training.
    fn steps(&self) -> u64 {
        self.config.steps.unwrap_or(self.outcome.steps.len() as u64)
    }
}

/// Adds the number of training steps of every model to `table`, those of its start first.
fn with_steps(mut table: Table, trained: &[Trained]) -> Table {
    let before = |one: &Trained| steps_before(one, trained);
    let steps = trained.iter().map(|one| match before(one) {
        0 => one.steps().to_string(),
        before => format!("{before} + {}", one.steps()),
    });
    let place = table.headers.iter().position(|header| header == "bits").map_or(1, |bits| bits + 1);
    table.headers.insert(place, "steps".into());
    for (row, steps) in table.rows.iter_mut().zip(steps) {
        row.insert(place, steps);
    }
    table
}

/// Number of training steps of the float model, if the model starts from it.
fn steps_before(one: &Trained, trained: &[Trained]) -> u64 {
    if one.config.init.is_some() { trained[0].steps() } else { 0 }
}

/// One trained model of the demo.
struct Trained {
    title: &'static str,
    bits: &'static str,
    paper: f32,
    config: RunConfig,
    outcome: Outcome,
    attributions: Attributions,
    /// Figure of the distributions before and after quantization; `None` for the float model.
    histograms: Option<String>,
}

/// Trains the float model and, starting from it, the quantized ones; writes figures, tables and
/// `report.html`.
///
/// # Errors
/// [`Error`] of the library functions that it calls.
pub fn run(args: &DemoArgs, global: &GlobalArgs) -> Result<()> {
    let output = global.output();
    let started = Instant::now();
    prepare_folder(&args.out, args.force)?;
    let dataset = data::load("mnist-mini", None)?;
    let gpu = super::open_gpu(global)?;
    output.note(&format!("running on {}", gpu.adapter_description()));
    let images = first_of_each_class(&dataset);
    let mut trained = Vec::new();
    for (folder, title, bits, paper) in MODELS {
        let (config, init) = configuration(&args.out, folder, bits, &dataset, args.tiny, &output)?;
        let outcome = train(&gpu, &config, &dataset, init, Start::Replace, &output)?;
        let attributions = explain(&gpu, &config, &dataset, &images)?;
        let histograms = if bits == "32" {
            None
        } else {
            Some(histograms(&gpu, &config, &dataset, title, args.tiny)?)
        };
        trained.push(Trained { title, bits, paper, config, outcome, attributions, histograms });
    }
    let seconds = started.elapsed().as_secs_f64();
    let table =
        with_steps(result_table(&trained.iter().map(row).collect::<Result<Vec<_>>>()?), &trained);
    let figures = figures(&trained, &dataset, &images)?;
    for (name, bytes) in &figures {
        crate::files::write_atomically(&args.out.join(name), bytes)?;
    }
    let summary = Summary::new(&trained, &gpu, seconds);
    let json =
        serde_json::to_string_pretty(&summary).map_err(|error| Error::Model(error.to_string()))?;
    crate::files::write_atomically(&args.out.join("results.json"), json.as_bytes())?;
    report(&trained, &table, &figures, &dataset, &gpu, seconds).write(args.out.join(MARKER))?;
    output.result(&summary, || finish(&table, &output, &args.out, seconds))
}

fn finish(table: &Table, output: &Output, out: &Path, seconds: f64) -> String {
    format!(
        "{}\n{NO_CONTROL}\n{} in {seconds:.0} s: {}\nthe maps: {}",
        table.to_text(None),
        output.style(crate::cli::output::Style::Good, "done"),
        out.join(MARKER).display(),
        out.join("saliency.png").display()
    )
}

/// Removes the demo's files from the folder of an earlier demo; any other folder with content is an
/// error.
fn prepare_folder(out: &Path, force: bool) -> Result<()> {
    let has_content = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    // A demo that was stopped in its first training has only the settings of that model.
    let begun = |folder: &str| {
        let folder = out.join(folder);
        folder.join(MODEL_FILE).exists() || RunFolder::config_of(&folder).exists()
    };
    let is_demo = MODELS.iter().any(|(folder, ..)| begun(folder)) || out.join(MARKER).exists();
    if has_content && !is_demo && !force {
        return Err(Error::Usage(format!(
            "{}: has other files in it; name another folder with --out, or use --force",
            out.display()
        )));
    }
    fs::create_dir_all(out).map_err(Error::io("cannot create", out))
}

/// The float model is trained from scratch, and the quantized models start from it; short enough
/// for two processor cores.
fn configuration(
    out: &Path,
    folder: &str,
    bits: &str,
    dataset: &Dataset,
    tiny: bool,
    output: &Output,
) -> Result<(RunConfig, Option<ModelFile>)> {
    let is_float = bits == "32";
    let (steps, snapshot_every) = match (tiny, is_float) {
        (true, true) => (3, 1),
        (true, false) => (1, 0),
        (false, true) => (188, 17),
        (false, false) => (56, 0),
    };
    let init = if is_float {
        String::new()
    } else {
        format!("init = {:?}\n", out.join("float").join(MODEL_FILE).display().to_string())
    };
    let limit = if tiny { "test-limit = 50\n" } else { "" };
    let text = format!(
        "dataset = \"mnist-mini\"\n\
         bits = \"{bits}\"\n\
         steps = {steps}\n\
         batch-size = {}\n\
         optimizer = \"momentum\"\n\
         lr = {}\nschedule = \"one-cycle\"\nsnapshot-every = {snapshot_every}\n{init}{limit}",
        if tiny { 8 } else { 64 },
        if is_float { 0.05 } else { 0.02 },
    );
    let mut settings = PartialRunConfig::parse(&text, "demo")?;
    settings.out = Some(out.join(folder));
    super::train::resolve_for(settings, dataset, output)
}

/// The first test image of every class.
fn first_of_each_class(dataset: &Dataset) -> Vec<usize> {
    (0..dataset.classes)
        .filter_map(|class| dataset.test.labels.iter().position(|&label| label == class))
        .collect()
}

fn explain(
    gpu: &Gpu,
    config: &RunConfig,
    dataset: &Dataset,
    images: &[usize],
) -> Result<Attributions> {
    let model = Model::load(&config.out, &QuantizationOverrides::default())?;
    let split = dataset.test.select(images, dataset.shape);
    let data = ResidentData::new(gpu, &split, dataset.shape)?;
    let parameters = gpu.upload("parameters", &model.parameters)?;
    let network = ExplainedNetwork {
        config: &model.config.network,
        quantization: &model.config.quantization,
        parameters: &parameters,
    };
    let normalization = model.normalization()?;
    let options = DataOptions { normalization, ..shown(config) };
    pollster::block_on(explain_data(gpu, network, &data, &options, &mut |_| {}))
}

/// What the figure of a model with `config` shows.
fn shown(config: &RunConfig) -> DataOptions {
    DataOptions {
        methods: vec![Method::Gradient],
        rank: config.sgt.mask_rank,
        settings: MethodOptions { seed: config.seed, ..MethodOptions::default() },
        ..DataOptions::default()
    }
}

/// Weights and activations of a quantized model, before and after, as SVG.
fn histograms(
    gpu: &Gpu,
    config: &RunConfig,
    dataset: &Dataset,
    title: &str,
    tiny: bool,
) -> Result<String> {
    let model = Model::load(&config.out, &QuantizationOverrides::default())?;
    let mut split = dataset.train.clone();
    split.truncate(if tiny { 16 } else { 256 }, dataset.shape);
    let data = ResidentData::new(gpu, &split, dataset.shape)?;
    let normalization = model.normalization()?;
    let shown = pollster::block_on(distributions(gpu, &model, &data, normalization))?;
    DistributionChart::new(
        &format!("{title}: weights and activations before and after quantization"),
        &shown,
    )
    .to_svg()
}

fn row(trained: &Trained) -> Result<ResultRow> {
    let cost = Cost::new(&trained.config.network, &trained.config.quantization)?;
    Ok(ResultRow {
        model: trained.title.into(),
        bits: trained.bits.into(),
        accuracy: trained.outcome.evaluation.accuracy as f32,
        loss: trained.outcome.evaluation.loss as f32,
        paper_accuracy: Some(trained.paper),
        floating_point_operations: cost.flops,
        weighted_operations: Some(cost.weighted_flops),
        weight_bytes: cost.packed_bytes,
        seconds: trained.outcome.seconds as f32,
        alpha: trained.outcome.alphas.iter().map(|(name, &alpha)| (name.clone(), alpha)).collect(),
    })
}

/// Every figure by file name.
fn figures(
    trained: &[Trained],
    dataset: &Dataset,
    images: &[usize],
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let split = dataset.test.select(images, dataset.shape);
    let pixels: Vec<f32> = split.images.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let grid = Grid {
        title: "What each model looks at",
        shape: dataset.shape,
        images: &pixels,
        labels: &split.known_labels(),
        class_names: &dataset.class_names,
        explained: "the predicted class",
        columns: trained
            .iter()
            .map(|one| GridColumn {
                model: one.title,
                method: Method::Gradient.name(),
                derivative: Method::Gradient.is_derivative(),
                saliency: &one.attributions.maps[0],
                channel: None,
                masked: &one.attributions.masked[0],
                predictions: &one.attributions.predictions,
                probabilities: &one.attributions.probabilities,
                accuracy: Some((
                    one.outcome.evaluation.accuracy as f32,
                    one.outcome.evaluation.images,
                )),
            })
            .collect(),
        colormap: ColorMap::Diverging,
    };
    let float = &trained[0].outcome;
    let filmstrip = snapshots::picture(
        "Saliency of the float model while it trains",
        dataset,
        &float.snapshot_images,
        &float.snapshots,
    )?;
    let chart = |title: &str,
                 y_label: &str,
                 log_y: bool,
                 value: fn(&crate::train::StepLine) -> f64| LineChart {
        title: title.into(),
        x_label: "step, those of the float model included".into(),
        y_label: y_label.into(),
        log_y,
        series: trained
            .iter()
            .map(|one| Series {
                name: one.title.into(),
                points: one
                    .outcome
                    .steps
                    .iter()
                    .map(|line| ((steps_before(one, trained) + line.step) as f64, value(line)))
                    .collect(),
                smooth: true,
                ..Series::default()
            })
            .collect(),
        ..LineChart::default()
    };
    let loss = chart("Training loss (CE + λ·KL)", "loss, nats", true, |line| line.loss);
    let kl = chart(
        "KL divergence between clean and masked predictions",
        "KL divergence, nats",
        true,
        |line| line.kl,
    );
    let quantized = trained.iter().enumerate().filter(|(_, one)| one.bits != "32");
    let traces: Vec<QuantizerTrace<'_>> =
        quantized.map(|(place, one)| trace(place, one, steps_before(one, trained))).collect();
    Ok(vec![
        ("saliency.png", grid.png()?),
        ("filmstrip.png", filmstrip),
        ("loss.svg", loss.to_svg()?.into_bytes()),
        ("kl.svg", kl.to_svg()?.into_bytes()),
        ("quantizers.svg", quantizer_charts(&traces).to_svg()?.into_bytes()),
    ])
}

/// The quantizers of a model during its training, after the `before` steps of its start.
fn trace(place: usize, one: &Trained, before: u64) -> QuantizerTrace<'_> {
    let states =
        one.outcome.steps.iter().filter(|line| line.quantizers != QuantizerState::default());
    QuantizerTrace {
        model: one.title.into(),
        place,
        states: states.map(|line| (before + line.step, &line.quantizers)).collect(),
    }
}

/// `results.json`, and the JSON of `saliq demo --json`.
#[derive(Serialize)]
struct Summary {
    adapter: String,
    seconds: f64,
    models: Vec<ModelSummary>,
}

#[derive(Serialize)]
struct ModelSummary {
    name: &'static str,
    bits: &'static str,
    accuracy: f64,
    paper_accuracy: f32,
    loss: f64,
    images: u64,
    alpha: BTreeMap<String, f32>,
    /// Number of steps of its own training, and of the training of its start.
    steps: u64,
    steps_before: u64,
    training_seconds: f64,
}

impl Summary {
    fn new(trained: &[Trained], gpu: &Gpu, seconds: f64) -> Summary {
        let models = trained
            .iter()
            .map(|one| ModelSummary {
                name: one.title,
                bits: one.bits,
                accuracy: one.outcome.evaluation.accuracy,
                paper_accuracy: one.paper,
                loss: one.outcome.evaluation.loss,
                images: one.outcome.evaluation.images,
                alpha: one.outcome.alphas.clone(),
                steps: one.steps(),
                steps_before: steps_before(one, trained),
                training_seconds: one.outcome.seconds,
            })
            .collect();
        Summary { adapter: gpu.adapter_description(), seconds, models }
    }
}

/// The command that trains a model of the demo again, in a folder next to the others.
fn again(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "saliq train --config {} --out runs/again-{name}",
        RunFolder::config_of(folder).display()
    )
}

fn report(
    trained: &[Trained],
    table: &Table,
    figures: &[(&'static str, Vec<u8>)],
    dataset: &Dataset,
    gpu: &Gpu,
    seconds: f64,
) -> Report {
    let accuracy = |one: &Trained| {
        let evaluation = &one.outcome.evaluation;
        let interval = wilson(evaluation.accuracy, evaluation.images);
        let [mean, low, high] =
            [interval.mean, interval.low, interval.high].map(|share| 100.0 * share);
        format!("{} {mean:.1} % ({low:.1}–{high:.1})", one.title)
    };
    let svg = |name: &str| {
        figures
            .iter()
            .find(|(file, _)| *file == name)
            .map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
            .unwrap_or_default()
    };
    let png = |name: &str| {
        figures
            .iter()
            .find(|(file, _)| *file == name)
            .map(|(_, bytes)| bytes.clone())
            .unwrap_or_default()
    };
    let images = trained[0].outcome.evaluation.images;
    let intro = vec![
        format!(
            "Four models of the same small CNN were trained with Saliency Guided Training on {} \
             handwritten digits. {NO_CONTROL}",
            dataset.train.len()
        ),
        format!(
            "Test accuracy on {images} images, with Wilson's 95 % intervals for their number: {}.",
            trained.iter().map(accuracy).collect::<Vec<_>>().join(", ")
        ),
        "The paper's figures, next to ours in the table, are for the full data set and longer \
         training."
            .into(),
    ];
    let histograms = trained.iter().filter_map(|one| one.histograms.clone());
    let sections = vec![
        Section {
            title: "Accuracy and cost".into(),
            blocks: vec![Block::Table(table.clone()), Block::Terms(result_terms())],
        },
        Section {
            title: "Saliency".into(),
            blocks: vec![
                Block::Image {
                    png: png("saliency.png"),
                    alt:
                        "Grid of digits with, for each model, the saliency map and the image with \
                          its low-saliency half replaced by noise"
                            .into(),
                    caption: format!(
                        "One row per digit. For each model: the {} of the predicted class's logit \
                         with respect to the image (red: brightening the pixel raises the score, \
                         blue: lowers it), and the image with {}. Below: prediction and \
                         probability.",
                        Method::Gradient.name(),
                        shown(&trained[0].config).masked()
                    ),
                },
                Block::Image {
                    png: png("filmstrip.png"),
                    alt: "Saliency maps of a few digits at several moments of training".into(),
                    caption: "Gradient maps of the float model for the same test digits during \
                              training (logit of the true class)."
                        .into(),
                },
            ],
        },
        Section {
            title: "Training".into(),
            blocks: vec![
                Block::Svg {
                    svg: svg("loss.svg"),
                    caption: "Loss per step, smoothed; the quantized models begin where the float \
                              model ended."
                        .into(),
                },
                Block::Svg {
                    svg: svg("kl.svg"),
                    caption: "The difference of each model's predictions for an image and for its \
                              masked copy, which Saliency Guided Training keeps small."
                        .into(),
                },
                Block::Svg {
                    svg: svg("quantizers.svg"),
                    caption: "PACT's clipping thresholds α, and the range of each layer's \
                              quantized weights, during training."
                        .into(),
                },
            ],
        },
        Section {
            title: "Distributions".into(),
            blocks: histograms
                .map(|svg| Block::Svg { svg, caption: DistributionChart::CAPTION.into() })
                .collect(),
        },
        Section {
            title: "How this was made".into(),
            blocks: vec![
                Block::Facts(vec![
                    ("adapter".into(), gpu.adapter_description()),
                    ("seed".into(), trained[0].config.seed.to_string()),
                    ("time".into(), format!("{seconds:.0} s in all")),
                    ("saliq".into(), env!("CARGO_PKG_VERSION").into()),
                ]),
                Block::Paragraph("To train one of these models again:".into()),
                Block::Code(
                    trained.iter().map(|one| again(&one.config.out)).collect::<Vec<_>>().join("\n"),
                ),
            ],
        },
    ];
    Report {
        title: "saliq demo: quantization and the pixels that a CNN uses".into(),
        intro,
        sections,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_that_was_stopped_can_be_run_again() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("demo");
        prepare_folder(&out, false).unwrap();
        // During the first training there is no model yet.
        fs::create_dir(out.join("float")).unwrap();
        fs::write(RunFolder::config_of(&out.join("float")), "").unwrap();
        prepare_folder(&out, false).unwrap();
        let other = root.path().join("other");
        fs::create_dir_all(other.join("float")).unwrap();
        assert!(matches!(prepare_folder(&other, false), Err(Error::Usage(_))));
        prepare_folder(&other, true).unwrap();
    }
}
