//! The report of a study: one HTML page, and the same as Markdown, JSON and CSV.

use std::{fmt::Write, path::Path};

use super::{
    figures::{self, Figure},
    findings::{percent, percent_interval},
    plan::{Plan, Stage},
    result::Collected,
    summary::{MethodSummary, ModelSummary, Summary},
};
use crate::{
    Error, Result,
    files::write_atomically,
    judgement::Interval,
    metrics::PaperCost,
    report::{Block, Report, Section, Table},
};

/// The page.
pub const HTML_FILE: &str = "report.html";
/// Every number of the page.
pub const JSON_FILE: &str = "report.json";
const MARKDOWN_FILE: &str = "report.md";
const CSV_FILE: &str = "report.csv";

/// Writes the report on the results in the study's folder `root`; those that are missing are named in it.
///
/// # Errors
/// [`Error::Usage`] where there is no study or not a single result; of the files.
pub fn write(root: &Path) -> Result<Summary> {
    let plan = Plan::read(root)?;
    let collected = Collected::read(root, &plan)?;
    if collected.results.is_empty() {
        return Err(Error::Usage(format!("{}: no model of the study is finished yet", root.display())));
    }
    let summary = Summary::new(&plan, &collected);
    let figures = figures::draw(root, &plan, &summary)?;
    for figure in &figures {
        write_atomically(&root.join(&figure.file), &figure.bytes)?;
    }
    let sections = sections(&plan, &summary, &figures)?;
    let json = serde_json::to_string_pretty(&summary).map_err(|error| Error::Model(error.to_string()))?;
    write_atomically(&root.join(JSON_FILE), json.as_bytes())?;
    write_atomically(&root.join(CSV_FILE), csv(&summary).as_bytes())?;
    write_atomically(&root.join(MARKDOWN_FILE), markdown(&summary, &sections, &figures).as_bytes())?;
    let title = "Saliency assisted quantization, reproduced".to_string();
    Report { title, intro: summary.findings.clone(), sections: sections.into_iter().map(|(section, _)| section).collect() }
        .write(root.join(HTML_FILE))?;
    Ok(summary)
}

fn number(value: f64, digits: usize) -> String {
    if value.is_finite() { format!("{value:.digits$}") } else { "–".into() }
}

/// `0.532 (0.510–0.553)`.
fn interval(value: Interval, digits: usize) -> String {
    let range =
        if value.low.is_finite() { format!(" ({:.digits$}–{:.digits$})", value.low, value.high) } else { String::new() };
    format!("{}{range}", number(value.mean, digits))
}

/// Table II of the models of one data set and training.
pub fn accuracy_table(summary: &Summary, dataset: &str, sgt: bool) -> Table {
    let rows = summary.of(dataset, sgt).map(|model| {
        [
            model.variant.label(),
            percent_interval(model.accuracy),
            model.paper_accuracy.map_or("–".into(), percent),
            number(model.loss.mean, 4),
            model.seeds.len().to_string(),
            model.cost.bit_operations.to_string(),
            model.cost.weighted_operations.to_string(),
            model.cost.weight_bytes.to_string(),
        ]
    });
    let headers = ["model", "test accuracy (95 %)", "paper", "loss", "seeds", "bit operations", "FLOPs · b/32", "weight bytes"];
    Table::new(headers, rows)
}

/// Clarity, stability and alignment by one method.
fn map_table(summary: &Summary, dataset: &str, sgt: bool, method: &str) -> Table {
    let significance = |map: &MethodSummary| {
        let of = |name: &str, difference: Option<super::statistics::Difference>| {
            difference.map(|difference| format!("{name} {:+.3} (p {:.3})", difference.mean.mean, difference.p))
        };
        let parts: Vec<String> = [
            of("Gini", map.gini_difference),
            of("entropy", map.entropy_difference),
            of("sensitivity", map.sensitivity_difference),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() { "–".to_string() } else { parts.join(", ") }
    };
    let rows = summary.of(dataset, sgt).filter_map(|model| {
        let map = model.method(method)?;
        Some([
            model.variant.label(),
            interval(map.gini, 3),
            interval(map.entropy, 2),
            interval(map.sensitivity, 3),
            interval(map.spearman, 3),
            interval(map.ssim, 3),
            interval(map.overlap, 3),
            significance(map),
        ])
    });
    let headers = [
        "model",
        "Gini ↑",
        "entropy ↓",
        "max-sensitivity ↓",
        "Spearman with float",
        "SSIM with float",
        "top-10 % overlap",
        "difference from float",
    ];
    Table::new(headers, rows)
}

/// Mean accuracy over the drop curves, a column a method.
fn drop_table(summary: &Summary, dataset: &str, sgt: bool) -> Table {
    let methods: Vec<String> =
        summary.of(dataset, sgt).next().map_or(Vec::new(), |model| model.methods.keys().cloned().collect());
    let headers = ["model".to_string(), "random".into()].into_iter().chain(methods.iter().cloned());
    let rows = summary.of(dataset, sgt).map(|model| {
        let areas = methods.iter().map(|method| model.method(method).map_or("–".into(), |map| interval(map.drop_area, 3)));
        [model.variant.label(), number(model.random_area, 3)].into_iter().chain(areas).collect::<Vec<_>>()
    });
    Table::new(headers.collect::<Vec<_>>(), rows.collect::<Vec<_>>())
}

fn randomisation_table(summary: &Summary, dataset: &str, sgt: bool) -> Option<Table> {
    let models: Vec<&ModelSummary> = summary.of(dataset, sgt).filter(|model| !model.randomisation.is_empty()).collect();
    let layers: Vec<String> = models.first()?.randomisation.iter().map(|(layer, _)| layer.clone()).collect();
    let headers: Vec<String> = std::iter::once("model".to_string()).chain(layers).collect();
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            let values = model.randomisation.iter().map(|(_, value)| number(*value, 3));
            std::iter::once(model.variant.label()).chain(values).collect()
        })
        .collect();
    Some(Table::new(headers, rows))
}

