//! The figures of a report: Fig. 1 (maps), Fig. 2 (KL), Fig. 3 (accuracy drop), accuracy against
//! cost, the randomisation check, ROAR, and quantizers during training.

use std::{cmp::Reverse, path::Path};

use super::{
    judge::{HISTOGRAMS_FILE, Maps},
    names::slug,
    plan::{Plan, PlannedRun, Stage, Variant},
    summary::{ModelSummary, Summary},
};
use crate::{
    Result,
    judgement::Interval,
    report::{
        Block, ChartStack, ColorMap, DistributionChart, DotChart, Dots, Grid, GridColumn,
        LineChart, Quantity, QuantizerTrace, Series, counted, quantizer_charts,
    },
    saliency::{DataOptions, Method},
};

/// A figure of the report.
pub struct Figure {
    /// Name of its file in the study's folder.
    pub file: String,
    /// Contents of the file: PNG or SVG.
    pub bytes: Vec<u8>,
    /// Caption.
    pub caption: String,
}

impl Figure {
    fn chart(file: String, chart: &LineChart, caption: String) -> Result<Figure> {
        Ok(Figure { file, bytes: chart.to_svg()?.into_bytes(), caption })
    }

    /// Whether `block` shows this figure.
    pub fn is(&self, block: &Block) -> bool {
        match block {
            Block::Image { png, .. } => *png == self.bytes,
            Block::Svg { svg, .. } => svg.as_bytes() == self.bytes,
            _ => false,
        }
    }

    /// The figure as a block of a page.
    pub fn block(&self) -> Block {
        if self.file.ends_with(".png") {
            return Block::Image {
                png: self.bytes.clone(),
                alt: self.caption.clone(),
                caption: self.caption.clone(),
            };
        }
        Block::Svg {
            svg: String::from_utf8_lossy(&self.bytes).into_owned(),
            caption: self.caption.clone(),
        }
    }
}

/// Draws all figures of the study in `root`.
///
/// # Errors
/// Errors of the files of maps; [`crate::Error::Data`] for data that cannot be drawn.
pub fn draw(root: &Path, plan: &Plan, summary: &Summary) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for dataset in summary.datasets() {
        let name = slug(dataset);
        figures.push(tradeoff(summary, dataset, format!("{name}-tradeoff.svg"))?);
        figures.extend(maps(root, plan, summary, dataset, format!("{name}-maps.png"))?);
        figures.extend(kl(summary, dataset, format!("{name}-kl.svg"))?);
        for method in &plan.judgement.methods {
            figures.push(drop(plan, summary, dataset, method, drop_file(dataset, method))?);
        }
        figures.extend(randomisation(summary, dataset, format!("{name}-randomisation.svg"))?);
        for method in plan.judgement.retraining.iter().flat_map(|retraining| &retraining.methods) {
            figures.extend(retraining(
                plan,
                summary,
                dataset,
                method,
                retraining_file(dataset, method),
            )?);
        }
        figures.extend(histograms(root, plan, summary, dataset));
        figures.extend(quantizers(summary, dataset, format!("{name}-quantizers.svg"))?);
    }
    Ok(figures)
}

/// File name of the accuracy-drop curves of `method`.
pub fn drop_file(dataset: &str, method: &str) -> String {
    format!("{}-drop-{}.svg", slug(dataset), slug(method))
}

/// File name of the ROAR curves of `method`.
pub fn retraining_file(dataset: &str, method: &str) -> String {
    format!("{}-retraining-{}.svg", slug(dataset), slug(method))
}

/// Models whose curves are shown: those with Saliency Guided Training, if there are any.
fn shown<'a>(summary: &'a Summary, dataset: &'a str) -> Vec<&'a ModelSummary> {
    let guided: Vec<_> = summary.trained(dataset, true).collect();
    if guided.is_empty() { summary.trained(dataset, false).collect() } else { guided }
}

