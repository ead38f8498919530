//! `saliq compare`.

use serde::Serialize;

use super::{
    explain::unit_pixels,
    judge::{Judged, JudgedModel, write_json},
    localize,
};
use crate::{
    Result,
    cli::{
        args::{CompareArgs, GlobalArgs},
        progress::Progress,
    },
    data::Masks,
    files::write_atomically,
    gpu::Gpu,
    judgement::{
        AlignmentOptions, Explained, Fill, Infidelity, InfidelityOptions, Interval, LayerAgreement,
        MaxSensitivity, Metric, PixelFlipping, Scale, Scores, SensitivityOptions, add_alignments,
        add_clarities, add_localizations, alignment, clarity, localization, randomization, wilson,
    },
    report::{
        ChartStack, ColorMap, DotChart, Dots, Grid, GridColumn, Quantity, Table, counted,
        csv_field, fixed,
    },
    saliency::{Method, MethodOptions},
};

/// Largest number of rows of the grid of maps.
const GRID_ROWS: usize = 10;
/// Number of steps of the deletion and insertion curves.
const FLIPPING_STEPS: u32 = 20;

/// Compares the maps of models.
///
/// # Errors
/// [`crate::Error`] of the library functions that it calls.
pub fn run(args: &CompareArgs, global: &GlobalArgs) -> Result<()> {
    args.method.validate()?;
    let output = global.output();
    super::refuse_file(&args.out)?;
    let count = args.count;
    let paths = [std::slice::from_ref(&args.reference), &args.models].concat();
    let (gpu, judged) = Judged::load_all(
        || super::open_gpu(global),
        &paths,
        (&args.input, global),
        count,
        args.target,
        &output,
    )?;
    let reference = &judged[0];
    if let Some(other) = judged.iter().find(|other| {
        other.dataset.shape != reference.dataset.shape || other.images != reference.images
    }) {
        return Err(super::different_images(&reference.name, &other.name));
    }
    let read = |folder: &std::path::PathBuf| {
        let place = (reference.dataset.source.as_str(), reference.files(args.input.split));
        localize::read_masks(folder, place, (reference.dataset.shape, &reference.reading), &output)
    };
    let masks = args.masks.as_ref().map(read).transpose()?;
    let work = |one: &Judged| Work::all(one, args).iter().map(Work::passes).sum::<u64>();
    let whole = Progress::items(
        &output,
        &format!(
            "{}, {}",
            counted(judged.len(), "model"),
            counted(reference.images.len(), "image")
        ),
        judged.iter().map(work).sum(),
    );
    let mut models: Vec<ComparedModel> = Vec::new();
    let mut maps: Vec<Explained> = Vec::new();
    for one in &judged {
        super::note_folding(&one.model, &args.method.method, &settings_of(one, args), &output);
        let (explained, methods) =
            pollster::block_on(compare(&gpu, one, (maps.first(), masks.as_ref()), args, &whole))?;
        models.push(ComparedModel { model: one.described(), methods });
        maps.push(explained);
    }
    whole.finish();
    let result = CompareResult {
        adapter: gpu.adapter_description(),
        images: reference.images.len(),
        masks: masks.as_ref().map(localize::masked_images),
        reference: reference.name.clone(),
        fill: args.fill,
        models,
    };
    super::prepare_folder(&args.out)?;
    let names: Vec<String> =
        judged.iter().map(|one| format!("{} {}", one.name, one.bits)).collect();
    let charts = result.charts(&names);
    write_json(&args.out.join("compare.json"), &result)?;
    write_atomically(&args.out.join("compare.csv"), result.csv(&judged).as_bytes())?;
    write_atomically(&args.out.join("compare.svg"), charts.to_svg()?.as_bytes())?;
    write_atomically(&args.out.join("compare.png"), &charts.to_png()?)?;
    let (png, svg) = grid(&judged, &maps, args)?;
    write_atomically(&args.out.join("maps.png"), &png)?;
    write_atomically(&args.out.join("maps.svg"), svg.as_bytes())?;
    output.result(&result, || {
        let mut text = result.table(&judged).to_text(None);
        if args.randomisation {
            text += &format!("\n{}", result.randomisation_table(&judged).to_text(None));
        }
        format!(
            "{text}\n\
             {}; of accuracies Wilson's of all test images; ↑ more is better, ↓ less is\n{}{}, {}",
            result.intervals(),
            result.explanations(),
            args.out.join("compare.png").display(),
            args.out.join("maps.png").display()
        )
    })
}

