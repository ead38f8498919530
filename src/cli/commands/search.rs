//! `saliq search`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{ModelFlags, judge::write_json, train::TrainingWatcher};
use crate::{
    Error, Result,
    batch::ResidentData,
    cli::{
        args::{GlobalArgs, SearchArgs},
        output::Output,
        progress::Progress,
        signals,
        words::phrased,
    },
    config::{BitsList, PartialRunConfig, QuantizationOverrides, RunConfig},
    data::Dataset,
    files::write_atomically,
    gpu::Gpu,
    metrics::Cost,
    model::{MODEL_FILE, Model},
    report::{Table, fixed, thousands},
    search::{
        Found, Measured, Plan, Point, Probe, RecoverySettings, Rule, SearchSettings, Sensitivity,
        Space, Unit, Watcher, answer, bits_toml, check_budget, frontier_charts, frontier_csv,
        recover, search,
    },
    train::DataLocation,
};

const RESULT_FILE: &str = "search.json";
const CSV_FILE: &str = "frontier.csv";
const FIGURE_FILE: &str = "frontier.svg";
const BITS_FILE: &str = "bits.toml";

/// The JSON of `saliq search --json` and `search.json`.
#[derive(Serialize)]
struct Summary {
    model: PathBuf,
    dataset: String,
    adapter: String,
    command: String,
    plan: Plan,
    forward_equivalents: f64,
    float: FloatModel,
    slots: Vec<SlotResult>,
    budget: BudgetResult,
    chosen: Chosen,
    /// The paper's closing question, answered from these numbers.
    answer: Vec<String>,
    frontier: Vec<Point>,
    /// The models that were trained on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovered: Vec<Recovered>,
}