/// Fig. 1, for the first seed that all models have.
fn maps(
    root: &Path,
    plan: &Plan,
    summary: &Summary,
    dataset: &str,
    file: String,
) -> Result<Option<Figure>> {
    let models = shown(summary, dataset);
    let Some(seed) = models.first().and_then(|model| {
        model.seeds.iter().find(|seed| models.iter().all(|other| other.seeds.contains(seed)))
    }) else {
        return Ok(None);
    };
    let mut read = Vec::new();
    for model in &models {
        if let Some(index) =
            plan.runs.iter().position(|run| run.variant == model.variant && run.seed == *seed)
        {
            read.push((model, Maps::read(&plan.folder(root, index), &plan.judgement)?));
        }
    }
    let Some((_, (first, shape))) = read.first() else { return Ok(None) };
    let rows = (plan.judgement.pictures as usize).min(first.labels.len());
    let values = rows * shape.elements() as usize;
    let labels: Vec<Option<u32>> = first.labels[..rows].iter().copied().map(Some).collect();
    let names: Vec<String> = read.iter().map(|(model, _)| model.variant.label()).collect();
    let columns = read.iter().zip(&names).map(|((model, (maps, _)), name)| GridColumn {
        model: name,
        method: &summary.main_method,
        derivative: Method::named(&summary.main_method).is_some_and(Method::is_derivative),
        saliency: maps
            .named(&summary.main_method)
            .map_or(&[][..], |map| &map[..values.min(map.len())]),
        channel: None,
        masked: &maps.masked[..values],
        predictions: &maps.predictions[..rows],
        probabilities: &maps.probabilities[..rows],
        accuracy: Some((model.accuracy.mean as f32, model.images)),
    });
    let title = format!("The pixels that each model uses: {dataset}");
    let grid = Grid {
        title: &title,
        shape: *shape,
        images: &first.images[..values],
        labels: &labels,
        class_names: plan.class_names.get(dataset).map_or(&[], Vec::as_slice),
        explained: "the true class",
        columns: columns.collect(),
        colormap: ColorMap::Diverging,
    };
    let caption = format!(
        "Fig. 1, {dataset}: one row per image. For each model the {} map of the true label's logit \
         (red: brightening the pixel raises the score, blue: lowers it) and the image with {}. \
         Seed {seed}.",
        summary.main_method,
        DataOptions::default().masked()
    );
    Ok(Some(Figure { file, bytes: grid.png()?, caption }))
}

/// Fig. 2.
fn kl(summary: &Summary, dataset: &str, file: String) -> Result<Option<Figure>> {
    let models: Vec<_> =
        summary.trained(dataset, true).filter(|model| !model.kl.is_empty()).collect();
    if models.is_empty() {
        return Ok(None);
    }
    let chart = LineChart {
        title: format!("KL divergence, clean to masked: {dataset}"),
        x_label: steps_label(&models),
        y_label: "KL divergence, nats".into(),
        log_y: true,
        series: models
            .iter()
            .map(|model| Series {
                name: model.variant.label(),
                points: model
                    .kl
                    .iter()
                    .map(|&(step, value)| (step + model.steps_before as f64, value))
                    .collect(),
                smooth: true,
                ..Series::default()
            })
            .collect(),
        ..LineChart::default()
    };
    let seeds = models.iter().map(|model| model.seeds.len()).max().unwrap_or(0);
    let caption = format!(
        "Fig. 2: KL divergence between the predictions for clean and for masked images{}.{}{}",
        match summary.guidance_adds_nothing {
            true => "; λ is 0, the loss is without it",
            false => ": the term that Saliency Guided Training adds to the loss",
        },
        match (seeds > 1, chart.is_smoothed()) {
            (true, true) => " Mean over the seeds, smoothed where a curve is long enough.",
            (true, false) => " Mean over the seeds.",
            (false, true) => " Smoothed where a curve is long enough.",
            (false, false) => "",
        },
        // A logarithmic axis cannot show 0.
        match models.iter().any(|model| model.kl.iter().any(|(_, value)| *value <= 0.0)) {
            true => format!(
                " Steps of divergence 0, as those without masking, are not drawn.{}",
                match models.iter().map(|model| model.steps_before).max().unwrap_or(0) {
                    0 => String::new(),
                    begun => format!(
                        " Steps of models that start from the float model count from the end of \
                         its training, after {}.",
                        counted(begun as usize, "step")
                    ),
                }
            ),
            false => continuation(&models),
        }
    );
    Figure::chart(file, &chart, caption).map(Some)
}