/// The JSON of `saliq compare --json` and `compare.json`.
#[derive(Serialize)]
struct CompareResult {
    adapter: String,
    images: usize,
    /// Number of images whose masks count.
    #[serde(skip_serializing_if = "Option::is_none")]
    masks: Option<usize>,
    reference: String,
    fill: Fill,
    /// All models, the reference first.
    models: Vec<ComparedModel>,
}

#[derive(Serialize)]
struct ComparedModel {
    #[serde(flatten)]
    model: JudgedModel,
    methods: Vec<ComparedMethod>,
}

#[derive(Serialize)]
struct ComparedMethod {
    method: Method,
    scores: Scores,
    /// Results of the check, if requested: after each layer, from output to input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    randomisation: Vec<LayerAgreement>,
}

/// What a method costs on a model, in forward passes; a backward pass takes about as long as two.
struct Work {
    explaining: u64,
    stability: u64,
    faithfulness: u64,
    randomisation: u64,
}

impl Work {
    /// Of every method of `args`.
    fn all(judged: &Judged, args: &CompareArgs) -> Vec<Work> {
        let (images, settings) = (judged.images.len() as u64, settings_of(judged, args));
        let network = &judged.model.config.network;
        let stable = u64::from(SensitivityOptions::default().samples) + 1;
        let faithful = u64::from(InfidelityOptions::default().samples + 2 * FLIPPING_STEPS) + 1;
        let layers =
            if args.randomisation { judged.model.graph.weighted().count() as u64 } else { 0 };
        let work = |&method: &Method| {
            let explaining = 3 * images * u64::from(settings.samples_of(method, network));
            Work {
                explaining,
                stability: stable * explaining,
                faithfulness: faithful * images,
                randomisation: layers * explaining,
            }
        };
        args.method.method.iter().map(work).collect()
    }

    fn passes(&self) -> u64 {
        self.explaining + self.stability + self.faithfulness + self.randomisation
    }
}

fn settings_of(judged: &Judged, args: &CompareArgs) -> MethodOptions {
    args.method.settings(judged.normalization, &args.input)
}

/// Computes the maps of one model and their judgements; `reference` is `None` for the reference
/// itself.
async fn compare(
    gpu: &Gpu,
    judged: &Judged,
    (reference, masks): (Option<&Explained>, Option<&Masks>),
    args: &CompareArgs,
    whole: &Progress,
) -> Result<(Explained, Vec<ComparedMethod>)> {
    let subject = judged.subject(gpu, &args.input);
    let (shape, seed) = (subject.shape(), args.method.seed);
    let settings = settings_of(judged, args);
    let targets = subject.targets(args.target.into(), &judged.evaluation);
    let methods = &args.method.method;
    let work = Work::all(judged, args);
    let part = |what: &str, size: u64, count: u64| {
        whole.part(&format!("{}: {what}", judged.name), size, count)
    };
    let images = judged.images.len() as u64;

    let explaining: u64 = work.iter().map(|own| own.explaining).sum();
    let bar = part("explaining", explaining, subject.work(methods, &settings));
    let explained =
        subject.explain(methods, &settings, &targets, &mut |done| bar.set(done)).await?;
    let flipping = PixelFlipping::record(subject, &targets, args.fill, FLIPPING_STEPS, seed)?;
    let infidelity = Infidelity::record(
        subject,
        &targets,
        &InfidelityOptions { seed, ..InfidelityOptions::default() },
    )?;
    let mut compared = Vec::new();
    for (index, (&method, maps)) in methods.iter().zip(&explained.maps).enumerate() {
        let mut scores = Scores::default();
        if let Some(reference) = reference {
            let options =
                AlignmentOptions { earth_mover: args.earth_mover, ..AlignmentOptions::default() };
            let bar = part("aligning", 0, images);
            let alignments =
                alignment(gpu, shape, &reference.maps[index], maps, &options, &mut |done| {
                    bar.set(done)
                })
                .await?;
            add_alignments(&mut scores, &alignments, seed);
        }
        if let Some(masks) = masks {
            add_localizations(&mut scores, &localization(shape, maps, &masks.of_images)?, seed);
        }
        add_clarities(&mut scores, &clarity(gpu, shape, maps).await?, seed);
        let options = SensitivityOptions { seed, ..SensitivityOptions::default() };
        let sensitivity = MaxSensitivity::record(subject, method, &settings, &targets, &options)?;
        let bar = part("stability", work[index].stability, sensitivity.work());
        scores.add(Metric::MaxSensitivity, sensitivity.run(&mut |done| bar.set(done)).await?, seed);
        let bar = part("faithfulness", work[index].faithfulness, 2 * images);
        scores.add(
            Metric::Infidelity,
            infidelity.run_of(method, &settings, maps, &mut |done| bar.set(done)).await?,
            seed,
        );
        let flipped = flipping.run(maps, &mut |done| bar.set(images + done)).await?;
        scores.add(Metric::Deletion, flipped.iter().map(|one| one.deletion), seed);
        scores.add(Metric::Insertion, flipped.iter().map(|one| one.insertion), seed);
        let mut randomisation = Vec::new();
        if args.randomisation {
            let layers = judged.model.graph.weighted().count() as u64;
            let bar = part("randomising layers", work[index].randomisation, layers);
            randomisation =
                randomization(&subject, method, &settings, &targets, maps, &mut |done| {
                    bar.set(done)
                })
                .await?;
        }
        compared.push(ComparedMethod { method, scores, randomisation });
    }
    Ok((explained, compared))
}

