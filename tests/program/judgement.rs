//! Properties of the judgements on a trained network, and the commands `drop` and `compare`.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use pollster::block_on;
use saliq::{
    config::{QuantizationOverrides, Shape},
    data::Split,
    judgement::{
        AccuracyDrop, AlignmentOptions, Fill, PixelFlipping, Subject, alignment, clarity,
        earth_mover_distance, randomization, removed_shares,
    },
    model::Model,
    saliency::{Method, MethodOptions},
};

use crate::{
    common::{Random, gpu},
    support::{SMALL_NETWORK, colored, json, refused, succeed, text, write_folder},
};

const SHAPE: Shape = Shape::new(3, 11, 13);

/// A network whose gradient reaches every pixel alike: what maps have in common is then learned,
/// and not the layers' geometry.
const EVEN_NETWORK: &str = r#"
[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 8, kernel = 3, padding = 1 },
    { type = "activation", name = "act1" },
    { type = "linear", name = "fc1", out-features = 4 },
]
"#;

/// A folder with a data set and models trained on it: `a` and `b` float with seeds 0 and 1, `q` at
/// (4,4), `even` of [`EVEN_NETWORK`].
fn trained() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER
        .get_or_init(|| {
            // A static is never dropped: a temporary folder would stay behind.
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("judgement");
            let _ = std::fs::remove_dir_all(&folder);
            let data = folder.join("data");
            write_folder(&data, SHAPE, &colored(256, 1), &colored(64, 2));
            let small = SMALL_NETWORK.replace("out-features = 10", "out-features = 4");
            let runs = [
                ("a", vec![]),
                ("b", vec!["--seed", "1"]),
                ("q", vec!["--bits", "4,4"]),
                ("even", vec![]),
            ];
            for (name, more) in runs {
                let config = folder.join("network.toml");
                std::fs::write(&config, if name == "even" { EVEN_NETWORK } else { &small })
                    .unwrap();
                let out = folder.join(name);
                let mut arguments = vec![
                    "train",
                    "--config",
                    text(&config),
                    "--dataset",
                    text(&data),
                    "--out",
                    text(&out),
                ];
                arguments.extend([
                    "--batch-size",
                    "16",
                    "--optimizer",
                    "adam",
                    "--lr",
                    "0.01",
                    "--epochs",
                    "4",
                    "--quiet",
                ]);
                arguments.extend(more);
                succeed(&arguments);
            }
            folder
        })
        .as_path()
}

fn model(name: &str) -> Model {
    Model::load(&trained().join(name), &QuantizationOverrides::default()).unwrap()
}

fn subject<'a>(model: &'a Model, images: &'a Split) -> Subject<'a> {
    Subject {
        gpu: gpu(),
        model,
        images,
        normalization: model.normalization().unwrap(),
        batch_size: 24,
    }
}

#[test]
fn removing_what_the_gradient_names_costs_more_than_removing_at_random() {
    let (model, images) = (model("a"), colored(64, 2));
    let subject = subject(&model, &images);
    let evaluation = block_on(subject.evaluate()).unwrap();
    assert!(evaluation.accuracy > 0.9, "{}", evaluation.accuracy);
    let targets: Vec<u32> =
        evaluation.predictions.iter().map(|prediction| prediction.class).collect();
    let methods = [Method::InputXGradient, Method::Random];
    let maps =
        block_on(subject.explain(&methods, &MethodOptions::default(), &targets, &mut |_| {}))
            .unwrap()
            .maps;
    for fill in [Fill::Mean, Fill::Road] {
        let drop = AccuracyDrop::record(subject, fill, &removed_shares(10), 3).unwrap();
        let curves: Vec<_> =
            maps.iter().map(|maps| block_on(drop.run(maps, &mut |_| {})).unwrap()).collect();
        assert_eq!(curves[0].accuracy[0], evaluation.accuracy);
        assert!(curves[0].area < curves[1].area, "{fill:?}: {curves:?}");
        // The same run gives the same bits.
        assert_eq!(block_on(drop.run(&maps[0], &mut |_| {})).unwrap(), curves[0]);
    }
    let flipping = PixelFlipping::record(subject, &targets, Fill::Mean, 10, 0).unwrap();
    let mean = |maps: &[f32]| {
        let areas = block_on(flipping.run(maps, &mut |_| {})).unwrap();
        let count = areas.len() as f64;
        (
            areas.iter().map(|one| one.deletion).sum::<f64>() / count,
            areas.iter().map(|one| one.insertion).sum::<f64>() / count,
        )
    };
    let (explained, random) = (mean(&maps[0]), mean(&maps[1]));
    // At random, removing and putting back are the same game: no better than chance either way.
    assert!((random.0 - random.1).abs() < 0.1, "{random:?}");
    assert!(explained.0 < random.0 && explained.1 > random.1, "{explained:?} {random:?}");
}