/// A curve of accuracies with its interval, both axes in percent.
fn in_percent(name: String, points: &[(f64, f64)], band: &[(f64, f64, f64)]) -> Series {
    Series {
        name,
        points: points.iter().map(|&(share, accuracy)| (100.0 * share, 100.0 * accuracy)).collect(),
        band: band
            .iter()
            .map(|&(share, low, high)| (100.0 * share, 100.0 * low, 100.0 * high))
            .collect(),
        ..Series::default()
    }
}

/// A description of the bands of such curves.
fn bands(models: &[&ModelSummary]) -> &'static str {
    if models.iter().any(|model| model.seeds.len() > 1) {
        "Bands, or bars: from the lowest to the highest limit of Wilson's 95 % intervals of the \
         seeds."
    } else {
        "Bands, or bars: Wilson's 95 % intervals for the number of images."
    }
}

/// The label of the horizontal axis of curves over training steps.
fn steps_label(models: &[&ModelSummary]) -> String {
    let has_start = models.iter().any(|model| model.steps_before > 0);
    if has_start { "step, those of the start included".into() } else { "step".into() }
}

/// A caption's sentence that says at which step the curves of models that start from another model
/// begin.
fn continuation(models: &[&ModelSummary]) -> String {
    let begun = models.iter().map(|model| model.steps_before).max().unwrap_or(0);
    if begun == 0 {
        return String::new();
    }
    format!(
        " Models that start from the float model begin where its training ended, after {}.",
        counted(begun as usize, "step")
    )
}

/// Fig. 3 for the main method, and the same figure for the other methods.
fn drop(
    plan: &Plan,
    summary: &Summary,
    dataset: &str,
    method: &str,
    file: String,
) -> Result<Figure> {
    let models = shown(summary, dataset);
    let mut series: Vec<Series> = models
        .iter()
        .filter_map(|model| {
            let map = model.method(method)?;
            Some(in_percent(model.variant.label(), &map.drop, &map.drop_band))
        })
        .collect();
    if let Some(float) = models.first() {
        let name = format!("{}, random order", float.variant.label());
        let random = in_percent(name, &float.random_drop, &float.random_drop_band);
        series.push(Series { style: Some(0), thin: true, ..random });
    }
    let chart = LineChart {
        title: format!("Accuracy without the most salient features, {method}: {dataset}"),
        x_label: "features removed, %".into(),
        y_label: "accuracy, %".into(),
        quantity: Quantity::Percent,
        series,
        ..LineChart::default()
    };
    let bands = bands(&models);
    let caption = format!(
        "{}Features removed in the order of the {method} map, the most salient first, replaced by \
         {}; {} test images, models trained with {}. A steeper curve means that the map ranks the \
         pixels that the model uses first. {bands}",
        if method == summary.main_method { "Fig. 3: " } else { "" },
        plan.judgement.fill.described(),
        summary.drop_images,
        training_of(&models)
    );
    Figure::chart(file, &chart, caption)
}

fn training_of(models: &[&ModelSummary]) -> &'static str {
    if models.iter().any(|model| model.variant.sgt) {
        "Saliency Guided Training"
    } else {
        "plain training"
    }
}

