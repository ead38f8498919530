//! `saliq drop`.

use std::path::PathBuf;

use serde::Serialize;

use super::judge::{Judged, JudgedModel, write_json};
use crate::{
    Result,
    cli::{
        args::{DropArgs, GlobalArgs},
        output::Output,
        progress::Progress,
    },
    config::{RunConfig, resolve},
    data::Dataset,
    files::write_atomically,
    gpu::Gpu,
    judgement::{
        AccuracyDrop, DropCurve, Explained, Fill, Interval, RetrainingOptions, removed_shares,
        retrain, wilson, wilson_of_all,
    },
    report::{LineChart, Quantity, Series, Table, counted, csv_field},
    saliency::Method,
    train::{EpochLine, Observer},
};

/// Draws accuracy-drop curves.
///
/// # Errors
/// [`crate::Error`] of the library functions that it calls.
pub fn run(args: &DropArgs, global: &GlobalArgs) -> Result<()> {
    args.method.validate()?;
    let output = global.output();
    super::refuse_file(&args.out)?;
    let count = args.count;
    let (gpu, judged) = Judged::load_all(
        || super::open_gpu(global),
        &args.models,
        (&args.input, global),
        count,
        args.target,
        &output,
    )?;
    let mut methods = args.method.method.clone();
    if !methods.contains(&Method::Random) {
        methods.push(Method::Random);
    }
    let shares = removed_shares(args.step);
    // Forward passes; a backward pass takes about as long as two, and so do the ranking and the
    // filling of a removal with its pass.
    let work = |one: &Judged| {
        let settings = args.method.settings(one.normalization, &args.input);
        let removing = 2 * (one.images.len() * methods.len() * shares.len()) as u64;
        let subject = one.subject(&gpu, &args.input);
        (3 * subject.work(&methods, &settings), removing)
    };
    let works: Vec<(u64, u64)> = judged.iter().map(work).collect();
    let whole = Progress::items(
        &output,
        &format!(
            "{}, {}",
            counted(judged.len(), "model"),
            counted(judged.iter().map(|one| one.images.len()).max().unwrap_or(0), "image")
        ),
        works.iter().map(|(explaining, removing)| explaining + removing).sum(),
    );
    let mut all = Vec::new();
    for (one, work) in judged.iter().zip(works) {
        let settings = args.method.settings(one.normalization, &args.input);
        super::note_folding(&one.model, &methods, &settings, &output);
        let own = drop_of(&gpu, one, args, &methods, &shares, (&whole, work));
        all.push(pollster::block_on(own)?);
    }
    whole.finish();
    let mut curves = Vec::new();
    for (one, (own, explained)) in judged.iter().zip(all) {
        curves.extend(own);
        if args.roar {
            for (&method, maps) in methods.iter().zip(&explained.maps) {
                let curve = roar_of(&gpu, one, args, (method, maps), &shares, &output);
                curves.push(Curve::new(one, method, true, pollster::block_on(curve)?));
            }
        }
    }
    let result = DropResult {
        adapter: gpu.adapter_description(),
        images: judged.iter().map(|one| one.images.len()).max().unwrap_or(0),
        fill: args.fill,
        models: judged.iter().map(Judged::described).collect(),
        groups: groups(judged.iter().map(|one| (one.name.clone(), one.bits.clone(), one.recipe()))),
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
            "{}\n\
             accuracy in % with a share of the pixels removed, the most salient first, filled with \
             {}; {}, Wilson's 95 % intervals at most {:.1} points wide\n\
             area: mean accuracy over all shares in %; lower is better, because the map then ranks \
             the pixels that the model uses first; below random: the area for random order minus \
             this area, in points\n{}",
            result.table().to_text(None),
            args.fill.name(),
            counted(result.images, "image"),
            100.0 * result.widest(),
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
    #[serde(skip)]
    groups: Vec<Group>,
    curves: Vec<Curve>,
}

/// Models that share a curve: one model, or the seeds of one recipe.
struct Group {
    models: Vec<String>,
    bits: String,
}

impl Group {
    /// Its label in the legend.
    fn label(&self) -> String {
        let (bits, count) = (&self.bits, self.models.len());
        match self.models.as_slice() {
            [one] => format!("{one} {bits}"),
            [first, .., last] if count > 3 => format!("{first} … {last} {bits}, {count} seeds"),
            few => format!("{} {bits}, {count} seeds", few.join(", ")),
        }
    }
}

/// Groups the models in order: models with the same recipe and different seeds are one group. Each
/// model has a name, bits, and a recipe with its seed.
fn groups(models: impl Iterator<Item = (String, String, Option<(String, u64)>)>) -> Vec<Group> {
    let mut groups: Vec<(Group, Option<String>, Vec<u64>)> = Vec::new();
    for (name, bits, recipe) in models {
        let (recipe, seed) = recipe.unzip();
        let joined = groups.iter_mut().find(|(_, own, seeds)| {
            recipe.is_some() && *own == recipe && seed.is_some_and(|seed| !seeds.contains(&seed))
        });
        match joined {
            Some((group, _, seeds)) => {
                group.models.push(name);
                seeds.extend(seed);
            }
            None => groups.push((
                Group { models: vec![name], bits },
                recipe,
                seed.into_iter().collect(),
            )),
        }
    }
    groups.into_iter().map(|(group, ..)| group).collect()
}

/// A curve of a model and method.
#[derive(Clone, Serialize)]
struct Curve {
    model: String,
    bits: String,
    method: Method,
    /// Whether networks were trained again at every point (ROAR).
    retrained: bool,
    #[serde(flatten)]
    curve: DropCurve,
    /// Number of images of every accuracy.
    images: u64,
    /// Lower ends of Wilson's 95 % intervals of the accuracies.
    accuracy_low: Vec<f64>,
    /// Upper ends of these intervals.
    accuracy_high: Vec<f64>,
}

impl Curve {
    fn new(judged: &Judged, method: Method, retrained: bool, curve: DropCurve) -> Curve {
        Curve::of(
            (judged.name.clone(), judged.bits.clone()),
            method,
            retrained,
            curve,
            judged.images.len() as u64,
        )
    }

    fn of(
        (model, bits): (String, String),
        method: Method,
        retrained: bool,
        curve: DropCurve,
        images: u64,
    ) -> Curve {
        let (accuracy_low, accuracy_high) = curve
            .accuracy
            .iter()
            .map(|&accuracy| {
                let Interval { low, high, .. } = wilson(accuracy, images);
                (low, high)
            })
            .unzip();
        Curve { model, bits, method, retrained, curve, images, accuracy_low, accuracy_high }
    }
}

async fn drop_of(
    gpu: &Gpu,
    judged: &Judged,
    args: &DropArgs,
    methods: &[Method],
    shares: &[f64],
    (whole, (explaining, removing)): (&Progress, (u64, u64)),
) -> Result<(Vec<Curve>, Explained)> {
    let subject = judged.subject(gpu, &args.input);
    let settings = args.method.settings(judged.normalization, &args.input);
    let targets = subject.targets(args.target.into(), &judged.evaluation);
    let what = format!("{}: explaining", judged.name);
    let bar = whole.part(&what, explaining, subject.work(methods, &settings));
    let explained =
        subject.explain(methods, &settings, &targets, &mut |done| bar.set(done)).await?;
    let drop = AccuracyDrop::record(subject, args.fill, shares, args.method.seed)?;
    let images = judged.images.len() as u64;
    let what = format!("{}: removing", judged.name);
    let bar = whole.part(&what, removing, images * methods.len() as u64);
    let mut curves = Vec::new();
    for (index, (&method, maps)) in methods.iter().zip(&explained.maps).enumerate() {
        let curve = drop.run(maps, &mut |done| bar.set(index as u64 * images + done)).await?;
        curves.push(Curve::new(judged, method, false, curve));
    }
    Ok((curves, explained))
}

/// The training settings of the model: those of its run folder, else the defaults for its network.
fn training_config(judged: &Judged, args: &DropArgs, out: PathBuf) -> Result<RunConfig> {
    let mut settings = super::settings_beside(&judged.model).transpose()?.unwrap_or_default();
    settings.snapshot_every = None;
    settings.checkpoint_every = None;
    if let Some(epochs) = args.epochs {
        settings.epochs = Some(i64::from(epochs));
        settings.steps = None;
    }
    let mut config = resolve(settings, &judged.dataset.info())?;
    config.network = judged.model.config.network.clone();
    config.quantization = judged.model.config.quantization.clone();
    config.out = out;
    Ok(config)
}

/// Progress of ROAR's training runs.
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
    shares: &[f64],
    output: &Output,
) -> Result<DropCurve> {
    let out = args.out.join("roar").join(format!("{}-{}", judged.name, method.name()));
    let config = training_config(judged, args, out)?;
    let settings = &args.method.settings(judged.normalization, &args.input);
    let mut train = judged.dataset.train.clone();
    if let Some(limit) = config.train_limit {
        train.truncate(limit as usize, judged.dataset.shape);
    }
    let subjects = [judged.subject_on(gpu, &args.input, &train), judged.subject(gpu, &args.input)];
    let evaluation = subjects[0].evaluate().await?;
    let targets = subjects[0].targets(args.target.into(), &evaluation);
    let what = format!("{}: explaining the training images", judged.name);
    let bar = Progress::items(output, &what, subjects[0].work(&[method], settings));
    let explained =
        subjects[0].explain(&[method], settings, &targets, &mut |done| bar.set(done)).await?;
    bar.finish();
    let dataset =
        Dataset { train: train.clone(), test: judged.images.clone(), ..(*judged.dataset).clone() };
    let options =
        RetrainingOptions { fill: args.fill, shares: shares.to_vec(), seed: args.method.seed };
    let epochs = u64::from(config.epochs) * shares.len() as u64;
    let bar = Progress::items(
        output,
        &format!("{}: training without {}'s features", judged.name, method.name()),
        epochs,
    );
    let maps = [explained.maps[0].as_slice(), test_maps];
    let curve =
        retrain(gpu, &config, &dataset, subjects, maps, &options, &mut Trainings(&bar)).await?;
    bar.finish();
    Ok(curve)
}