#[test]
fn a_randomised_networks_maps_are_no_longer_alike() {
    let (model, images) = (model("even"), colored(24, 2));
    let subject = subject(&model, &images);
    let targets: Vec<u32> = images.labels.clone();
    let settings = MethodOptions::default();
    let maps = block_on(subject.explain(&[Method::Gradient], &settings, &targets, &mut |_| {}))
        .unwrap()
        .maps
        .remove(0);
    let layers = block_on(randomization(
        &subject,
        Method::Gradient,
        &settings,
        &targets,
        &maps,
        &mut |_| {},
    ))
    .unwrap();
    assert_eq!(layers.iter().map(|one| one.layer.as_str()).collect::<Vec<_>>(), ["fc1", "conv1"]);
    assert!(layers.iter().all(|one| one.spearman.mean.abs() < 0.3), "{layers:?}");
    assert!(
        layers
            .iter()
            .all(|one| one.spearman.low <= one.spearman.mean
                && one.spearman.mean <= one.spearman.high)
    );
}

#[test]
fn identical_maps_align_exactly_and_a_map_with_noise_does_not() {
    let mut random = Random(9);
    let maps = random.vector(300 * SHAPE.elements() as usize);
    let options = AlignmentOptions { earth_mover: false, ..AlignmentOptions::default() };
    let same = block_on(alignment(gpu(), SHAPE, &maps, &maps, &options, &mut |_| {})).unwrap();
    assert_eq!(same.len(), 300);
    for one in same {
        assert_eq!(
            [one.spearman, one.pearson, one.cosine, one.ssim, one.top_overlap],
            [1.0; 5],
            "{one:?}"
        );
    }
    let scaled: Vec<f32> = maps.iter().map(|value| 3.0 * value).collect();
    let one = block_on(alignment(gpu(), SHAPE, &maps, &scaled, &options, &mut |_| {})).unwrap()[0];
    assert!((one.ssim - 1.0).abs() < 1e-5 && (one.spearman - 1.0).abs() < 1e-6, "{one:?}");
    let other = random.vector(maps.len());
    let one = block_on(alignment(gpu(), SHAPE, &maps, &other, &options, &mut |_| {})).unwrap()[0];
    assert!(one.spearman.abs() < 0.2 && one.top_overlap < 0.3, "{one:?}");
    assert!(block_on(alignment(gpu(), SHAPE, &maps, &other[1..], &options, &mut |_| {})).is_err());
}

/// Ties as in maps with dark backgrounds, tiny and large values, constants and zeros: whatever they
/// are, equal is equal.
#[test]
fn equal_maps_of_every_kind_have_exactly_one() {
    let mut random = Random(31);
    for shape in [SHAPE, Shape::new(1, 28, 28), Shape::new(2, 3, 5), Shape::new(1, 1, 1)] {
        let size = shape.elements() as usize;
        let mut maps = Vec::new();
        for scale in [1e-12, 1e-6, 0.37, 1.0, 1e4, 1e12] {
            maps.extend(random.vector(size).iter().map(|value| scale * value));
            maps.extend(
                random
                    .vector(size)
                    .iter()
                    .map(|value| if value.abs() < 0.5 { 0.0 } else { scale * value }),
            );
            maps.extend(random.vector(size).iter().map(|value| scale * (7.0 + value)));
            maps.extend(vec![scale; size]);
        }
        maps.extend(vec![0.0; size]);
        for magnitude in [false, true] {
            let options = AlignmentOptions {
                earth_mover: size <= 30,
                magnitude,
                ..AlignmentOptions::default()
            };
            let same =
                block_on(alignment(gpu(), shape, &maps, &maps, &options, &mut |_| {})).unwrap();
            for (number, one) in same.into_iter().enumerate() {
                let values = [one.spearman, one.pearson, one.cosine, one.ssim, one.top_overlap];
                assert_eq!(values, [1.0; 5], "map {number} of {shape:?}");
                assert_eq!(one.earth_mover.unwrap_or(0.0), 0.0);
            }
        }
        let negated: Vec<f32> = maps.iter().map(|value| -value).collect();
        for one in block_on(alignment(
            gpu(),
            shape,
            &maps,
            &negated,
            &AlignmentOptions::default(),
            &mut |_| {},
        ))
        .unwrap()
        {
            for value in [one.spearman, one.pearson, one.cosine, one.ssim] {
                assert!((-1.0..=1.0).contains(&value), "{one:?}");
            }
        }
    }
}