/// The ROAR figure.
fn retraining(
    plan: &Plan,
    summary: &Summary,
    dataset: &str,
    method: &str,
    file: String,
) -> Result<Option<Figure>> {
    let models = shown(summary, dataset);
    let mut series: Vec<Series> = models
        .iter()
        .filter_map(|model| Some((model, model.method(method)?)))
        .filter(|(_, map)| !map.retrained.is_empty())
        .map(|(model, map)| in_percent(model.variant.label(), &map.retrained, &map.retrained_band))
        .collect();
    if series.is_empty() {
        return Ok(None);
    }
    if let Some(float) = models.iter().find(|model| !model.random_retrained.is_empty()) {
        series.push(in_percent(
            "random order".into(),
            &float.random_retrained,
            &float.random_retrained_band,
        ));
    }
    let chart = LineChart {
        title: format!("Accuracy after training without the most salient features: {dataset}"),
        x_label: "features removed, %".into(),
        y_label: "accuracy, %".into(),
        quantity: Quantity::Percent,
        series,
        ..LineChart::default()
    };
    let caption = format!(
        "ROAR: the same float network trained again, with plain training, on images without the \
         features that the {method} maps of each model (trained with {}) rank highest (they become \
         {}), and tested on test images without them. Below random order, the maps name features \
         that are not replaced by others. {}",
        training_of(&models),
        plan.judgement.fill.described(),
        bands(&models)
    );
    Figure::chart(file, &chart, caption).map(Some)
}

/// The cascading parameter randomisation of the main method's maps.
fn randomisation(summary: &Summary, dataset: &str, file: String) -> Result<Option<Figure>> {
    let models = shown(summary, dataset);
    let layers = models.iter().find_map(|model| {
        Some(&model.method(&summary.main_method)?.randomisation).filter(|found| !found.is_empty())
    });
    let Some(layers) = layers else { return Ok(None) };
    let x_names = layers.iter().map(|layer| format!("…{}", layer.layer)).collect();
    let series = models.iter().filter_map(|model| {
        let map = model.method(&summary.main_method)?;
        let layers = || map.randomisation.iter().enumerate();
        let points = layers().map(|(place, layer)| (place as f64, layer.spearman.mean));
        let band =
            layers().map(|(place, layer)| (place as f64, layer.spearman.low, layer.spearman.high));
        Some(Series {
            name: model.variant.label(),
            points: points.collect(),
            band: band.collect(),
            ..Series::default()
        })
    });
    let chart = LineChart {
        title: format!("Randomisation check, {}: {dataset}", summary.main_method),
        x_label: "layers randomised, from the output down to …".into(),
        y_label: "rank correlation, −1 to 1".into(),
        quantity: Quantity::Correlation,
        low: true,
        x_names,
        series: series.collect(),
        ..LineChart::default()
    };
    let caption = "Rank correlation of |map| with the trained model's own as its layers are \
                   randomised one after the other; high values to the right would mean that the \
                   map does not depend on what was learned. Bands: 95 % intervals of the mean over \
                   the images (over the seeds, where there are several).";
    Figure::chart(file, &chart, caption.into()).map(Some)
}

/// α and the ranges of weights during training.
fn quantizers(summary: &Summary, dataset: &str, file: String) -> Result<Option<Figure>> {
    let models = shown(summary, dataset);
    let traces: Vec<QuantizerTrace<'_>> = models
        .iter()
        .enumerate()
        .filter(|(_, model)| !model.quantizers.is_empty())
        .map(|(place, model)| QuantizerTrace {
            model: model.variant.label(),
            place,
            states: model
                .quantizers
                .iter()
                .map(|(step, state)| (step + model.steps_before, state))
                .collect(),
        })
        .collect();
    let charts = quantizer_charts(&traces);
    if charts.0.is_empty() {
        return Ok(None);
    }
    let seed = models
        .iter()
        .find(|model| !model.quantizers.is_empty())
        .and_then(|model| model.seeds.first());
    let caption = format!(
        "The quantizers while the models train with {}: one panel per clipping threshold, per \
         learned step, and per layer's quantized weights, with a line for the lowest and one for \
         the highest weight. Seed {}.{}",
        training_of(&models),
        seed.map_or("–".into(), u64::to_string),
        continuation(&models)
    );
    Ok(Some(Figure { file, bytes: charts.to_svg()?.into_bytes(), caption }))
}