#[derive(Serialize)]
struct FloatModel {
    search: Measured,
    test: Measured,
    bit_ops: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SlotResult {
    name: String,
    widths: Vec<WidthResult>,
}

#[derive(Serialize)]
struct WidthResult {
    bits: u32,
    #[serde(flatten)]
    sensitivity: Sensitivity,
}

#[derive(Serialize)]
struct BudgetResult {
    unit: Unit,
    limit: u64,
}

#[derive(Serialize)]
struct Chosen {
    bits: std::collections::BTreeMap<String, String>,
    candidates: usize,
    bit_ops: u64,
    bytes: u64,
    /// Share of the float model's BitOPs.
    bit_ops_share: f64,
    search: Measured,
    test: Measured,
}

#[derive(Serialize)]
struct Recovered {
    rule: Rule,
    bits: String,
    out: PathBuf,
    #[serde(flatten)]
    measured: Measured,
}

/// Searches the bits of a model.
///
/// # Errors
/// [`Error`] of the library functions that it calls.
pub fn run(args: &SearchArgs, global: &GlobalArgs) -> Result<()> {
    let settings = args.settings()?;
    let output = global.output();
    super::refuse_file(&args.out)?;
    super::check_new(&args.out.join(RESULT_FILE), args.force || args.plan)?;
    let own = QuantizationOverrides::default();
    let flags = ModelFlags::of(&args.network, &own, &args.data, args.normalize.as_ref(), global);
    let mut model = flags.open(&args.model)?;
    super::check_float(&model, "search")?;
    let (dataset, normalization) = flags.data(&mut model)?;
    let network = &model.config.network;
    let space = Space::new(network, &settings.quantization, &settings.widths, settings.tied)?;
    check_budget(&settings, &space, &Cost::new(network, &model.config.quantization)?)?;
    let plan = Plan::new(&model.config.network, &settings, dataset.train.len() as u32)?;
    if args.plan {
        return output.result(&plan, || describe_plan(&plan, args));
    }
    if args.recover > 0 && args.alignment() > 0.0 {
        check_alignment(&model)?;
    }
    let mut test = dataset.test.clone();
    test.truncate(args.test_limit.unwrap_or(u32::MAX) as usize, dataset.shape);
    let mut train = dataset.train.clone();
    train.truncate(settings.images.max(settings.calibration_images) as usize, dataset.shape);
    let gpu = super::open_gpu(global)?;
    flags.say(&output);
    signals::install();
    let data = [
        ResidentData::new(&gpu, &train, dataset.shape)?,
        ResidentData::new(&gpu, &test, dataset.shape)?,
    ];
    let mut bars = Bars { output, bar: None };
    let images = [&data[0], &data[1]];
    let found = search(&gpu, &model, &settings, images, normalization, &mut bars)?;
    bars.finish();

    super::prepare_folder(&args.out)?;
    save(args, &space, &found, &dataset)?;
    let mut recovered = Vec::new();
    if args.recover > 0 {
        let maps = settings.map_images;
        let probe = Probe::new(&gpu, &model, (images[1], normalization), maps);
        let probe = pollster::block_on(probe)?;
        let training = recovery(args, &model, &dataset);
        for (rule, start, out) in starts(&gpu, args, &settings, &model, &found, &data[0])? {
            let bits = BitsList(start.config.quantization.bits.clone()).to_string();
            let label = format!("{} ({bits})", rule.name());
            train_on(&gpu, (&training, &out), &start, &dataset, (&label, &output))?;
            let trained = Model::load(&out, &QuantizationOverrides::default())?;
            let measured = pollster::block_on(probe.measure(&trained))?;
            recovered.push(Recovered { rule, bits, out, measured });
        }
    }
    let summary = summary(args, &model, &dataset, &gpu, plan, &settings, &space, found, recovered)?;
    write_json(&args.out.join(RESULT_FILE), &summary)?;
    output.result(&summary, || describe(&summary, args))
}

/// Progress bars, one a part.
struct Bars {
    output: Output,
    bar: Option<(String, Progress)>,
}

impl Bars {
    fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Watcher for Bars {
    fn progress(&mut self, what: &str, done: u64, total: u64) -> Result<()> {
        if self.bar.as_ref().is_none_or(|(own, _)| own != what) {
            self.finish();
            self.bar = Some((what.into(), Progress::items(&self.output, what, total)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set(done);
        }
        signals::interrupted().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
    }
}

/// Refuses a network whose maps cannot be aligned, before the search.
fn check_alignment(model: &Model) -> Result<()> {
    let network = &model.config.network;
    let settings = PartialRunConfig {
        network: Some(network.clone().into()),
        teacher: Some(model.path.clone()),
        align: Some(1.0),
        ..PartialRunConfig::default()
    };
    let info = crate::config::DatasetInfo {
        name: "images".into(),
        shape: network.input,
        classes: network.classes,
    };
    let checked = crate::config::resolve(settings, &info).map(|_: RunConfig| ());
    checked.map_err(|error| match error {
        Error::Settings(said) => Error::Usage(format!(
            "{}; --align 0 trains without it, --recover 0 not at all",
            phrased(&said)
        )),
        other => other,
    })
}

/// The quantized model, its bits and the frontier.
fn save(args: &SearchArgs, space: &Space, found: &Found, dataset: &Dataset) -> Result<()> {
    let out = &args.out;
    let mut config = found.model.config.clone();
    super::name_dataset(&mut config, dataset);
    let (layout, parameters) = (&found.model.graph.layout, &found.model.parameters);
    Model::save(&out.join(MODEL_FILE), &config, layout, parameters)?;
    DataLocation::of(dataset).write(out)?;
    let remarks = [
        super::command_line(),
        "Use: saliq train --config bits.toml --init MODEL --teacher MODEL --align 5".into(),
    ];
    let bits = bits_toml(&space.network, &space.layers, &found.model.config.quantization, &remarks);
    write_atomically(&out.join(BITS_FILE), bits.as_bytes())?;
    write_atomically(&out.join(CSV_FILE), frontier_csv(&found.points).as_bytes())?;
    let figure = frontier_charts(&found.points, &found.float[1]);
    write_atomically(&out.join(FIGURE_FILE), figure.to_svg()?.as_bytes())
}

/// What is trained on: the chosen model, and those of the baselines at the budget.
fn starts(
    gpu: &Gpu,
    args: &SearchArgs,
    settings: &SearchSettings,
    model: &Model,
    found: &Found,
    train: &ResidentData,
) -> Result<Vec<(Rule, Model, PathBuf)>> {
    let mut starts = vec![(Rule::Search, found.model.clone(), args.out.join("recovered"))];
    if args.recover_baselines {
        let unit = settings.budget.unit();
        let baselines = found.points.iter().filter(|point| {
            (point.unit, point.limit) == (unit, found.limit)
                && matches!(point.rule, Rule::Uniform | Rule::Loss | Rule::Fisher)
        });
        let data = train.first(gpu, settings.calibration_images)?;
        let normalization = model.normalization()?;
        for point in baselines {
            let quantization = crate::config::QuantizationConfig {
                bits: point.bits.clone(),
                ..found.model.config.quantization.clone()
            };
            let options = crate::post_training::PostTraining {
                quantization,
                calibration: settings.calibration,
            };
            let made = crate::post_training::quantize(gpu, model, &options, &data, normalization);
            let name = format!("recovered-{}", point.rule.name());
            starts.push((point.rule, pollster::block_on(made)?.0, args.out.join(name)));
        }
    }
    Ok(starts)
}

fn recovery(args: &SearchArgs, model: &Model, dataset: &Dataset) -> RecoverySettings {
    let location = DataLocation::of(dataset);
    let name = location.dataset.filter(|_| !dataset.is_named());
    RecoverySettings {
        teacher: std::path::absolute(&model.path).unwrap_or_else(|_| model.path.clone()),
        epochs: args.recover,
        align: args.alignment(),
        lr: args.lr,
        batch_size: args.batch_size,
        train_limit: args.train_limit,
        test_limit: args.test_limit,
        seed: args.seed,
        dataset: (name.unwrap_or_else(|| dataset.name.clone()), args.data.data_dir.clone()),
    }
}

fn train_on(
    gpu: &Gpu,
    (settings, out): (&RecoverySettings, &Path),
    start: &Model,
    dataset: &Dataset,
    (label, output): (&str, &Output),
) -> Result<()> {
    let mut images = dataset.train.len() as u64;
    images = images.min(settings.train_limit.map_or(u64::MAX, u64::from));
    let steps = u64::from(settings.epochs) * images.div_ceil(u64::from(settings.batch_size));
    let mut watcher = TrainingWatcher::named(output, label, steps);
    recover(gpu, start, settings, dataset, out, &mut watcher)?;
    watcher.finish();
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the parts of one record")]
fn summary(
    args: &SearchArgs,
    model: &Model,
    dataset: &Dataset,
    gpu: &Gpu,
    plan: Plan,
    settings: &SearchSettings,
    space: &Space,
    found: Found,
    recovered: Vec<Recovered>,
) -> Result<Summary> {
    let cost = Cost::new(&model.config.network, &model.config.quantization)?;
    let first = &found.points[0];
    let bits = space.layers.iter().zip(&first.bits);
    let chosen = Chosen {
        bits: bits.map(|(layer, own)| (layer.clone(), own.in_full())).collect(),
        candidates: found.chosen.tried,
        bit_ops: first.bit_ops,
        bytes: first.bytes,
        bit_ops_share: first.bit_ops as f64 / cost.bit_ops as f64,
        search: found.chosen.measured,
        test: first.measured,
    };
    let slot = |(slot, own): (&crate::search::Slot, &Vec<Sensitivity>)| SlotResult {
        name: slot.name.clone(),
        widths: space
            .widths
            .iter()
            .zip(own)
            .map(|(&bits, &sensitivity)| WidthResult { bits, sensitivity })
            .collect(),
    };
    Ok(Summary {
        model: args.model.clone(),
        dataset: dataset.name.clone(),
        adapter: gpu.adapter_description(),
        command: super::command_line(),
        plan,
        forward_equivalents: found.forward_equivalents,
        float: FloatModel {
            search: found.float[0],
            test: found.float[1],
            bit_ops: cost.bit_ops,
            bytes: cost.float_bytes,
        },
        slots: space.slots.iter().zip(&found.sensitivities.0).map(slot).collect(),
        budget: BudgetResult { unit: settings.budget.unit(), limit: found.limit },
        chosen,
        answer: answer(&found.points, &found.float[1], recovered.first().map(|own| &own.measured)),
        frontier: found.points,
        recovered,
    })
}

fn describe_plan(plan: &Plan, args: &SearchArgs) -> String {
    let rows = plan.layers.iter().map(|layer| {
        [layer.name.clone(), layer.slots.to_string(), fixed(layer.forward_equivalents_per_width, 2)]
    });
    let table = Table::new(["layer", "slots", "forward passes a width"], rows).to_text(None);
    format!(
        "{table}\n{} forward passes of {} images for the sensitivities (maps of {}; a pass back to \
         the input counts as one), {} for the float network; {} for each of at most {} candidates \
         a budget; at most {} models of the frontier on the test images; {} epochs of training",
        fixed(plan.sensitivities, 1),
        plan.images,
        plan.map_images,
        fixed(plan.reference, 2),
        fixed(plan.candidate, 2),
        plan.candidates,
        plan.frontier,
        args.recover
    )
}

fn describe(summary: &Summary, args: &SearchArgs) -> String {
    let limit = summary.budget.limit;
    let at_budget = summary.frontier.iter().filter(|point| {
        (point.unit, point.limit) == (summary.budget.unit, limit) && point.rule != Rule::Random
    });
    let row = |name: &str, bits: String, measured: &Measured, costs: [u64; 2]| {
        [
            name.to_string(),
            bits,
            format!("{:.2}", 100.0 * measured.accuracy),
            fixed(measured.alignment, 3),
            fixed(measured.loss, 4),
            thousands(costs[0]),
            thousands(costs[1]),
        ]
    };
    let float = &summary.float;
    let mut rows = vec![row("float", "32".into(), &float.test, [float.bit_ops, float.bytes])];
    rows.extend(at_budget.map(|point| {
        let bits = BitsList(point.bits.clone()).to_string();
        row(point.rule.name(), bits, &point.measured, [point.bit_ops, point.bytes])
    }));
    let random: Vec<&Point> = summary
        .frontier
        .iter()
        .filter(|point| (point.rule, point.unit) == (Rule::Random, summary.budget.unit))
        .collect();
    if !random.is_empty() {
        let measured = Measured::mean(random.iter().map(|own| &own.measured));
        let most = |of: fn(&Point) -> u64| random.iter().map(|own| of(own)).max().unwrap_or(0);
        let costs = [most(|own| own.bit_ops), most(|own| own.bytes)];
        rows.push(row(&format!("random, mean of {}", random.len()), "–".into(), &measured, costs));
    }
    for own in &summary.recovered {
        let costs = summary
            .frontier
            .iter()
            .find(|point| {
                point.rule == own.rule && BitsList(point.bits.clone()).to_string() == own.bits
            })
            .map_or([0, 0], |point| [point.bit_ops, point.bytes]);
        let name = format!("{}, trained", own.rule.name());
        rows.push(row(&name, own.bits.clone(), &own.measured, costs));
    }
    let headers = ["bits by", "bits", "accuracy %", "rank correlation", "loss", "BitOPs", "bytes"];
    format!(
        "{}\nwithin {} {}, on the test images; maps against those of the float model\n{}\n{}, {}",
        Table::new(headers, rows).to_text(None),
        thousands(limit),
        summary.budget.unit.name(),
        summary.answer.join("\n"),
        args.out.join(BITS_FILE).display(),
        args.out.join(FIGURE_FILE).display()
    )
}