impl CompareResult {
    fn rows<'a>(
        &'a self,
        judged: &'a [Judged],
    ) -> impl Iterator<Item = (&'a Judged, &'a ComparedMethod)> {
        self.models
            .iter()
            .zip(judged)
            .flat_map(|(model, judged)| model.methods.iter().map(move |method| (judged, method)))
    }

    fn table(&self, judged: &[Judged]) -> Table {
        let taught = judged.iter().any(|one| one.teaching().is_some());
        let mut headers: Vec<String> =
            ["model", "bits", "method", "accuracy %"].map(Into::into).into();
        if taught {
            headers.insert(2, "teacher".into());
        }
        let shown = self.shown();
        headers.extend(shown.iter().map(|metric| {
            format!("{} {}", metric.name(), if metric.higher_is_better() { '↑' } else { '↓' })
        }));
        let rows = self.rows(judged).map(|(judged, method)| {
            let Interval { mean, low, high } =
                wilson(judged.evaluation.accuracy, judged.evaluation.images);
            let [mean, low, high] = [mean, low, high].map(|share| format!("{:.1}", 100.0 * share));
            let accuracy = format!("{mean} ({low}–{high})");
            let mut row = vec![
                judged.name.clone(),
                judged.bits.clone(),
                method.method.name().to_string(),
                accuracy,
            ];
            if taught {
                row.insert(2, judged.teaching().unwrap_or_else(|| "–".into()));
            }
            row.extend(shown.iter().map(|&metric| match method.scores.get(metric) {
                Some(interval) => self.with_interval(interval, digits),
                None => "–".into(),
            }));
            row
        });
        // One row per judgement, because there are more judgements than models.
        let upright = Table::new(headers, rows.collect::<Vec<_>>());
        let line = |column: usize| upright.rows.iter().map(move |row| row[column].clone());
        let turned = (1..upright.headers.len())
            .map(|column| std::iter::once(upright.headers[column].clone()).chain(line(column)));
        Table::new(
            std::iter::once(upright.headers[0].clone()).chain(line(0)),
            turned.collect::<Vec<_>>(),
        )
    }

    /// A description of the intervals; a single image has none.
    fn intervals(&self) -> String {
        match self.images {
            1 => "values of 1 image, which has no interval".into(),
            more => {
                let masks = self.masks.map_or_else(String::new, |masks| {
                    format!(" (of pointing-game to mask-overlap: {masks} with masks)")
                });
                format!("means of {more} images{masks} with 95 % bootstrap intervals")
            }
        }
    }

    /// A mean with half the width of its interval, if it has one.
    fn with_interval(&self, interval: Interval, text: impl Fn(f64) -> String) -> String {
        let mean = text(interval.mean);
        if self.images == 1 {
            return mean;
        }
        format!("{mean} ±{}", text((interval.high - interval.low) / 2.0))
    }

    /// The judgements with a value.
    fn shown(&self) -> Vec<Metric> {
        let has = |metric| {
            self.models
                .iter()
                .flat_map(|model| &model.methods)
                .any(|one| one.scores.get(metric).is_some())
        };
        Metric::ALL.into_iter().filter(|&metric| has(metric)).collect()
    }

    /// One line per judgement that explains it.
    fn explanations(&self) -> String {
        self.shown()
            .iter()
            .map(|metric| format!("{}: {}\n", metric.name(), metric.explanation()))
            .collect()
    }

    fn randomisation_table(&self, judged: &[Judged]) -> Table {
        let rows = self.rows(judged).flat_map(|(judged, method)| {
            method.randomisation.iter().map(move |layer| {
                let agreement = self.with_interval(layer.spearman, |value| fixed(value, 3));
                [judged.name.clone(), method.method.name().into(), layer.layer.clone(), agreement]
            })
        });
        Table::new(
            ["model", "method", "randomised down to", "Spearman of |φ| with the trained model's"],
            rows.collect::<Vec<_>>(),
        )
    }

    fn csv(&self, judged: &[Judged]) -> String {
        let mut text = String::from("model,bits,method,judgement,mean,low,high\n");
        for (judged, method) in self.rows(judged) {
            let start = format!(
                "{},{},{}",
                csv_field(&judged.name),
                csv_field(&judged.bits),
                method.method.name()
            );
            for (metric, interval) in &method.scores.0 {
                text += &format!(
                    "{start},{},{},{},{}\n",
                    metric.name(),
                    interval.mean,
                    interval.low,
                    interval.high
                );
            }
            for layer in &method.randomisation {
                let name = csv_field(&format!("randomisation:{}", layer.layer));
                text += &format!(
                    "{start},{name},{},{},{}\n",
                    layer.spearman.mean, layer.spearman.low, layer.spearman.high
                );
            }
        }
        text
    }

    /// Charts of alignment, clarity and stability: one row per model, dots in one colour per
    /// method, with 95 % intervals.
    fn charts(&self, names: &[String]) -> ChartStack<DotChart> {
        let panel = |title: String, metric: Metric| {
            let dots = (0..self.models[0].methods.len()).map(|method| Dots {
                name: self.models[0].methods[method].method.name().into(),
                values: (self.models.iter())
                    .map(|model| {
                        model.methods[method]
                            .scores
                            .get(metric)
                            .map(|one| (one.mean, one.low, one.high))
                    })
                    .collect(),
                style: None,
            });
            DotChart {
                title,
                note: format!(
                    "{}: {}. {}",
                    metric.title(),
                    metric.explanation(),
                    match self.images {
                        1 => "One image: it has no interval.".into(),
                        more => format!(
                            "Bars: 95 % bootstrap intervals of the mean over {more} images."
                        ),
                    }
                ),
                label: format!("{}, {}", metric.name(), metric.unit()),
                quantity: quantity(metric),
                // The reference is not compared with itself.
                names: names.iter().skip(usize::from(metric.is_alignment())).cloned().collect(),
                dots: dots
                    .map(|dots: Dots| Dots {
                        values: dots
                            .values
                            .into_iter()
                            .skip(usize::from(metric.is_alignment()))
                            .collect(),
                        ..dots
                    })
                    .collect(),
            }
        };
        let localization =
            (self.masks.is_some()).then(|| panel("Localization".into(), Metric::RelevanceMass));
        let mut panels = vec![
            panel(format!("Alignment with {}", self.reference), Metric::Spearman),
            panel("Clarity".into(), Metric::Gini),
            panel("Stability".into(), Metric::MaxSensitivity),
        ];
        panels.extend(localization);
        ChartStack(panels)
    }
}

