//! The pictures of a report: Fig. 1 (maps), Fig. 2 (KL), Fig. 3 (accuracy drop), and accuracy and alignment against bit operations.

use std::path::Path;

use super::{
    judge::Maps,
    plan::{Plan, Stage},
    summary::{ModelSummary, Summary},
};
use crate::{
    Result,
    report::{Block, ColorMap, Grid, GridColumn, LineChart, Series},
};

/// A picture of the report.
pub struct Figure {
    /// Its file in the study's folder.
    pub file: String,
    /// PNG or SVG.
    pub bytes: Vec<u8>,
    /// What it shows.
    pub caption: String,
}

impl Figure {
    fn chart(file: String, chart: &LineChart, caption: String) -> Result<Figure> {
        Ok(Figure { file, bytes: chart.to_svg()?.into_bytes(), caption })
    }

    /// The figure as content of a page.
    pub fn block(&self) -> Block {
        if self.file.ends_with(".png") {
            return Block::Image { png: self.bytes.clone(), alt: self.caption.clone(), caption: self.caption.clone() };
        }
        Block::Svg { svg: String::from_utf8_lossy(&self.bytes).into_owned(), caption: self.caption.clone() }
    }
}

/// A data set's name as the start of a file's name.
pub fn slug(dataset: &str) -> String {
    let name = crate::config::short_name(dataset);
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

/// All figures of the study in `root`.
///
/// # Errors
/// Of the files of maps; [`crate::Error::Data`] for what cannot be drawn.
pub fn draw(root: &Path, plan: &Plan, summary: &Summary) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for dataset in summary.datasets() {
        let name = slug(dataset);
        figures.extend(maps(root, plan, summary, dataset, format!("{name}-maps.png"))?);
        figures.extend(kl(summary, dataset, format!("{name}-kl.svg"))?);
        figures.push(drop(summary, dataset, format!("{name}-drop.svg"))?);
        let accuracy = against_bit_operations(summary, dataset, "test accuracy", |model| model.accuracy.mean);
        figures.push(Figure::chart(
            format!("{name}-accuracy.svg"),
            &accuracy,
            "Test accuracy against bit operations of a forward pass; PTQ: the float model quantized without training.".into(),
        )?);
        let method = summary.main_method.clone();
        let alignment = against_bit_operations(summary, dataset, "rank correlation with the float model", |model| {
            let own = model.method(&method).map_or(f64::NAN, |map| map.spearman.mean);
            if model.variant.stage == Stage::Float { 1.0 } else { own }
        });
        figures.push(Figure::chart(
            format!("{name}-alignment.svg"),
            &alignment,
            format!(
                "How alike the {method} maps of a model are to the float model's (1: the same ranks), against bit operations."
            ),
        )?);
    }
    Ok(figures)
}

/// Models whose curves are shown: with Saliency Guided Training where there are any.
fn shown<'a>(summary: &'a Summary, dataset: &'a str) -> Vec<&'a ModelSummary> {
    let guided: Vec<_> = summary.trained(dataset, true).collect();
    if guided.is_empty() { summary.trained(dataset, false).collect() } else { guided }
}

/// Fig. 1, of the first seed that all models have.
fn maps(root: &Path, plan: &Plan, summary: &Summary, dataset: &str, file: String) -> Result<Option<Figure>> {
    let models = shown(summary, dataset);
    let Some(seed) =
        models.first().and_then(|model| model.seeds.iter().find(|seed| models.iter().all(|other| other.seeds.contains(seed))))
    else {
        return Ok(None);
    };
    let mut read = Vec::new();
    for model in &models {
        if let Some(index) = plan.runs.iter().position(|run| run.variant == model.variant && run.seed == *seed) {
            read.push((model, Maps::read(&plan.folder(root, index), &plan.judgement)?));
        }
    }
    let Some((_, (first, shape))) = read.first() else { return Ok(None) };
    let rows = (plan.judgement.pictures as usize).min(first.labels.len());
    let values = rows * shape.elements() as usize;
    let labels: Vec<u8> = first.labels[..rows].iter().map(|&label| label as u8).collect();
    let names: Vec<String> = read.iter().map(|(model, _)| model.variant.label()).collect();
    let columns = read.iter().zip(&names).map(|((model, (maps, _)), name)| GridColumn {
        model: name,
        method: &summary.main_method,
        saliency: maps.named(&summary.main_method).map_or(&[][..], |map| &map[..values.min(map.len())]),
        masked: &maps.masked[..values],
        predictions: &maps.predictions[..rows],
        probabilities: &maps.probabilities[..rows],
        accuracy: Some(model.accuracy.mean as f32),
    });
    let title = format!("What each model looks at: {dataset}");
    let grid = Grid {
        title: &title,
        shape: *shape,
        images: &first.images[..values],
        labels: &labels,
        class_names: plan.class_names.get(dataset).map_or(&[], Vec::as_slice),
        columns: columns.collect(),
        colormap: ColorMap::Diverging,
    };
    let caption = format!(
        "Fig. 1, {dataset}: a row an image. For each model the {} map of the true label's logit (red raises the score, blue lowers it) and the \
         image with the less salient half of its pixels replaced by uniform noise. Seed {seed}.",
        summary.main_method
    );
    Ok(Some(Figure { file, bytes: grid.png()?, caption }))
}

