//! `saliq drop`.

use std::path::PathBuf;

use serde::Serialize;

use super::judge::{Judged, JudgedModel, csv_field, write_json};
use crate::{
    Result,
    cli::{
        args::{DropArgs, GlobalArgs},
        output::Output,
        progress::Progress,
    },
    config::RunConfig,
    data::Dataset,
    files::write_atomically,
    gpu::Gpu,
    judgement::{AccuracyDrop, DropCurve, Fill, RetrainingOptions, removed_shares, retrain},
    report::{LineChart, Series, Table},
    saliency::{Method, MethodOptions},
    train::{EpochLine, Observer},
};

/// Draws accuracy-drop curves.
///
/// # Errors
/// [`crate::Error`] of the work behind it.
pub fn run(args: &DropArgs, global: &GlobalArgs) -> Result<()> {
    args.method.validate()?;
    let output = global.output();
    super::refuse_file(&args.out)?;
    let count = args.count;
    let (gpu, judged) = Judged::load_all(|| super::open_gpu(global), &args.models, &args.input, count, args.target, &output)?;
    let mut methods = args.method.method.clone();
    if !methods.contains(&Method::Random) {
        methods.push(Method::Random);
    }
    let shares = removed_shares(args.step);
    let mut curves = Vec::new();
    for one in &judged {
        curves.extend(pollster::block_on(drop_of(&gpu, one, args, &methods, &shares, &output))?);
    }
    let result = DropResult {
        adapter: gpu.adapter_description(),
        images: judged.iter().map(|one| one.images.len()).max().unwrap_or(0),
        fill: args.fill,
        models: judged.iter().map(Judged::described).collect(),
        curves,
    };
    super::prepare_folder(&args.out)?;
    let chart = result.chart(&judged[0].dataset.name);
    write_json(&args.out.join("drop.json"), &result)?;
    write_atomically(&args.out.join("drop.csv"), result.csv().as_bytes())?;
    write_atomically(&args.out.join("drop.svg"), chart.to_svg()?.as_bytes())?;
    write_atomically(&args.out.join("drop.png"), &chart.to_png()?)?;
    output.result(&result, || {
        format!(
            "{}\nremoved features filled with {}, {} images; area: mean accuracy over all shares, the lower the better the map\n{}",
            result.table().to_text(None),
            args.fill.name(),
            result.images,
            args.out.join("drop.png").display()
        )
    })
}

/// The JSON of `saliq drop --json` and `drop.json`.
#[derive(Serialize)]
struct DropResult {
    adapter: String,
    images: usize,
    fill: Fill,
    models: Vec<JudgedModel>,
    curves: Vec<Curve>,
}

/// A curve of a model and method.
#[derive(Clone, Serialize)]
struct Curve {
    model: String,
    bits: String,
    method: Method,
    /// Whether networks were trained anew at every point (ROAR).
    retrained: bool,
    #[serde(flatten)]
    curve: DropCurve,
}

async fn drop_of(
    gpu: &Gpu,
    judged: &Judged,
    args: &DropArgs,
    methods: &[Method],
    shares: &[f64],
    output: &Output,
) -> Result<Vec<Curve>> {
    let subject = judged.subject(gpu, &args.input);
    let settings = args.method.settings(judged.normalization, &args.input);
    let targets = subject.targets(args.target.into(), &judged.evaluation);
    let bar = Progress::items(output, &format!("{}: explaining", judged.name), subject.work(methods, &settings));
    let explained = subject.explain(methods, &settings, &targets, &mut |done| bar.set(done)).await?;
    bar.finish();
    let drop = AccuracyDrop::record(subject, args.fill, shares, args.method.seed)?;
    let images = judged.images.len() as u64;
    let bar = Progress::items(output, &format!("{}: removing", judged.name), images * methods.len() as u64);
    let mut curves = Vec::new();
    for (index, (&method, maps)) in methods.iter().zip(&explained.maps).enumerate() {
        let curve = drop.run(maps, &mut |done| bar.set(index as u64 * images + done)).await?;
        let (model, bits) = (judged.name.clone(), judged.bits.clone());
        curves.push(Curve { model, bits, method, retrained: false, curve });
    }
    bar.finish();
    if args.roar {
        for (&method, maps) in methods.iter().zip(&explained.maps) {
            let curve = roar_of(gpu, judged, args, (method, maps), &settings, shares, output).await?;
            let (model, bits) = (judged.name.clone(), judged.bits.clone());
            curves.push(Curve { model, bits, method, retrained: true, curve });
        }
    }
    Ok(curves)
}