/// The kind of number of a judgement.
fn quantity(metric: Metric) -> Quantity {
    match metric.scale() {
        Scale::Similarity => Quantity::Correlation,
        Scale::Share => Quantity::Share,
        Scale::Magnitude(_) => Quantity::WithZero,
    }
}

/// A number with about three significant digits.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 || size == 0.0 => fixed(value, 3),
        _ => format!("{value:.1e}"),
    }
}

/// The maps next to each other, as PNG and as SVG.
fn grid(judged: &[Judged], maps: &[Explained], args: &CompareArgs) -> Result<(Vec<u8>, String)> {
    let first = &judged[0];
    let rows = first.images.len().min(GRID_ROWS);
    let shape = first.dataset.shape;
    let pixels = rows * shape.elements() as usize;
    let images = unit_pixels(&first.images);
    let predicted: Vec<(Vec<u32>, Vec<f32>)> = judged
        .iter()
        .map(|one| {
            one.evaluation
                .predictions
                .iter()
                .take(rows)
                .map(|one| (one.class, one.probability))
                .unzip()
        })
        .collect();
    let columns = judged.iter().zip(maps).zip(&predicted).flat_map(
        |((one, maps), (classes, probabilities))| {
            args.method.method.iter().enumerate().map(move |(index, method)| GridColumn {
                model: &one.name,
                method: method.name(),
                derivative: method.is_derivative(),
                saliency: &maps.maps[index][..pixels],
                channel: None,
                masked: &maps.masked[index][..pixels],
                predictions: classes,
                probabilities,
                accuracy: Some((one.evaluation.accuracy as f32, one.evaluation.images)),
            })
        },
    );
    let grid = Grid {
        title: &format!("Maps side by side: {}", first.dataset.name),
        shape,
        images: &images[..pixels],
        labels: &first.images.known_labels()[..rows],
        class_names: &first.dataset.class_names,
        explained: &args.target.described(&first.dataset.class_names),
        columns: columns.collect(),
        colormap: ColorMap::Diverging,
    };
    Ok((grid.png()?, grid.svg()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judgement::Interval;

    #[test]
    fn models_are_dots_with_intervals_that_nothing_joins() {
        let model = |spearman: Option<f64>, gini: f64| {
            let interval = |mean: f64| Interval { mean, low: mean - 0.01, high: mean + 0.01 };
            let mut scores = Scores::default();
            scores.0.extend(spearman.map(|mean| (Metric::Spearman, interval(mean))));
            scores.0.insert(Metric::Gini, interval(gini));
            scores.0.insert(Metric::MaxSensitivity, interval(0.3));
            let method =
                ComparedMethod { method: Method::Gradient, scores, randomisation: Vec::new() };
            ComparedModel { model: JudgedModel::default(), methods: vec![method] }
        };
        let result = CompareResult {
            adapter: String::new(),
            images: 7,
            masks: None,
            reference: "a".into(),
            fill: Fill::Zero,
            models: vec![model(None, 0.5), model(Some(0.2), 0.6), model(Some(0.9), 0.7)],
        };
        let names = ["a float", "b (4,2)", "c (4,2)"].map(String::from);
        let charts = result.charts(&names).0;
        assert_eq!(charts[0].names, names[1..], "the reference is not compared with itself");
        assert_eq!(
            charts[0].dots[0].values,
            [0.2, 0.9].map(|mean| Some((mean, mean - 0.01, mean + 0.01)))
        );
        assert_eq!((charts[1].names.len(), charts[2].dots[0].values.len()), (3, 3));
        assert!(charts.iter().all(|chart| {
            chart.note.contains("95 % bootstrap intervals of the mean over 7 images")
        }));
        assert_eq!(result.explanations().lines().count(), 3);
        assert!(
            result.explanations().starts_with("spearman: whether both maps"),
            "{}",
            result.explanations()
        );
        let interval = Interval { mean: 0.5, low: 0.4, high: 0.6 };
        assert_eq!(result.with_interval(interval, digits), "0.500 ±0.100");
        let single = CompareResult { images: 1, ..result };
        assert_eq!(single.with_interval(interval, digits), "0.500");
        assert!(single.intervals().contains("1 image, which has no interval"));
        assert!(single.charts(&names).0[0].note.ends_with("One image: it has no interval."));
    }

    #[test]
    fn small_values_keep_their_digits() {
        assert_eq!(super::digits(-0.0), "0.000");
        assert_eq!(
            [0.0, 0.000_123, 0.5, 12.34, 4321.6].map(super::digits),
            ["0.000", "1.2e-4", "0.500", "12.3", "4322"]
        );
    }
}