/// Fig. 2.
fn kl(summary: &Summary, dataset: &str, file: String) -> Result<Option<Figure>> {
    let models: Vec<_> = summary.trained(dataset, true).filter(|model| !model.kl.is_empty()).collect();
    if models.is_empty() {
        return Ok(None);
    }
    let chart = LineChart {
        title: format!("KL divergence, clean to masked: {dataset}"),
        x_label: "step".into(),
        y_label: "KL divergence, nats".into(),
        log_y: true,
        series: models
            .iter()
            .map(|model| Series { name: model.variant.label(), points: model.kl.clone(), smooth: true, ..Series::default() })
            .collect(),
        ..LineChart::default()
    };
    let caption = "Fig. 2: KL divergence between the predictions for clean and masked images, which Saliency Guided Training holds down while it trains; mean \
         over the seeds, smoothed.".into();
    Figure::chart(file, &chart, caption).map(Some)
}

/// Fig. 3.
fn drop(summary: &Summary, dataset: &str, file: String) -> Result<Figure> {
    let models = shown(summary, dataset);
    let as_percent = |points: &[(f64, f64)]| points.iter().map(|&(share, accuracy)| (100.0 * share, 100.0 * accuracy)).collect();
    let mut series: Vec<Series> = models
        .iter()
        .filter_map(|model| {
            let map = model.method(&summary.main_method)?;
            let band = map.drop_band.iter().map(|&(share, low, high)| (100.0 * share, 100.0 * low, 100.0 * high));
            Some(Series { name: model.variant.label(), points: as_percent(&map.drop), band: band.collect(), ..Series::default() })
        })
        .collect();
    if let Some(float) = models.first() {
        let name = format!("{}, random order", float.variant.label());
        series.push(Series { name, points: as_percent(&float.random_drop), ..Series::default() });
    }
    let chart = LineChart {
        title: format!("Accuracy without the most salient features: {dataset}"),
        x_label: "features removed, %".into(),
        y_label: "accuracy, %".into(),
        series,
        ..LineChart::default()
    };
    let caption = format!(
        "Fig. 3: features removed in the order of the {} map, replaced by 0 after normalisation; {} test images. Steeper means that the map names \
         what the model uses. Bands: spread over seeds.",
        summary.main_method, summary.drop_images
    );
    Figure::chart(file, &chart, caption)
}

fn against_bit_operations(summary: &Summary, dataset: &str, label: &str, value: impl Fn(&ModelSummary) -> f64) -> LineChart {
    let mut series = Vec::new();
    for (sgt, training) in [(true, "SGT"), (false, "plain")] {
        for (stage, kind) in [(Stage::QuantizationAware, "trained"), (Stage::PostTraining, "PTQ")] {
            let of_kind =
                summary.of(dataset, sgt).filter(|model| model.variant.stage == Stage::Float || model.variant.stage == stage);
            let mut points: Vec<(f64, f64)> =
                of_kind.map(|model| ((model.cost.bit_operations as f64).log10(), value(model))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if points.len() > 1 {
                series.push(Series { name: format!("{kind}, {training}"), points, ..Series::default() });
            }
        }
    }
    LineChart {
        title: format!("{}{}: {dataset}", label[..1].to_uppercase(), &label[1..]),
        x_label: "bit operations an image, log₁₀".into(),
        y_label: label.into(),
        series,
        ..LineChart::default()
    }
}
