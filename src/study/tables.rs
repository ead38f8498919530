//! The tables of a report.

use clap::ValueEnum;

use super::{
    findings::{p_value, percent, percent_interval},
    judge::{CALIBRATION_IMAGES, PTQ_WEIGHTS},
    plan::{Plan, PlannedRun, Stage, Variant},
    statistics::Difference,
    summary::{IntervalOver, MethodSummary, ModelSummary, Summary},
};
use crate::{
    Result,
    config::{
        DatasetInfo, LayerConfig, LayerKind, OptimizerConfig, OptimizerKind, PartialRunConfig,
        RunConfig, SgtConfig, SgtVariant, Shape, WeightQuantizer, resolve,
    },
    judgement::Interval,
    metrics::PaperCost,
    report::{Table, bytes, counted, fixed, plus_minus, thousands},
};

/// Text of an empty cell.
const NOTHING: &str = "–";

fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { fixed(value, digits) } else { NOTHING.into() }
}

/// `0.532 (0.510–0.553)`.
fn interval(value: Interval, digits: usize) -> String {
    let range = if value.low.is_finite() {
        format!(" ({}–{})", fixed(value.low, digits), fixed(value.high, digits))
    } else {
        String::new()
    };
    format!("{}{range}", number(value.mean, digits))
}

/// `−0.12 (p = 0.03)`.
fn difference(difference: Option<Difference>, factor: f64, digits: usize) -> String {
    difference.map_or(NOTHING.into(), |own| {
        format!("{} ({})", plus_minus(factor * own.mean.mean, digits), p_value(own))
    })
}

/// A column: its heading, and a function that gives the cell of a model.
type Column<'a> = (String, Box<dyn Fn(&ModelSummary) -> String + 'a>);

/// Omits columns in which every cell is empty.
fn table<'a>(models: &[&ModelSummary], columns: Vec<Column<'a>>) -> Table {
    let filled = |(_, cell): &Column<'a>| models.iter().any(|model| cell(model) != NOTHING);
    let columns: Vec<Column<'a>> = columns.into_iter().filter(filled).collect();
    let headers: Vec<String> = columns.iter().map(|(header, _)| header.clone()).collect();
    Table::new(
        headers,
        models.iter().map(|model| columns.iter().map(|(_, cell)| cell(model)).collect::<Vec<_>>()),
    )
}

fn column<'a>(header: &str, cell: impl Fn(&ModelSummary) -> String + 'a) -> Column<'a> {
    (header.to_string(), Box::new(cell))
}

/// Table II for the models of one data set and training.
pub fn accuracy(summary: &Summary, dataset: &str, sgt: bool) -> Table {
    let models: Vec<&ModelSummary> = summary.of(dataset, sgt).collect();
    let over = |what| models.iter().all(|model| model.interval_over == what);
    let heading = if over(IntervalOver::Seeds) {
        "test accuracy (95 % over seeds)"
    } else if over(IntervalOver::TestImages) {
        "test accuracy (one seed; 95 % over test images)"
    } else {
        "test accuracy (95 % over seeds, of one seed over test images)"
    };
    let paper = if dataset.ends_with("-mini") { "paper, whole set" } else { "paper" };
    let columns = vec![
        column("model", |model| model.variant.label()),
        column(heading, |model| percent_interval(model.accuracy)),
        column(paper, |model| model.paper_accuracy.map_or(NOTHING.into(), percent)),
        column("goal", |model| model.goal.map_or(NOTHING.into(), percent)),
        column("goal reached", |model| match model.goal_met {
            Some(true) => "yes".into(),
            Some(false) => "no".into(),
            None => NOTHING.into(),
        }),
        column("control", |model| model.compared_with.clone().unwrap_or(NOTHING.into())),
        column("points from control", |model| difference(model.accuracy_difference, 100.0, 2)),
        column("loss, nats ↓", |model| number(model.loss.mean, 4)),
        column("seeds", |model| model.seeds.len().to_string()),
    ];
    table(&models, columns)
}

/// The cost of a forward pass of the models of one data set, by both accountings.
pub fn cost(summary: &Summary, dataset: &str) -> Table {
    let mut models: Vec<&ModelSummary> = Vec::new();
    // Further training does not change the cost of a float model.
    let is_own = |model: &&ModelSummary| {
        model.variant.dataset == dataset && model.variant.stage != Stage::FloatContinued
    };
    for model in summary.models.iter().filter(is_own) {
        let is_new = |other: &&ModelSummary| other.variant.label() != model.variant.label();
        if models.iter().all(is_new) {
            models.push(model);
        }
    }
    let columns = vec![
        column("model", |model| model.variant.label()),
        column("multiply-accumulates", |model| thousands(model.cost.macs)),
        column("bit operations", |model| thousands(model.cost.bit_operations)),
        column("FLOPs · bits/32, executed", |model| thousands(model.cost.weighted_operations)),
        column("FLOPs as the paper counts", |model| {
            model.cost.paper_operations.map_or(NOTHING.into(), thousands)
        }),
        column("weights", |model| bytes(model.cost.weight_bytes)),
    ];
    table(&models, columns)
}

