//! `saliq compare`.

use serde::Serialize;

use super::{
    explain::unit_pixels,
    judge::{Judged, JudgedModel, csv_field, write_json},
};
use crate::{
    Result,
    cli::{
        args::{CompareArgs, GlobalArgs},
        output::Output,
        progress::Progress,
    },
    files::write_atomically,
    gpu::Gpu,
    judgement::{
        AlignmentOptions, Explained, Fill, Infidelity, InfidelityOptions, LayerAgreement, MaxSensitivity, Metric, PixelFlipping,
        Scores, SensitivityOptions, alignment, clarity, randomization,
    },
    report::{ChartStack, ColorMap, Grid, GridColumn, LineChart, Series, Table, fixed},
    saliency::Method,
};

/// Rows of the grid of maps at most.
const GRID_ROWS: usize = 10;
/// Steps of the deletion and insertion curves.
const FLIPPING_STEPS: u32 = 20;

/// Compares the maps of models.
///
/// # Errors
/// [`crate::Error`] of the work behind it.
pub fn run(args: &CompareArgs, global: &GlobalArgs) -> Result<()> {
    args.method.validate()?;
    let output = global.output();
    super::refuse_file(&args.out)?;
    let count = args.count;
    let paths = [std::slice::from_ref(&args.reference), &args.models].concat();
    let (gpu, judged) = Judged::load_all(|| super::open_gpu(global), &paths, &args.input, count, args.target, &output)?;
    let reference = &judged[0];
    if let Some(other) =
        judged.iter().find(|other| other.dataset.shape != reference.dataset.shape || other.images != reference.images)
    {
        return Err(super::different_images(&reference.name, &other.name));
    }
    let mut models: Vec<ComparedModel> = Vec::new();
    let mut maps: Vec<Explained> = Vec::new();
    for one in &judged {
        let (explained, methods) = pollster::block_on(compare(&gpu, one, maps.first(), args, &output))?;
        models.push(ComparedModel { model: one.described(), methods });
        maps.push(explained);
    }
    let result = CompareResult {
        adapter: gpu.adapter_description(),
        images: reference.images.len(),
        reference: reference.name.clone(),
        fill: args.fill,
        models,
    };
    super::prepare_folder(&args.out)?;
    let charts = result.charts(&judged);
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
            "{text}\nmeans of {} images with 95 % intervals; ↑ more is better, ↓ less is\n{}, {}",
            result.images,
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
    reference: String,
    fill: Fill,
    /// The reference first.
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
    /// Where asked for: after each layer, from output to input.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    randomisation: Vec<LayerAgreement>,
}

/// The maps of one model and their judgement; `reference` is absent for the reference itself.
async fn compare(
    gpu: &Gpu,
    judged: &Judged,
    reference: Option<&Explained>,
    args: &CompareArgs,
    output: &Output,
) -> Result<(Explained, Vec<ComparedMethod>)> {
    let subject = judged.subject(gpu, &args.input);
    let (shape, seed) = (subject.shape(), args.method.seed);
    let settings = args.method.settings(judged.normalization, &args.input);
    let targets = subject.targets(args.target.into(), &judged.evaluation);
    let methods = &args.method.method;
    let items = |what: &str, total: u64| Progress::items(output, &format!("{}: {what}", judged.name), total);
    let images = judged.images.len() as u64;

    let bar = items("explaining", subject.work(methods, &settings));
    let explained = subject.explain(methods, &settings, &targets, &mut |done| bar.set(done)).await?;
    bar.finish();
    let flipping = PixelFlipping::record(subject, &targets, args.fill, FLIPPING_STEPS, seed)?;
    let infidelity = Infidelity::record(subject, &targets, &InfidelityOptions { seed, ..InfidelityOptions::default() })?;
    let mut compared = Vec::new();
    for (index, (&method, maps)) in methods.iter().zip(&explained.maps).enumerate() {
        let mut scores = Scores::default();
        if let Some(reference) = reference {
            let options = AlignmentOptions { earth_mover: args.earth_mover, ..AlignmentOptions::default() };
            let bar = items("aligning", images);
            let alignments = alignment(gpu, shape, &reference.maps[index], maps, &options, &mut |done| bar.set(done)).await?;
            bar.finish();
            scores.add_alignments(&alignments, seed);
        }
        scores.add_clarities(&clarity(gpu, shape, maps).await?, seed);
        let options = SensitivityOptions { seed, ..SensitivityOptions::default() };
        let sensitivity = MaxSensitivity::record(subject, method, &settings, &targets, &options)?;
        let bar = items("stability", sensitivity.work());
        scores.add(Metric::MaxSensitivity, sensitivity.run(&mut |done| bar.set(done)).await?, seed);
        bar.finish();
        let bar = items("faithfulness", 2 * images);
        scores.add(Metric::Infidelity, infidelity.run_of(method, &settings, maps, &mut |done| bar.set(done)).await?, seed);
        let flipped = flipping.run(maps, &mut |done| bar.set(images + done)).await?;
        bar.finish();
        scores.add(Metric::Deletion, flipped.iter().map(|one| one.deletion), seed);
        scores.add(Metric::Insertion, flipped.iter().map(|one| one.insertion), seed);
        let mut randomisation = Vec::new();
        if args.randomisation {
            let layers = judged.model.config.network.weight_layers().len() as u64;
            let bar = items("randomising layers", layers);
            randomisation = randomization(&subject, method, &settings, &targets, maps, &mut |done| bar.set(done)).await?;
            bar.finish();
        }
        compared.push(ComparedMethod { method, scores, randomisation });
    }
    Ok((explained, compared))
}