impl DropResult {
    fn table(&self) -> Table {
        let percent = |value: f64| format!("{:.1}", 100.0 * value);
        let mut headers: Vec<String> = ["model", "bits", "method"].map(Into::into).into();
        let removed =
            self.curves.first().map(|curve| curve.curve.removed.clone()).unwrap_or_default();
        // At most one point per ten percent, so that the table stays readable.
        let shown: Vec<usize> = (0..removed.len()).step_by((removed.len() / 10).max(1)).collect();
        headers.extend(shown.iter().map(|&point| format!("{:.0} %", 100.0 * removed[point])));
        headers.extend(["area ↓".to_string(), "below random ↑".into()]);
        let rows = self.curves.iter().map(|one| {
            let random = self.curves.iter().find(|other| {
                other.model == one.model
                    && other.retrained == one.retrained
                    && other.method == Method::Random
            });
            let method =
                format!("{}{}", one.method.name(), if one.retrained { ", retrained" } else { "" });
            let mut row = vec![one.model.clone(), one.bits.clone(), method];
            row.extend(shown.iter().map(|&point| percent(one.curve.accuracy[point])));
            row.push(percent(one.curve.area));
            row.push(
                random.map_or("–".into(), |random| percent(random.curve.area - one.curve.area)),
            );
            row
        });
        Table::new(headers, rows.collect::<Vec<_>>())
    }