/// Table III, and the operations that the paper prints for it.
fn widths_table(plan: &Plan) -> Result<Table> {
    let mut seen: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for run in plan.runs.iter().filter(|run| run.variant.stage != Stage::PostTraining) {
        if seen.contains(&run.variant.bits) {
            continue;
        }
        seen.push(run.variant.bits.clone());
        let config = crate::config::PartialRunConfig::parse(&run.settings, &run.folder)?;
        let info = crate::config::DatasetInfo {
            name: run.variant.dataset.clone(),
            shape: crate::config::Shape::new(1, 28, 28),
            classes: 10,
        };
        let printed = config.resolve(&info).and_then(|config| PaperCost::new(&config.network, &config.quantization));
        let printed = printed.map_or("–".to_string(), |cost| cost.weighted_flops.to_string());
        rows.push([run.variant.label(), run.variant.bits.clone(), printed]);
    }
    Ok(Table::new(["configuration", "bits by layer (weights and activations)", "FLOPs as the paper counts"], rows))
}

/// A section, and its figures by file name for formats that link to them.
type Drawn = (Section, Vec<String>);

fn sections(plan: &Plan, summary: &Summary, figures: &[Figure]) -> Result<Vec<Drawn>> {
    let mut sections = Vec::new();
    let trainings =
        |dataset: &str| [true, false].into_iter().filter(|&sgt| summary.of(dataset, sgt).next().is_some()).collect::<Vec<_>>();
    let heading = |sgt: bool| if sgt { "With Saliency Guided Training:" } else { "With plain training:" };
    for dataset in summary.datasets() {
        let mut blocks = Vec::new();
        let mut files = Vec::new();
        let mut figure = |name: &str, blocks: &mut Vec<Block>| {
            if let Some(figure) = figures.iter().find(|figure| figure.file == format!("{}-{name}", figures::slug(dataset))) {
                blocks.push(figure.block());
                files.push(figure.file.clone());
            }
        };
        for sgt in trainings(dataset) {
            blocks.push(Block::Paragraph(format!("{} accuracy and cost (Table II).", heading(sgt))));
            blocks.push(Block::Table(accuracy_table(summary, dataset, sgt)));
        }
        figure("accuracy.svg", &mut blocks);
        figure("maps.png", &mut blocks);
        figure("kl.svg", &mut blocks);
        figure("drop.svg", &mut blocks);
        for sgt in trainings(dataset) {
            blocks.push(Block::Paragraph(format!(
                "{} mean accuracy over the accuracy-drop curves of {} images (features removed with fill zero; the lower, the better the map \
                 names what the model uses).",
                heading(sgt),
                summary.drop_images
            )));
            blocks.push(Block::Table(drop_table(summary, dataset, sgt)));
        }
        figure("alignment.svg", &mut blocks);
        for sgt in trainings(dataset) {
            for method in &plan.judgement.methods {
                blocks.push(Block::Paragraph(format!(
                    "{} clarity, stability and alignment of the {method} maps of {} images.",
                    heading(sgt),
                    summary.judged_images
                )));
                blocks.push(Block::Table(map_table(summary, dataset, sgt, method)));
            }
            if let Some(table) = randomisation_table(summary, dataset, sgt) {
                blocks.push(Block::Paragraph(format!(
                    "{} rank correlation of |gradient| with the trained model's after the parameters of a layer and of all behind it were \
                     randomised; values near 1 would mean that maps do not depend on what was learned.",
                    heading(sgt)
                )));
                blocks.push(Block::Table(table));
            }
        }
        sections.push((Section { title: dataset.to_string(), blocks }, files));
    }
    sections
        .push((Section { title: "Bit widths (Table III)".into(), blocks: vec![Block::Table(widths_table(plan)?)] }, Vec::new()));
    sections.push((making(plan, summary), Vec::new()));
    Ok(sections)
}