impl CompareResult {
    fn rows<'a>(&'a self, judged: &'a [Judged]) -> impl Iterator<Item = (&'a Judged, &'a ComparedMethod)> {
        self.models.iter().zip(judged).flat_map(|(model, judged)| model.methods.iter().map(move |method| (judged, method)))
    }

    fn table(&self, judged: &[Judged]) -> Table {
        let mut headers: Vec<String> = ["model", "bits", "method", "accuracy %"].map(Into::into).into();
        let shown: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|&metric| self.rows(judged).any(|(_, method)| method.scores.get(metric).is_some()))
            .collect();
        headers.extend(
            shown.iter().map(|metric| format!("{} {}", metric.name(), if metric.higher_is_better() { '↑' } else { '↓' })),
        );
        let rows = self.rows(judged).map(|(judged, method)| {
            let accuracy = format!("{:.1}", 100.0 * judged.evaluation.accuracy);
            let mut row = vec![judged.name.clone(), judged.bits.clone(), method.method.name().to_string(), accuracy];
            row.extend(shown.iter().map(|&metric| match method.scores.get(metric) {
                Some(interval) => format!("{} ±{}", digits(interval.mean), digits((interval.high - interval.low) / 2.0)),
                None => "–".into(),
            }));
            row
        });
        // A row a judgement: there are more of them than models.
        let upright = Table::new(headers, rows.collect::<Vec<_>>());
        let line = |column: usize| upright.rows.iter().map(move |row| row[column].clone());
        let turned =
            (1..upright.headers.len()).map(|column| std::iter::once(upright.headers[column].clone()).chain(line(column)));
        Table::new(std::iter::once(upright.headers[0].clone()).chain(line(0)), turned.collect::<Vec<_>>())
    }

    fn randomisation_table(&self, judged: &[Judged]) -> Table {
        let rows = self.rows(judged).flat_map(|(judged, method)| {
            method.randomisation.iter().map(move |layer| {
                let agreement =
                    format!("{} ±{:.3}", fixed(layer.spearman.mean, 3), (layer.spearman.high - layer.spearman.low) / 2.0);
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
            let start = format!("{},{},{}", csv_field(&judged.name), csv_field(&judged.bits), method.method.name());
            for (metric, interval) in &method.scores.0 {
                text += &format!("{start},{},{},{},{}\n", metric.name(), interval.mean, interval.low, interval.high);
            }
            for layer in &method.randomisation {
                let name = csv_field(&format!("randomisation:{}", layer.layer));
                text += &format!("{start},{name},{},{},{}\n", layer.spearman.mean, layer.spearman.low, layer.spearman.high);
            }
        }
        text
    }

    /// Alignment, clarity and stability against bits, the widest first: a line a method, shaded by its 95 % interval.
    fn charts(&self, judged: &[Judged]) -> ChartStack {
        let mut order: Vec<usize> = (0..judged.len()).collect();
        let width = |model: usize| {
            let bits = &judged[model].model.config.quantization.bits;
            bits.iter().map(|layer| layer.weight + layer.activation).sum::<u32>()
        };
        order.sort_by_key(|&model| std::cmp::Reverse(width(model)));
        let several = |model: usize| judged.iter().filter(|other| other.bits == judged[model].bits).count() > 1;
        let x_names: Vec<String> = order
            .iter()
            .map(|&model| {
                if several(model) { format!("{} {}", judged[model].bits, judged[model].name) } else { judged[model].bits.clone() }
            })
            .collect();
        let reference = judged.iter().position(|one| one.name == self.reference).unwrap_or(0);
        let panel = |title: String, y_label: &str, metric: Metric, x_label: &str| LineChart {
            title,
            x_label: x_label.into(),
            y_label: y_label.into(),
            x_names: x_names.clone(),
            series: (0..self.models[0].methods.len())
                .map(|method| {
                    let values = order.iter().enumerate().filter_map(|(place, &model)| {
                        // The reference agrees with itself.
                        let itself = crate::judgement::Interval { mean: 1.0, low: 1.0, high: 1.0 };
                        let own = self.models[model].methods[method].scores.get(metric);
                        let interval = own.or((model == reference && metric == Metric::Spearman).then_some(itself))?;
                        Some((place as f64, interval))
                    });
                    let values: Vec<_> = values.collect();
                    Series {
                        name: self.models[0].methods[method].method.name().into(),
                        points: values.iter().map(|(place, interval)| (*place, interval.mean)).collect(),
                        band: values.iter().map(|(place, interval)| (*place, interval.low, interval.high)).collect(),
                        ..Series::default()
                    }
                })
                .collect(),
            ..LineChart::default()
        };
        ChartStack(vec![
            panel(
                format!("Alignment with {}", self.reference),
                "Spearman correlation",
                Metric::Spearman,
                "bits of the convolutions",
            ),
            panel("Clarity: how concentrated the maps are".into(), "Gini coefficient", Metric::Gini, "bits of the convolutions"),
            panel(
                "Instability: how much noise of ±0.02 changes the maps".into(),
                "max-sensitivity",
                Metric::MaxSensitivity,
                "bits of the convolutions (shaded: 95 % intervals)",
            ),
        ])
    }
}

/// Three significant digits or so.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.01 || size == 0.0 => fixed(value, 3),
        _ => format!("{value:.1e}"),
    }
}