/// How the model was trained: its run folder's settings, else the defaults for its network.
fn training_config(judged: &Judged, args: &DropArgs, out: PathBuf) -> Result<RunConfig> {
    let mut settings = super::settings_beside(&judged.model).transpose()?.unwrap_or_default();
    settings.snapshot_every = None;
    settings.checkpoint_every = None;
    if let Some(epochs) = args.epochs {
        settings.epochs = Some(i64::from(epochs));
        settings.steps = None;
    }
    let mut config = settings.resolve(&judged.dataset.info())?;
    config.network = judged.model.config.network.clone();
    config.quantization = judged.model.config.quantization.clone();
    config.out = out;
    Ok(config)
}

/// Progress of ROAR's trainings.
struct Trainings<'a>(&'a Progress);

impl Observer for Trainings<'_> {
    fn epoch(&mut self, _: &EpochLine) {
        self.0.advance(1);
    }
}

async fn roar_of(
    gpu: &Gpu,
    judged: &Judged,
    args: &DropArgs,
    (method, test_maps): (Method, &[f32]),
    settings: &MethodOptions,
    shares: &[f64],
    output: &Output,
) -> Result<DropCurve> {
    let out = args.out.join("roar").join(format!("{}-{}", judged.name, method.name()));
    let config = training_config(judged, args, out)?;
    let mut train = judged.dataset.train.clone();
    if let Some(limit) = config.train_limit {
        train.truncate(limit as usize, judged.dataset.shape);
    }
    let subjects = [judged.subject_on(gpu, &args.input, &train), judged.subject(gpu, &args.input)];
    let evaluation = subjects[0].evaluate().await?;
    let targets = subjects[0].targets(args.target.into(), &evaluation);
    let what = format!("{}: explaining the training images", judged.name);
    let bar = Progress::items(output, &what, subjects[0].work(&[method], settings));
    let explained = subjects[0].explain(&[method], settings, &targets, &mut |done| bar.set(done)).await?;
    bar.finish();
    let dataset = Dataset { train: train.clone(), test: judged.images.clone(), ..judged.dataset.clone() };
    let options = RetrainingOptions { fill: args.fill, shares: shares.to_vec(), seed: args.method.seed };
    let epochs = u64::from(config.epochs) * shares.len() as u64;
    let bar = Progress::items(output, &format!("{}: training without {}'s features", judged.name, method.name()), epochs);
    let maps = [explained.maps[0].as_slice(), test_maps];
    let curve = retrain(gpu, &config, &dataset, subjects, maps, &options, &mut Trainings(&bar)).await?;
    bar.finish();
    Ok(curve)
}

impl DropResult {
    fn table(&self) -> Table {
        let percent = |value: f64| format!("{:.1}", 100.0 * value);
        let mut headers: Vec<String> = ["model", "bits", "method"].map(Into::into).into();
        let removed = self.curves.first().map(|curve| curve.curve.removed.clone()).unwrap_or_default();
        // A point of the curve in ten percent at most, so that the table stays readable.
        let shown: Vec<usize> = (0..removed.len()).step_by((removed.len() / 10).max(1)).collect();
        headers.extend(shown.iter().map(|&point| format!("{:.0} %", 100.0 * removed[point])));
        headers.extend(["area".to_string(), "below random".into()]);
        let rows = self.curves.iter().map(|one| {
            let random = self
                .curves
                .iter()
                .find(|other| other.model == one.model && other.retrained == one.retrained && other.method == Method::Random);
            let method = format!("{}{}", one.method.name(), if one.retrained { ", retrained" } else { "" });
            let mut row = vec![one.model.clone(), one.bits.clone(), method];
            row.extend(shown.iter().map(|&point| percent(one.curve.accuracy[point])));
            row.push(percent(one.curve.area));
            row.push(random.map_or("–".into(), |random| percent(random.curve.area - one.curve.area)));
            row
        });
        Table::new(headers, rows.collect::<Vec<_>>())
    }