/// Clarity and stability by one method.
pub fn maps(summary: &Summary, dataset: &str, sgt: bool, method: &str) -> Table {
    let models: Vec<&ModelSummary> = summary.of(dataset, sgt).collect();
    let of = |value: fn(&MethodSummary) -> Interval, digits: usize| {
        move |model: &ModelSummary| {
            model.method(method).map_or(NOTHING.into(), |map| interval(value(map), digits))
        }
    };
    let test = |value: fn(&MethodSummary) -> Option<Difference>, digits: usize| {
        move |model: &ModelSummary| {
            model.method(method).map_or(NOTHING.into(), |map| difference(value(map), 1.0, digits))
        }
    };
    let columns = vec![
        column("model", |model| model.variant.label()),
        column("Gini ↑, 0–1", of(|map| map.gini, 3)),
        column("from control", test(|map| map.gini_difference, 3)),
        column("entropy ↓, nats", of(|map| map.entropy, 2)),
        column("from control", test(|map| map.entropy_difference, 2)),
        column("max-sensitivity ↓, from 0", of(|map| map.sensitivity, 3)),
        column("from control", test(|map| map.sensitivity_difference, 3)),
        column("faithfulness, points from control", |model| {
            model
                .method(method)
                .map_or(NOTHING.into(), |map| difference(map.faithfulness_difference, 100.0, 1))
        }),
    ];
    table(&models, columns)
}

/// Alignment with the control by one method; `None` if no model has a control.
pub fn alignment(summary: &Summary, dataset: &str, sgt: bool, method: &str) -> Option<Table> {
    let models: Vec<&ModelSummary> =
        summary.of(dataset, sgt).filter(|model| model.compared_with.is_some()).collect();
    let of = |value: fn(&MethodSummary) -> Interval| {
        move |model: &ModelSummary| {
            model.method(method).map_or(NOTHING.into(), |map| interval(value(map), 3))
        }
    };
    let columns = vec![
        column("model", |model| model.variant.label()),
        column("with the maps of", |model| model.compared_with.clone().unwrap_or(NOTHING.into())),
        column("Spearman ↑, −1 to 1", of(|map| map.spearman)),
        column("structural similarity ↑, −1 to 1", of(|map| map.ssim)),
        column("top-10 % overlap ↑, 0–1", of(|map| map.overlap)),
    ];
    (!models.is_empty()).then(|| table(&models, columns))
}

fn methods(summary: &Summary, dataset: &str, sgt: bool) -> Vec<String> {
    summary
        .of(dataset, sgt)
        .next()
        .map_or(Vec::new(), |model| model.methods.keys().cloned().collect())
}

/// Mean accuracy over the drop curves, one column per method.
pub fn drop(summary: &Summary, dataset: &str, sgt: bool) -> Table {
    let models: Vec<&ModelSummary> = summary.of(dataset, sgt).collect();
    let mut columns = vec![
        column("model", |model| model.variant.label()),
        column("random", |model| number(model.random_area, 3)),
    ];
    columns.extend(methods(summary, dataset, sgt).into_iter().map(|method| {
        column(&method.clone(), move |model| {
            model.method(&method).map_or(NOTHING.into(), |map| interval(map.drop_area, 3))
        })
    }));
    table(&models, columns)
}