#[test]
fn clarity_has_its_extremes() {
    let size = SHAPE.elements() as usize;
    let mut single = vec![0.0; size];
    single[5] = -2.0;
    let maps = [vec![1.0; size], single, vec![0.0; size]].concat();
    let clarities = block_on(clarity(gpu(), SHAPE, &maps)).unwrap();
    assert!(
        clarities[0].gini.abs() < 1e-6 && (clarities[0].entropy - (size as f32).ln()).abs() < 1e-4
    );
    assert!(clarities[1].gini > 0.99 && clarities[1].entropy.abs() < 1e-6, "{:?}", clarities[1]);
    assert!(clarities[2].gini.abs() < 1e-6 && clarities[2].entropy == 0.0);
}

#[test]
fn the_earth_movers_distance_is_a_distance() {
    let mut random = Random(12);
    let shape = Shape::new(1, 9, 8);
    let [a, b, c] = [0; 3].map(|_| random.vector(72));
    let distance = |a: &[f32], b: &[f32]| earth_mover_distance(a, b, shape);
    assert_eq!(distance(&a, &a), 0.0);
    assert!((distance(&a, &b) - distance(&b, &a)).abs() < 1e-9);
    assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c) + 1e-9);
    assert!(distance(&a, &b) > 0.0);
}

fn written(folder: &Path, names: &[&str]) {
    for name in names {
        let length = std::fs::metadata(folder.join(name)).map_or(0, |metadata| metadata.len());
        assert!(length > 100, "{name}: {length} bytes");
    }
}

fn run_folder(name: &str) -> PathBuf {
    trained().join(name)
}