/// Everything needed to check or repeat a number.
fn making(plan: &Plan, summary: &Summary) -> Section {
    let mut seeds: Vec<u64> = plan.runs.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let facts = vec![
        ("preset".into(), format!("{:?}", plan.preset).to_lowercase()),
        ("seeds".into(), seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")),
        ("adapter".into(), summary.adapters.join("; ")),
        ("saliq".into(), summary.versions.join(", ")),
    ];
    let mut blocks = vec![
        Block::Facts(facts),
        Block::Paragraph(
            "Accuracies are those of the last step, on the test set; nothing was chosen by it. Intervals are 95 %: Student's over seeds; of a \
             single seed, Wilson's for accuracies and the bootstrap over images for maps. Differences from float are paired by image, p from \
             sign-flip permutations. Maps explain the logit of the true label. Quantized models' gradients are those of the straight-through \
             estimator."
                .into(),
        ),
        Block::Paragraph("To train one of these models again (its settings stand in the folder's config.toml):".into()),
        Block::Code(
            plan.runs
                .iter()
                .filter(|run| run.variant.stage != Stage::PostTraining)
                .map(|run| format!("saliq train --config runs/{}/config.toml --out again/{}", run.folder, run.folder))
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    ];
    if !summary.missing.is_empty() {
        blocks.push(Block::Paragraph("Without a result:".into()));
        let rows = summary.missing.iter().map(|(folder, reason)| [folder.clone(), reason.clone()]);
        blocks.push(Block::Table(Table::new(["model", "why"], rows)));
    }
    Section { title: "How this was made".into(), blocks }
}

fn markdown(summary: &Summary, sections: &[Drawn], figures: &[Figure]) -> String {
    let mut text = "# Saliency assisted quantization, reproduced\n".to_string();
    for finding in &summary.findings {
        let _ = write!(text, "\n{finding}\n");
    }
    for (section, files) in sections {
        let _ = write!(text, "\n## {}\n", section.title);
        let mut files = files.iter();
        for block in &section.blocks {
            let _ = match block {
                Block::Paragraph(paragraph) => write!(text, "\n{paragraph}\n"),
                Block::Table(table) => write!(text, "\n{}", table.to_markdown()),
                Block::Code(code) => write!(text, "\n```sh\n{code}\n```\n"),
                Block::Facts(facts) => {
                    text.push('\n');
                    facts.iter().try_for_each(|(name, value)| writeln!(text, "- {name}: {value}"))
                }
                Block::Image { .. } | Block::Svg { .. } => {
                    let file = files.next().map_or("", String::as_str);
                    let caption = figures.iter().find(|figure| figure.file == file).map_or("", |figure| &figure.caption);
                    write!(text, "\n![{caption}]({file})\n\n{caption}\n")
                }
            };
        }
    }
    text
}

/// A line a figure: data set, model, training, method (empty for the model's own figures), figure, mean, interval.
fn csv(summary: &Summary) -> String {
    let mut text = "dataset,model,sgt,method,figure,mean,low,high\n".to_string();
    let field = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
    for model in &summary.models {
        let start = format!("{},\"{}\",{}", quoted(&model.variant.dataset), model.variant.label(), model.variant.sgt);
        let mut line = |method: &str, figure: &str, value: Interval| {
            let Interval { mean, low, high } = value;
            let _ = writeln!(text, "{start},{method},{figure},{},{},{}", field(mean), field(low), field(high));
        };
        let plain = |mean: f64| Interval { mean, low: f64::NAN, high: f64::NAN };
        line("", "accuracy", model.accuracy);
        line("", "loss", model.loss);
        line("", "bit-operations", plain(model.cost.bit_operations as f64));
        line("", "weighted-operations", plain(model.cost.weighted_operations as f64));
        line("", "weight-bytes", plain(model.cost.weight_bytes as f64));
        line("random", "drop-area", plain(model.random_area));
        for (method, map) in &model.methods {
            let figures = [
                ("drop-area", map.drop_area),
                ("mean-drop", map.mean_drop),
                ("gini", map.gini),
                ("entropy", map.entropy),
                ("max-sensitivity", map.sensitivity),
                ("spearman", map.spearman),
                ("ssim", map.ssim),
                ("top-overlap", map.overlap),
            ];
            for (figure, value) in figures {
                line(method, figure, value);
            }
        }
    }
    text
}

/// A field that may hold anything.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_string() }
}