/// ROAR accuracies over the removed shares; `None` if ROAR was not run.
pub fn retraining(summary: &Summary, dataset: &str, sgt: bool, method: &str) -> Option<Table> {
    let shares: Vec<f64> = summary
        .of(dataset, sgt)
        .filter_map(|model| model.method(method))
        .map(|map| map.retrained.iter().map(|(share, _)| *share).collect::<Vec<f64>>())
        .find(|shares| !shares.is_empty())?;
    let row = |name: String, curve: &[(f64, f64)]| {
        let at = shares.iter().enumerate().map(|(place, _)| {
            curve.get(place).map_or(NOTHING.into(), |(_, value)| percent(*value))
        });
        std::iter::once(name).chain(at).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = summary
        .of(dataset, sgt)
        .filter_map(|model| Some((model, &model.method(method)?.retrained)))
        .filter(|(_, curve)| !curve.is_empty())
        .map(|(model, curve)| row(model.variant.label(), curve))
        .collect();
    if let Some(float) = summary.of(dataset, sgt).find(|model| !model.random_retrained.is_empty()) {
        rows.push(row("random order".into(), &float.random_retrained));
    }
    let headers = shares.iter().map(|share| format!("{:.0} % removed", 100.0 * share));
    Some(Table::new(
        std::iter::once("maps of".to_string()).chain(headers).collect::<Vec<_>>(),
        rows,
    ))
}

/// Correlation with the own map after all layers are randomised, one column per method; `None` if
/// the check was not run.
pub fn randomisation(summary: &Summary, dataset: &str, sgt: bool) -> Option<Table> {
    let models: Vec<&ModelSummary> = summary.of(dataset, sgt).collect();
    let last = |model: &ModelSummary, method: &str| {
        Some(model.method(method)?.randomisation.last()?.spearman)
    };
    let checked = methods(summary, dataset, sgt)
        .into_iter()
        .filter(|method| models.iter().any(|model| last(model, method).is_some()));
    let mut columns = vec![column("model", |model| model.variant.label())];
    for method in checked {
        let zeros = method.clone();
        columns.push(column(&method.clone(), move |model| {
            last(model, &method).map_or(NOTHING.into(), |own| interval(own, 2))
        }));
        columns.push(column("zeros", move |model| {
            model
                .method(&zeros)
                .filter(|map| map.zeros.is_finite())
                .map_or(NOTHING.into(), |map| format!("{:.0} %", 100.0 * map.zeros))
        }));
    }
    (columns.len() > 1).then(|| table(&models, columns))
}

/// The recipes of the models of one data set, one row per model: its start and all settings except
/// the seed.
///
/// # Errors
/// For settings that do not fit together.
pub fn recipes(plan: &Plan, dataset: &str) -> Result<Table> {
    let mut seen: Vec<&Variant> = Vec::new();
    let mut rows = Vec::new();
    for run in plan.runs.iter().filter(|run| run.variant.dataset == dataset) {
        if seen.contains(&&run.variant) {
            continue;
        }
        seen.push(&run.variant);
        // The table does not depend on the shape of the data set.
        let info = DatasetInfo { name: dataset.into(), shape: Shape::new(1, 28, 28), classes: 10 };
        let config = resolve(PartialRunConfig::parse(&run.settings, &run.folder)?, &info)?;
        rows.push(recipe(plan, run, &config));
    }
    let headers = [
        "model",
        "starts from",
        "steps",
        "images",
        "batch",
        "optimiser",
        "learning rate",
        "λ",
        "masked",
        "weights",
        "augmentation, dropout",
    ];
    Ok(Table::new(headers, rows))
}

fn recipe(plan: &Plan, run: &PlannedRun, config: &RunConfig) -> [String; 11] {
    let start = run.start.and_then(|index| plan.runs.get(index));
    let from = start.map_or("random weights".into(), |start| start.variant.label());
    let quantizer = |quantizer: WeightQuantizer| {
        format!(
            "{}{}",
            value_name(quantizer),
            if config.quantization.per_channel { ", per channel" } else { "" }
        )
    };
    let model = run.variant.full_label();
    if run.variant.stage == Stage::PostTraining {
        let gap = || NOTHING.to_string();
        let images = format!(
            "{} to calibrate",
            CALIBRATION_IMAGES.min(start.map_or(0, |start| start.work.images))
        );
        return [
            model,
            from,
            format!("{} + 0", start.map_or(0, |start| start.work.steps)),
            images,
            gap(),
            gap(),
            gap(),
            gap(),
            gap(),
            quantizer(PTQ_WEIGHTS),
            gap(),
        ];
    }
    let before = start.map_or(String::new(), |start| format!("{} + ", start.work.steps));
    let sgt = &config.sgt;
    let (lambda, masked) = match sgt.enabled {
        true => (sgt.lambda.to_string(), masking(sgt)),
        false => (NOTHING.into(), NOTHING.into()),
    };
    let changes: Vec<String> = config.augment.iter().map(|&kind| value_name(kind)).collect();
    let rates: Vec<String> =
        dropouts(config).into_iter().map(|rate| format!("dropout {rate}")).collect();
    let changes = [changes, rates].concat();
    [
        model,
        from,
        format!("{before}{}", run.work.steps),
        thousands(run.work.images.into()),
        config.batch_size.to_string(),
        optimizer(&config.optimizer),
        match config.schedule.warmup_steps {
            0 => format!("{} ({})", config.learning_rate, value_name(config.schedule.kind)),
            warmup => {
                let warmup = counted(warmup as usize, "warm-up step");
                format!("{} ({}, {warmup})", config.learning_rate, value_name(config.schedule.kind))
            }
        },
        lambda,
        masked,
        if run.variant.is_float() {
            "float".into()
        } else {
            quantizer(config.quantization.weight_quant)
        },
        if changes.is_empty() { NOTHING.into() } else { changes.join(", ") },
    ]
}

/// The name of a setting's value on the command line.
fn value_name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_string())
}