#[test]
fn drop_command() {
    let (a, b, q) = (run_folder("a"), run_folder("b"), run_folder("q"));
    let data = run_folder("data");
    let out = run_folder("drop");
    let result = json(&[
        "drop",
        text(&a),
        text(&b),
        text(&q),
        "--dataset",
        text(&data),
        "--count",
        "40",
        "--method",
        "gradient",
        "--fill",
        "mean",
        "--step",
        "30",
        "--out",
        text(&out),
    ]);
    let curves = result["curves"].as_array().unwrap();
    assert_eq!(curves.len(), 6, "three models by gradient and random");
    assert_eq!(result["images"], 40);
    assert_eq!(curves[0]["removed"].as_array().unwrap().len(), 4);
    assert_eq!(curves[0]["accuracy"][0], result["models"][0]["accuracy"]);
    assert_eq!(result["models"][2]["bits"], "(4,4)");
    written(&out, &["drop.json", "drop.csv", "drop.svg", "drop.png"]);
    let csv = std::fs::read_to_string(out.join("drop.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 6 * 4);
    for curve in curves {
        assert_eq!(curve["images"], 40);
        for point in 0..4 {
            let [low, accuracy, high] = ["accuracy_low", "accuracy", "accuracy_high"]
                .map(|key| curve[key][point].as_f64().unwrap());
            assert!(low <= accuracy && accuracy <= high && high - low > 0.05, "{curve}");
        }
    }
    // `a` and `b` are seeds of one recipe, `q` is another.
    let svg = std::fs::read_to_string(out.join("drop.svg")).unwrap();
    let expected = [
        "a, b float, 2 seeds, gradient",
        "a, b float, 2 seeds, random order",
        "q (4,4), gradient",
        "q (4,4), random order",
    ];
    assert_eq!(legend(&svg), expected);
    assert_eq!(
        svg.matches("opacity=\"0.18\"").count() + svg.matches("opacity=\"0.08\"").count(),
        4,
        "a band a line"
    );
    assert!(
        refused(2, &["drop", text(&a), "--method", "gradient,gradient"]).contains("named twice")
    );
    assert!(refused(2, &["drop", text(&a), "--step", "0"]).contains("--step"));
    assert!(refused(2, &["drop", text(&a), "--epochs", "3"]).contains("--roar"));
}

/// Names in the legend of a drop chart.
fn legend(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text());
    let texts = texts.map(|text| text.trim().to_string());
    texts.filter(|text| text.ends_with(", gradient") || text.ends_with(", random order")).collect()
}

/// Models of equal bits that were made in different ways are not seeds of one another.
#[test]
fn models_of_other_recipes_have_lines_of_their_own() {
    let (a, data, root) = (run_folder("a"), run_folder("data"), run_folder("recipes"));
    let network = root.join("network.toml");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(&network, SMALL_NETWORK.replace("out-features = 10", "out-features = 4"))
        .unwrap();
    let bits = ["--bits", "4,4", "--quiet"];
    let ptq = |name: &str, from: &Path, more: &[&str]| {
        let out = root.join(name);
        let arguments = [
            &["quantize", text(from), "--dataset", text(&data), "--out", text(&out)],
            &bits[..],
            more,
        ]
        .concat();
        succeed(&arguments);
        out
    };
    let qat = |name: &str, seed: &str, from: &Path, more: &[&str]| {
        let out = root.join(name);
        let arguments = [
            "train",
            "--config",
            text(&network),
            "--dataset",
            text(&data),
            "--init",
            text(from),
            "--out",
            text(&out),
            "--seed",
            seed,
        ];
        succeed(
            &[&arguments[..], &["--steps", "2", "--batch-size", "8"], &bits[..], more].concat(),
        );
        out
    };
    let models = [
        ptq("ptq", &a, &[]),
        qat("qat-0", "0", &a, &[]),
        qat("qat-1", "1", &run_folder("b"), &[]),
        qat("plain-1", "1", &run_folder("b"), &["--sgt", "false"]),
        qat("rate-1", "1", &a, &["--lr", "0.002"]),
    ];
    let out = root.join("drop");
    let mut arguments = vec!["drop"];
    arguments.extend(models.iter().map(|model| text(model)));
    arguments.extend([
        "--dataset",
        text(&data),
        "--count",
        "16",
        "--step",
        "90",
        "--method",
        "gradient",
        "--out",
        text(&out),
    ]);
    succeed(&arguments);
    let lines = legend(&std::fs::read_to_string(out.join("drop.svg")).unwrap());
    let of_maps: Vec<&str> =
        lines.iter().filter_map(|line| line.strip_suffix(", gradient")).collect();
    assert_eq!(
        of_maps,
        ["ptq (4,4)", "qat-0, qat-1 (4,4), 2 seeds", "plain-1 (4,4)", "rate-1 (4,4)"]
    );
}

#[test]
fn a_model_compared_with_itself_is_equal() {
    let (a, data, out) = (run_folder("a"), run_folder("data"), run_folder("itself"));
    let arguments = [
        "compare",
        text(&a),
        text(&a),
        "--dataset",
        text(&data),
        "--count",
        "6",
        "--method",
        "gradient,deeplift",
    ];
    let result = json(&[&arguments[..], &["--earth-mover", "--out", text(&out)]].concat());
    for method in result["models"][1]["methods"].as_array().unwrap() {
        for (metric, value) in [
            ("spearman", 1.0),
            ("pearson", 1.0),
            ("cosine", 1.0),
            ("ssim", 1.0),
            ("top-overlap", 1.0),
            ("earth-mover", 0.0),
        ] {
            for key in ["mean", "low", "high"] {
                assert_eq!(method["scores"][metric][key], value, "{metric} {key}: {method}");
            }
        }
    }
    let svg = std::fs::read_to_string(out.join("compare.svg")).unwrap();
    assert!(svg.contains("axis from 0.") && svg.contains(">\n1.00\n<"), "{svg}");
    // Bars of 95 % and dots; no line from model to model.
    let document = roxmltree::Document::parse(&svg).unwrap();
    for line in document.descendants().filter(|node| node.has_tag_name("polyline")) {
        assert_eq!(line.attribute("points").unwrap().split_whitespace().count(), 2, "{svg}");
        assert!(line.attribute("stroke-dasharray").is_none(), "{svg}");
    }
    let texts = document
        .descendants()
        .filter(|node| node.has_tag_name("text"))
        .filter_map(|node| node.text());
    let said = texts.map(str::trim).collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("95 % bootstrap intervals of the mean over 6 images")
            && said.contains("higher is clearer"),
        "{said}"
    );
}