/// The distributions of weights and activations that were drawn when the shown models were judged,
/// for their first seeds.
fn histograms(root: &Path, plan: &Plan, summary: &Summary, dataset: &str) -> Vec<Figure> {
    let of = |model: &ModelSummary| {
        let own = |run: &&PlannedRun| {
            run.variant == model.variant && Some(&run.seed) == model.seeds.first()
        };
        let run = plan.runs.iter().find(own)?;
        let bytes = crate::files::read_bounded(
            &root.join("runs").join(&run.folder).join(HISTOGRAMS_FILE),
            4 << 20,
        )
        .ok()?;
        // The SVG is put into the page unchanged.
        let svg = String::from_utf8(bytes)
            .ok()
            .filter(|svg| svg.starts_with("<svg ") && !svg.contains("<script"))?;
        let file = histogram_file(dataset, &model.variant.bits);
        Some(Figure { file, bytes: svg.into_bytes(), caption: DistributionChart::CAPTION.into() })
    };
    shown(summary, dataset).into_iter().filter_map(of).collect()
}

/// File name of the distributions of the model with `bits`.
pub fn histogram_file(dataset: &str, bits: &str) -> String {
    format!("{}-histograms-{}.svg", slug(dataset), slug(&bits.replace(',', "-")))
}

/// `12.1 G`, `328 M`.
fn short(number: u64) -> String {
    let value = number as f64;
    let (scaled, unit) = [(1e9, " G"), (1e6, " M"), (1e3, " k")]
        .into_iter()
        .find(|(size, _)| value >= *size)
        .map_or((value, ""), |(size, unit)| (value / size, unit));
    let digits = if scaled < 100.0 && !unit.is_empty() { 1 } else { 0 };
    format!("{scaled:.digits$}{unit}")
}

/// Accuracy, faithfulness and alignment of the models, ordered by falling cost.
fn tradeoff(summary: &Summary, dataset: &str, file: String) -> Result<Figure> {
    let all: Vec<&ModelSummary> =
        summary.models.iter().filter(|model| model.variant.dataset == dataset).collect();
    let mut places: Vec<Place> = all
        .iter()
        .map(|model| (Reverse(model.cost.bit_operations), bits(&model.variant)))
        .collect();
    places.sort();
    places.dedup();
    let method = &summary.main_method;
    let panel = |title: &str,
                 label: &str,
                 quantity: Quantity,
                 value: &dyn Fn(&ModelSummary) -> Option<Interval>| {
        // Rows without any value are left out, such as the row of the float models where the others
        // are compared with them.
        let has_dot = |place: &Place| {
            dots(&all, std::slice::from_ref(place), value)
                .iter()
                .any(|dots| dots.values[0].is_some())
        };
        let places: Vec<Place> = places.iter().filter(|place| has_dot(place)).cloned().collect();
        let dots = dots(&all, &places, value)
            .into_iter()
            .filter(|dots| dots.values.iter().any(Option::is_some));
        DotChart {
            title: format!("{title}: {dataset}"),
            note: String::new(),
            label: label.into(),
            quantity,
            names: places
                .iter()
                .map(|(Reverse(cost), bits)| format!("{bits}: {} bit operations", short(*cost)))
                .collect(),
            dots: dots.collect(),
        }
    };
    let scaled = |interval: Interval, factor: f64| Interval {
        mean: factor * interval.mean,
        low: factor * interval.low,
        high: factor * interval.high,
    };
    let charts = ChartStack(vec![
        panel("Accuracy", "test accuracy, %", Quantity::Percent, &|model| {
            Some(scaled(model.accuracy, 100.0))
        }),
        panel(
            "Faithfulness",
            "percentage points below random order, higher is better",
            Quantity::WithZero,
            &|model| Some(scaled(model.method(method)?.below_random, 100.0)),
        ),
        panel(
            "Alignment",
            "rank correlation of the maps with the control's, −1 to 1",
            Quantity::Correlation,
            &|model| {
                // The float models are the reference of the comparison, so they have no value of
                // their own.
                if model.variant.is_float() { None } else { Some(model.method(method)?.spearman) }
            },
        ),
    ]);
    let caption = format!(
        "Quality of the models against their cost: one row per bit width, with the bit operations \
         of a forward pass of one image (multiply-accumulates times the bits of both factors). \
         Faithfulness: by how many points removing features in the order of the {method} map \
         lowers the accuracy more than random order does, on average over the curve. Alignment: \
         rank correlation of the {method} maps with those of the model that each is compared with: \
         {}. PTQ: the float model quantized without training; start: that model before others go \
         on from it. Bars: 95 % intervals, over seeds; of one seed over images (Wilson's for \
         accuracy, the bootstrap for alignment).",
        match all.iter().any(|model| model.variant.stage == Stage::FloatContinued) {
            true =>
                "for trained models the float model with the same number of further steps, for PTQ \
                 the float model",
            false => "the float model",
        }
    );
    Ok(Figure { file, bytes: charts.to_svg()?.into_bytes(), caption })
}