/// `50 %, lowest signed, uniform`.
fn masking(sgt: &SgtConfig) -> String {
    let (fill, rank) = (value_name(sgt.mask_fill), value_name(sgt.mask_rank));
    let variant = match sgt.variant {
        SgtVariant::Standard => String::new(),
        variant => format!(", {}", value_name(variant)),
    };
    let after = match sgt.warmup_epochs {
        0 => String::new(),
        epochs => format!(", after {} without masking", counted(epochs as usize, "warm-up epoch")),
    };
    let which =
        if sgt.variant == SgtVariant::Hlgm { "lowest and highest by turns," } else { "lowest" };
    format!("{} %, {which} {rank}, {fill}{variant}{after}", 100.0 * sgt.mask_ratio)
}

fn optimizer(config: &OptimizerConfig) -> String {
    let kind = value_name(config.kind);
    let mut text = match config.kind {
        OptimizerKind::Momentum => {
            format!("{kind} {}{}", config.momentum, if config.nesterov { ", Nesterov" } else { "" })
        }
        _ => kind,
    };
    if config.weight_decay != 0.0 {
        text.push_str(&format!(", decay {}", config.weight_decay));
    }
    text
}

/// Rates of the dropout layers with a rate above 0.
fn dropouts(config: &RunConfig) -> Vec<f32> {
    let rate = |layer: &LayerConfig| match layer.kind {
        LayerKind::Dropout { rate } if rate > 0.0 => Some(rate),
        _ => None,
    };
    config.network.layers.iter().filter_map(rate).collect()
}

/// Saliency Guided Training compared with plain training, one row per pair of models; `None` if
/// there is no such pair.
pub fn trainings(summary: &Summary, dataset: &str, method: &str) -> Option<Table> {
    let cell = |test: Option<Difference>, factor: f64, digits: usize| {
        test.map_or(NOTHING.into(), |own| {
            let bound = |value: f64| plus_minus(factor * value, digits);
            let range = if own.mean.low.is_finite() {
                format!(" ({} to {})", bound(own.mean.low), bound(own.mean.high))
            } else {
                String::new()
            };
            format!("{}{range}, {}", bound(own.mean.mean), p_value(own))
        })
    };
    let rows: Vec<[String; 7]> = summary
        .trainings
        .iter()
        .filter(|own| own.dataset == dataset)
        .map(|own| {
            let map = own.methods.get(method).copied().unwrap_or_default();
            [
                own.model.clone(),
                own.seeds.len().to_string(),
                cell(own.accuracy, 100.0, 2),
                cell(map.faithfulness, 100.0, 1),
                cell(map.gini, 1.0, 3),
                cell(map.entropy, 1.0, 2),
                cell(map.sensitivity, 1.0, 3),
            ]
        })
        .collect();
    let headers = [
        "model",
        "seeds",
        "accuracy, points",
        "faithfulness, points",
        "Gini",
        "entropy, nats",
        "max-sensitivity",
    ];
    (!rows.is_empty()).then(|| Table::new(headers, rows))
}

/// Table III, with the operations that the paper prints for it.
pub fn widths(plan: &Plan) -> Result<Table> {
    let mut seen: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for run in plan.runs.iter().filter(|run| run.variant.stage != Stage::PostTraining) {
        if seen.contains(&run.variant.bits.as_str()) {
            continue;
        }
        seen.push(&run.variant.bits);
        let config = PartialRunConfig::parse(&run.settings, &run.folder)?;
        let info = DatasetInfo {
            name: run.variant.dataset.clone(),
            shape: Shape::new(1, 28, 28),
            classes: 10,
        };
        let printed = resolve(config, &info)
            .and_then(|config| PaperCost::new(&config.network, &config.quantization));
        let printed = printed.map_or(NOTHING.to_string(), |cost| thousands(cost.weighted_flops));
        rows.push([run.variant.label(), run.variant.bits.clone(), printed]);
    }
    Ok(Table::new(
        ["configuration", "bits by layer (weights and activations)", "FLOPs as the paper counts"],
        rows,
    ))
}