#[test]
fn roar_trains_a_network_at_every_point() {
    let (a, data, out) = (run_folder("a"), run_folder("data"), run_folder("roar"));
    let result = json(&[
        "drop",
        text(&a),
        "--dataset",
        text(&data),
        "--count",
        "32",
        "--step",
        "90",
        "--fill",
        "mean",
        "--roar",
        "--epochs",
        "4",
        "--method",
        "input-x-gradient",
        "--out",
        text(&out),
    ]);
    let curves = result["curves"].as_array().unwrap();
    let retrained: Vec<_> = curves.iter().filter(|curve| curve["retrained"] == true).collect();
    assert_eq!(retrained.len(), 2);
    for curve in retrained {
        // With nothing removed it is the training that the model itself has had.
        assert_eq!(curve["accuracy"][0], result["models"][0]["accuracy"], "{curve}");
    }
    written(
        &out.join("roar").join("a-input-x-gradient").join("90"),
        &["model.safetensors", "metrics.jsonl"],
    );
}

#[test]
fn compare_command() {
    let (a, b, q) = (run_folder("a"), run_folder("b"), run_folder("q"));
    let (data, out) = (run_folder("data"), run_folder("compare"));
    let arguments = [
        "compare",
        text(&a),
        text(&a),
        text(&b),
        text(&q),
        "--dataset",
        text(&data),
        "--count",
        "20",
        "--method",
        "gradient,lrp",
        "--randomisation",
        "--earth-mover",
        "--out",
        text(&out),
    ];
    let result = json(&arguments);
    let models = result["models"].as_array().unwrap();
    assert_eq!(models.len(), 4);
    assert!(
        models[0]["methods"][0]["scores"].get("spearman").is_none(),
        "the reference is not compared with itself"
    );
    let score = |model: usize, method: usize, name: &str| {
        models[model]["methods"][method]["scores"][name].clone()
    };
    for method in 0..2 {
        for name in ["spearman", "pearson", "cosine", "ssim", "top-overlap"] {
            let same = score(1, method, name)["mean"].as_f64().unwrap();
            assert!((same - 1.0).abs() < 1e-6, "{name}: {same}");
            assert!(score(2, method, name)["mean"].as_f64().unwrap() < 0.95, "{name}");
        }
        assert_eq!(score(1, method, "earth-mover")["mean"], 0.0);
        for name in ["max-sensitivity", "gini", "entropy", "infidelity", "deletion", "insertion"] {
            let interval = score(3, method, name);
            let [low, mean, high] =
                ["low", "mean", "high"].map(|key| interval[key].as_f64().unwrap());
            assert!(low <= mean && mean <= high && low.is_finite(), "{name}: {interval}");
        }
    }
    assert_eq!(models[3]["methods"][1]["randomisation"].as_array().unwrap().len(), 3);
    written(&out, &["compare.json", "compare.csv", "compare.svg", "compare.png", "maps.png"]);
    let human = succeed(&arguments);
    assert!(
        human.contains("spearman ↑")
            && human.contains("max-sensitivity ↓")
            && human.contains("a #2"),
        "{human}"
    );
    assert!(refused(2, &["compare", text(&a)]).contains("MODEL"));
    assert!(
        refused(2, &["compare", text(&a), text(&b), "--target", "7", "--dataset", text(&data)])
            .contains("classes 0 to 3")
    );
}