    fn csv(&self) -> String {
        let mut text = String::from("model,bits,method,retrained,removed,accuracy,low,high\n");
        for one in &self.curves {
            let ends = one.accuracy_low.iter().zip(&one.accuracy_high);
            for ((removed, accuracy), (low, high)) in
                one.curve.removed.iter().zip(&one.curve.accuracy).zip(ends)
            {
                let [model, bits] = [&one.model, &one.bits].map(|field| csv_field(field));
                let method = one.method.name();
                text += &format!(
                    "{model},{bits},{method},{},{removed},{accuracy},{low},{high}\n",
                    one.retrained
                );
            }
        }
        text
    }

    /// Width of the widest interval.
    fn widest(&self) -> f64 {
        let ends =
            self.curves.iter().flat_map(|one| one.accuracy_low.iter().zip(&one.accuracy_high));
        ends.map(|(low, high)| high - low).fold(0.0, f64::max)
    }

    /// One line per method and model, or per recipe if it has several seeds, and a thin line in the
    /// same colour for random order.
    fn chart(&self, dataset: &str) -> LineChart {
        let mut series: Vec<Series> = Vec::new();
        for retrained in [false, true] {
            let suffix = if retrained { ", retrained" } else { "" };
            for group in &self.groups {
                let of = |method: Method| -> Vec<&Curve> {
                    let own = |one: &&Curve| {
                        one.method == method
                            && one.retrained == retrained
                            && group.models.contains(&one.model)
                    };
                    self.curves.iter().filter(own).collect()
                };
                let mut methods: Vec<Method> = self.curves.iter().map(|one| one.method).collect();
                methods.retain(|&method| method != Method::Random);
                let mut seen = Vec::new();
                let first = series.iter().filter(|series: &&Series| !series.thin).count();
                for method in methods {
                    let curves = of(method);
                    if !seen.contains(&method) && !curves.is_empty() {
                        let name = format!("{}, {}{suffix}", group.label(), method.name());
                        series.push(Series {
                            style: Some(first + seen.len()),
                            ..line(name, &curves)
                        });
                        seen.push(method);
                    }
                }
                let random = of(Method::Random);
                if !random.is_empty() {
                    let name = format!("{}, random order{suffix}", group.label());
                    series.push(Series {
                        style: Some(first),
                        thin: !seen.is_empty(),
                        ..line(name, &random)
                    });
                }
            }
        }
        let bands = if self.groups.iter().any(|group| group.models.len() > 1) {
            "; of several seeds from the lowest limit to the highest, around their mean"
        } else {
            ""
        };
        let retrained = if self.curves.iter().any(|one| one.retrained) {
            " Retrained (ROAR): a network that was trained again and tested on images without \
             those pixels."
        } else {
            ""
        };
        LineChart {
            title: format!("Accuracy without the most salient features: {dataset}"),
            note: format!(
                "Pixels are removed in the order of the map, the most salient first, and filled \
                 with {}. The further a line falls below random order, the better its map ranks \
                 the pixels that the model uses.{retrained} Shaded: Wilson's 95 % intervals for \
                 {}{bands}.",
                self.fill.described(),
                counted(self.images, "image")
            ),
            x_label: "features removed, %".into(),
            y_label: "accuracy, %".into(),
            quantity: Quantity::Percent,
            series,
            ..LineChart::default()
        }
    }
}