    fn csv(&self) -> String {
        let mut text = String::from("model,bits,method,retrained,removed,accuracy\n");
        for one in &self.curves {
            for (removed, accuracy) in one.curve.removed.iter().zip(&one.curve.accuracy) {
                let [model, bits] = [&one.model, &one.bits].map(|field| csv_field(field));
                text += &format!("{model},{bits},{},{},{removed},{accuracy}\n", one.method.name(), one.retrained);
            }
        }
        text
    }

    /// A line for all models of the same bits, shaded from the lowest to the highest where there are several; one random baseline for all.
    fn chart(&self, dataset: &str) -> LineChart {
        let mut lines: Vec<(String, Vec<&Curve>)> = Vec::new();
        let mut baselines: Vec<(String, Vec<&Curve>)> = Vec::new();
        for one in &self.curves {
            let suffix = if one.retrained { ", retrained" } else { "" };
            let (lines, name) = match one.method {
                Method::Random => (&mut baselines, format!("random{suffix}")),
                method => (&mut lines, format!("{} {}{suffix}", one.bits, method.name())),
            };
            match lines.iter_mut().find(|(other, _)| *other == name) {
                Some((_, curves)) => curves.push(one),
                None => lines.push((name, vec![one])),
            }
        }
        lines.extend(baselines);
        LineChart {
            title: format!("Accuracy without the most salient features: {dataset}"),
            x_label: format!("features removed, % (filled with {}; first {} images)", self.fill.name(), self.images),
            y_label: "accuracy, %".into(),
            series: lines.into_iter().map(|(name, curves)| spread(name, &curves)).collect(),
            ..LineChart::default()
        }
    }
}

/// The mean of `curves` with the band from the lowest to the highest.
fn spread(name: String, curves: &[&Curve]) -> Series {
    let at = |point: usize| curves.iter().map(move |one| 100.0 * one.curve.accuracy[point]);
    let removed = &curves[0].curve.removed;
    let points = removed.iter().enumerate().map(|(point, share)| (100.0 * share, at(point).sum::<f64>() / curves.len() as f64));
    let band = removed.iter().enumerate().map(|(point, share)| {
        let (low, high) = at(point).fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        (100.0 * share, low, high)
    });
    let name = if curves.len() > 1 { format!("{name} ({} models)", curves.len()) } else { name };
    Series {
        name,
        points: points.collect(),
        band: if curves.len() > 1 { band.collect() } else { Vec::new() },
        smooth: false,
        style: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(model: &str, bits: &str, method: Method, accuracy: [f64; 2]) -> Curve {
        let curve = DropCurve::new(vec![0.0, 0.9], accuracy.into());
        Curve { model: model.into(), bits: bits.into(), method, retrained: false, curve }
    }

    #[test]
    fn models_of_the_same_bits_share_a_line_with_its_spread() {
        let result = DropResult {
            adapter: String::new(),
            images: 1,
            fill: Fill::Zero,
            models: Vec::new(),
            curves: vec![
                curve("a", "(2,2)", Method::Gradient, [0.9, 0.1]),
                curve("a", "(2,2)", Method::Random, [0.9, 0.3]),
                curve("b,c", "(2,2)", Method::Gradient, [0.8, 0.3]),
                curve("b,c", "(2,2)", Method::Random, [0.8, 0.3]),
            ],
        };
        let chart = result.chart("x");
        let names: Vec<_> = chart.series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["(2,2) gradient (2 models)", "random (2 models)"]);
        assert_eq!(chart.series[0].band[1], (90.0, 10.0, 30.0));
        assert!((chart.series[0].points[1].1 - 20.0).abs() < 1e-9);
        assert_eq!(result.table().rows[0].last().map(String::as_str), Some("10.0"));
        assert!(result.csv().contains("\"b,c\",\"(2,2)\",gradient,false,0.9,0.3\n"), "{}", result.csv());
    }
}