/// The maps side by side, as PNG and as SVG.
fn grid(judged: &[Judged], maps: &[Explained], args: &CompareArgs) -> Result<(Vec<u8>, String)> {
    let first = &judged[0];
    let rows = first.images.len().min(GRID_ROWS);
    let shape = first.dataset.shape;
    let pixels = rows * shape.elements() as usize;
    let images = unit_pixels(&first.images);
    let predicted: Vec<(Vec<u32>, Vec<f32>)> = judged
        .iter()
        .map(|one| one.evaluation.predictions.iter().take(rows).map(|one| (one.class, one.probability)).unzip())
        .collect();
    let columns = judged.iter().zip(maps).zip(&predicted).flat_map(|((one, maps), (classes, probabilities))| {
        args.method.method.iter().enumerate().map(move |(index, method)| GridColumn {
            model: &one.name,
            method: method.name(),
            saliency: &maps.maps[index][..pixels],
            masked: &maps.masked[index][..pixels],
            predictions: classes,
            probabilities,
            accuracy: Some((one.evaluation.accuracy as f32, one.evaluation.images)),
        })
    });
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
    #[test]
    fn small_values_keep_their_digits() {
        assert_eq!(super::digits(-0.0), "0.000");
        assert_eq!([0.0, 0.000_123, 0.5, 12.34, 4321.6].map(super::digits), ["0.000", "1.2e-4", "0.500", "12.3", "4322"]);
    }
}