/// The mean of `curves`, which have the same points, with their intervals, in percent.
fn line(name: String, curves: &[&Curve]) -> Series {
    let images = curves.iter().map(|one| one.images).min().unwrap_or(0);
    let at = |point: usize| -> Interval {
        let shares: Vec<f64> = curves.iter().map(|one| one.curve.accuracy[point]).collect();
        wilson_of_all(&shares, images)
    };
    let all: Vec<(f64, Interval)> = curves[0]
        .curve
        .removed
        .iter()
        .enumerate()
        .map(|(point, share)| (100.0 * share, at(point)))
        .collect();
    Series {
        name,
        points: all.iter().map(|(share, accuracy)| (*share, 100.0 * accuracy.mean)).collect(),
        band: all
            .iter()
            .map(|(share, accuracy)| (*share, 100.0 * accuracy.low, 100.0 * accuracy.high))
            .collect(),
        ..Series::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(model: &str, bits: &str, method: Method, accuracy: [f64; 2]) -> Curve {
        let curve = DropCurve::new(vec![0.0, 0.9], accuracy.into());
        Curve::of((model.into(), bits.into()), method, false, curve, 10)
    }

    /// Two models with bits (2,2), and with these recipes and seeds.
    fn result(recipes: [Option<(&str, u64)>; 2]) -> DropResult {
        let models = ["a", "b,c"].into_iter().zip(recipes);
        DropResult {
            adapter: String::new(),
            images: 10,
            fill: Fill::Zero,
            models: Vec::new(),
            groups: groups(models.map(|(name, recipe)| {
                (
                    name.into(),
                    "(2,2)".into(),
                    recipe.map(|(recipe, seed)| (recipe.to_string(), seed)),
                )
            })),
            curves: vec![
                curve("a", "(2,2)", Method::Gradient, [0.9, 0.1]),
                curve("a", "(2,2)", Method::Random, [0.9, 0.3]),
                curve("b,c", "(2,2)", Method::Gradient, [0.8, 0.3]),
                curve("b,c", "(2,2)", Method::Random, [0.8, 0.3]),
            ],
        }
    }

    fn names(chart: &LineChart) -> Vec<&str> {
        chart.series.iter().map(|series| series.name.as_str()).collect()
    }

    #[test]
    fn seeds_of_one_recipe_share_a_line_and_nothing_else_does() {
        let seeds = result([Some(("x", 0)), Some(("x", 1))]).chart("x");
        assert_eq!(
            names(&seeds),
            ["a, b,c (2,2), 2 seeds, gradient", "a, b,c (2,2), 2 seeds, random order"]
        );
        assert!((seeds.series[0].points[1].1 - 20.0).abs() < 1e-9);
        let (low, high) = (100.0 * wilson(0.1, 10).low, 100.0 * wilson(0.3, 10).high);
        assert_eq!(seeds.series[0].band[1], (90.0, low, high));
        for apart in [
            [None, None],
            [Some(("x", 0)), None],
            [Some(("x", 0)), Some(("y", 1))],
            // The same training twice gives no information about other seeds.
            [Some(("x", 0)), Some(("x", 0))],
        ] {
            let chart = result(apart).chart("x");
            let expected = [
                "a (2,2), gradient",
                "a (2,2), random order",
                "b,c (2,2), gradient",
                "b,c (2,2), random order",
            ];
            assert_eq!(names(&chart), expected, "{apart:?}");
            assert_eq!(
                [0, 1, 2, 3].map(|at| chart.series[at].style),
                [Some(0), Some(0), Some(1), Some(1)]
            );
            assert_eq!([0, 1, 2, 3].map(|at| chart.series[at].thin), [false, true, false, true]);
        }
    }

    #[test]
    fn every_accuracy_has_its_interval() {
        let result = result([None, None]);
        let chart = result.chart("x");
        for series in &chart.series {
            assert_eq!(series.band.len(), series.points.len());
            for (&(x, y), &(at, low, high)) in series.points.iter().zip(&series.band) {
                assert!(
                    x == at && low < y && y < high && low >= 0.0 && high <= 100.0,
                    "{series:?}"
                );
            }
        }
        assert!(chart.note.contains("Wilson's 95 % intervals for 10 images"), "{}", chart.note);
        assert_eq!(result.table().rows[0].last().map(String::as_str), Some("10.0"));
        let line = format!(
            "\"b,c\",\"(2,2)\",gradient,false,0.9,0.3,{},{}\n",
            wilson(0.3, 10).low,
            wilson(0.3, 10).high
        );
        assert!(result.csv().contains(&line), "{}", result.csv());
        assert!(result.widest() > 0.2);
    }

    #[test]
    fn many_seeds_have_a_short_label() {
        let group = |names: &[&str]| Group {
            models: names.iter().map(|name| name.to_string()).collect(),
            bits: "float".into(),
        };
        assert_eq!(group(&["a"]).label(), "a float");
        assert_eq!(group(&["a", "b", "c"]).label(), "a, b, c float, 3 seeds");
        assert_eq!(group(&["a", "b", "c", "d"]).label(), "a … d float, 4 seeds");
    }
}