/// Sort key: bit operations, highest first, then bits.
type Place = (Reverse<u64>, String);

/// `float`, or the bits as `(4,2)`.
fn bits(variant: &Variant) -> String {
    if variant.is_float() { "float".into() } else { format!("({})", variant.bits) }
}

/// Dots for every stage of the models, in rows ordered by bits.
fn dots(
    models: &[&ModelSummary],
    places: &[Place],
    value: &dyn Fn(&ModelSummary) -> Option<Interval>,
) -> Vec<Dots> {
    let mut series = Vec::new();
    for (sgt, training) in [(true, "SGT"), (false, "plain")] {
        // The quantized models start from a float model that is also trained further.
        let goes_on = models
            .iter()
            .any(|model| model.variant.sgt == sgt && model.variant.stage == Stage::FloatContinued);
        for (stages, kind) in [
            (&[Stage::Float][..], if goes_on { "start" } else { "trained" }),
            (&[Stage::FloatContinued, Stage::QuantizationAware], "trained"),
            (&[Stage::PostTraining], "PTQ"),
        ] {
            let of_kind: Vec<&ModelSummary> = models
                .iter()
                .filter(|model| model.variant.sgt == sgt && stages.contains(&model.variant.stage))
                .copied()
                .collect();
            let of_place = |place: &Place| {
                let is_there = |model: &&&ModelSummary| {
                    place.0.0 == model.cost.bit_operations && place.1 == bits(&model.variant)
                };
                let interval = value(of_kind.iter().find(is_there)?)?;
                Some((interval.mean, interval.low, interval.high))
            };
            if of_kind.is_empty() {
                continue;
            }
            let values: Vec<_> = places.iter().map(of_place).collect();
            let name = format!("{kind}, {training}");
            match series.iter_mut().find(|other: &&mut Dots| other.name == name) {
                Some(other) => other
                    .values
                    .iter_mut()
                    .zip(values)
                    .for_each(|(own, value)| *own = own.or(value)),
                None => series.push(Dots { name, values, style: Some(series.len()) }),
            }
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_few_characters() {
        assert_eq!(
            [999, 12_130_746_368, 328_404_992, 1_500].map(short),
            ["999", "12.1 G", "328 M", "1.5 k"]
        );
        assert_eq!(slug("a/../my data. Größe"), "my_data__Gr__e");
        assert_eq!(["..", "", "/", ".hidden"].map(slug), ["data", "data", "data", "_hidden"]);
        assert_eq!(slug(&"long".repeat(100)).len(), 64);
        // The plan may come from an untrusted file.
        let files = [
            drop_file("..", "/../../x"),
            retraining_file("a", "x\\y/.."),
            histogram_file("a", "../../b"),
        ];
        assert!(
            files.iter().all(|file| !file.contains(['/', '\\']) && !file.contains("..")),
            "{files:?}"
        );
    }
}
