//! Files that other programs wrote, or that say less than saliq's own: one rule for normalisation
//! in every command, nothing guessed.

use std::path::{Path, PathBuf};

use prost::Message;
use safetensors::Dtype;
use saliq::{
    config::{ModelConfig, NetworkConfig, PixelNormalization, QuantizationConfig, Shape},
    data::{Split, catalog},
    deploy::onnx::{Interpreter, schema::ModelProto},
    model::{Model, TensorFile},
    reference::network::ReferenceNetwork,
};

use super::linear;
use crate::{
    common::{Random, activation, assert_close, conv, random_model},
    support::{Tensors, golden, json, mini, refused, run, text, write_folder},
};

const SMALL: Shape = Shape::new(1, 6, 5);

fn small() -> NetworkConfig {
    NetworkConfig {
        input: SMALL,
        classes: 3,
        layers: vec![conv("conv1", 4, [3, 1, 0]), activation("act1"), linear("fc1", 3)],
    }
}

/// Random images of `shape` in three classes, as a folder called `name`; and the images that it
/// has.
fn images(folder: &Path, name: &str, shape: Shape, seed: u64) -> (PathBuf, Split) {
    let mut random = Random(seed);
    let mut split = |count: usize| Split {
        labels: (0..count).map(|image| (image % 3) as u32).collect(),
        images: (0..count * shape.elements() as usize).map(|_| random.below(256) as u8).collect(),
    };
    let (train, test) = (split(12), split(5));
    let path = folder.join(name);
    write_folder(&path, shape, &train, &test);
    (path, test)
}

/// Logits of the f64 reference, of bytes normalised as `(p / 255 − mean) / deviation`.
fn reference(model: &Model, images: &[u8], (mean, deviation): (f64, f64)) -> Vec<f64> {
    let reference =
        ReferenceNetwork::new(&model.config.network, &model.config.quantization, true).unwrap();
    let parameters: Vec<f64> = model.parameters[..model.graph.layout.stored as usize]
        .iter()
        .map(|&value| f64::from(value))
        .collect();
    let input: Vec<f64> =
        images.iter().map(|&byte| (f64::from(byte) / 255.0 - mean) / deviation).collect();
    reference.forward(&parameters, &reference.scales(&parameters), &input).logits().to_vec()
}

fn loss(logits: &[f64], labels: &[u32]) -> f64 {
    let rows = logits.chunks_exact(logits.len() / labels.len()).zip(labels);
    let losses = rows.map(|(row, &label)| {
        row.iter().map(|logit| logit.exp()).sum::<f64>().ln() - row[label as usize]
    });
    losses.sum::<f64>() / labels.len() as f64
}

fn explained(arguments: &[&str], out: &Path) -> Vec<f32> {
    json(&[&["explain", "--out", text(out)], arguments].concat());
    Tensors::open(&out.join("attributions.safetensors")).f32("logits")
}

/// The constants of the `Sub` and `Div` that an ONNX graph starts with.
fn constants(onnx: &Path) -> (f32, f32) {
    let graph = ModelProto::decode(&std::fs::read(onnx).unwrap()[..]).unwrap().graph.unwrap();
    let value = |name: &str| {
        let tensor = graph
            .initializer
            .iter()
            .find(|tensor| tensor.name() == name)
            .unwrap_or_else(|| panic!("no {name}"));
        f32::from_le_bytes(tensor.raw_data.clone().unwrap()[..4].try_into().unwrap())
    };
    (value("mean"), value("deviation"))
}

/// Runs it and expects success; what it says on standard error.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    error
}

fn write_bare(path: &Path, model: &Model) {
    TensorFile::write(path, &Model::tensors(&model.graph.layout, &model.parameters), &[]).unwrap();
}

fn save(path: &Path, model: &Model, normalize: Option<PixelNormalization>, dataset: &str) {
    let config = ModelConfig { normalize, dataset: dataset.into(), ..model.config.clone() };
    Model::save(path, &config, &model.graph.layout, &model.parameters).unwrap();
}

/// A file that says how its pixels are normalised, and not how it was trained: every command takes
/// its word, and a flag's before it.
#[test]
fn what_the_file_says_holds_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let (data, test) = images(folder.path(), "data", SMALL, 1);
    let path = folder.path().join("m.safetensors");
    let model = random_model(small(), "w4a4,w8a32", QuantizationConfig::default(), 2);
    save(&path, &model, Some(PixelNormalization::uniform(0.6, 0.2)), "");
    let (path, data) = (text(&path), text(&data));
    let cases: [(&[&str], (f64, f64)); 4] = [
        (&[], (f64::from(0.6f32), f64::from(0.2f32))),
        (&["--normalize", "none"], (0.0, 1.0 / 255.0)),
        (&["--normalize", "unit"], (0.0, 1.0)),
        (&["--normalize", "0.3,0.3,0.3/0.5,0.5,0.5"], (f64::from(0.3f32), 0.5)),
    ];
    for (flag, pair) in cases {
        let expected = reference(&model, &test.images, pair);
        let out = folder.path().join("x");
        let logits = explained(&[&[path, "--dataset", data], flag].concat(), &out);
        assert_close(&format!("explain {flag:?}"), &logits, &expected, 1e-5);
        for engine in ["float", "integer"] {
            let found =
                json(&[&["eval", path, "--dataset", data, "--engine", engine], flag].concat());
            let (found, expected) =
                (found["loss"].as_f64().unwrap(), loss(&expected, &test.labels));
            assert!(
                (found - expected).abs() < 1e-4 * expected.max(1.0),
                "{engine} {flag:?}: {found} {expected}"
            );
        }
        let onnx = folder.path().join("m.onnx");
        json(&[&["export", path, "--format", "onnx", "--out", text(&onnx)], flag].concat());
        let unit: Vec<f64> = test.images.iter().map(|&byte| f64::from(byte) / 255.0).collect();
        let graph =
            Interpreter::new(&std::fs::read(&onnx).unwrap()).unwrap().run(&unit, SMALL).unwrap();
        let graph: Vec<f32> = graph.logits.iter().map(|&logit| logit as f32).collect();
        assert_close(&format!("onnx {flag:?}"), &graph, &expected, 1e-5);
        let (mean, deviation) = constants(&onnx);
        assert_eq!((mean, deviation), (pair.0 as f32, pair.1 as f32), "{flag:?}");
        for format in ["safetensors", "packed"] {
            let written = folder.path().join(format!("{format}.safetensors"));
            json(&[&["export", path, "--format", format, "--out", text(&written)], flag].concat());
            let logits = explained(&[text(&written), "--dataset", data], &out);
            assert_close(&format!("{format} {flag:?}"), &logits, &expected, 1e-5);
        }
        let compared = folder.path().join("c");
        let count = ["--dataset", data, "--count", "5"];
        let judged =
            json(&[&["compare", path, path, "--out", text(&compared)], &count[..], flag].concat());
        let correct = expected.chunks_exact(3).zip(&test.labels).filter(|(row, label)| {
            let best =
                (0..3).fold(0, |best, class| if row[class] > row[best] { class } else { best });
            best == **label as usize
        });
        assert_eq!(
            judged["models"][0]["accuracy"].as_f64(),
            Some(correct.count() as f64 / 5.0),
            "{flag:?}"
        );
    }

    let picture = folder.path().join("p.png");
    image::GrayImage::from_raw(5, 6, test.images[..30].to_vec()).unwrap().save(&picture).unwrap();
    let pictured = |more: &[&str]| {
        explained(&[&[path, "--image", text(&picture)], more].concat(), &folder.path().join("i"))
    };
    assert_close(
        "picture",
        &pictured(&[]),
        &reference(&model, &test.images[..30], (f64::from(0.6f32), f64::from(0.2f32))),
        1e-5,
    );
    assert_close(
        "picture",
        &pictured(&["--normalize", "none"]),
        &reference(&model, &test.images[..30], (0.0, 1.0 / 255.0)),
        1e-5,
    );
    // There is no data set to take its mean and deviation from, unless one is named.
    let arguments = [
        "explain",
        path,
        "--image",
        text(&picture),
        "--normalize",
        "standard",
        "--out",
        "/nowhere/out",
    ];
    assert!(refused(2, &arguments).contains("MEAN,STD"));
    let train = saliq::data::load(data, None).unwrap();
    let (mean, deviation) = train.normalization(&saliq::config::Normalize::Standard).channel(0);
    let expected = reference(&model, &test.images[..30], (f64::from(mean), f64::from(deviation)));
    assert_close(
        "picture",
        &pictured(&["--normalize", "standard", "--dataset", data]),
        &expected,
        1e-5,
    );
    assert!(
        refused(2, &["eval", path, "--dataset", data, "--normalize", "0.1,0.2,0.3/1,1,1"])
            .contains("for images of 1 channel: give one for all, or one a channel")
    );
}

/// A file that says nothing: an error that asks, in every command, but for the network of Table I
/// on a set known by name.
#[test]
fn a_file_that_says_nothing_is_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let (data, test) = images(folder.path(), "data", SMALL, 3);
    let file = |name: &str| folder.path().join(name);
    let (bare, silent, network) =
        (file("bare.safetensors"), file("silent.safetensors"), file("small.toml"));
    let model = random_model(small(), "32", QuantizationConfig::default(), 4);
    write_bare(&bare, &model);
    save(&silent, &model, None, "");
    let layers = "{ type = \"conv\", name = \"conv1\", out-channels = 4, kernel = 3 }, \
                  { type = \"activation\", name = \"act1\" }, \
                  { type = \"linear\", name = \"fc1\", out-features = 3 }";
    std::fs::write(&network, format!("[network]\ninput = [1, 6, 5]\nlayers = [{layers}]\n"))
        .unwrap();
    let (out, onnx, picture) = (file("out"), file("m.onnx"), file("p.png"));
    image::GrayImage::from_raw(5, 6, test.images[..30].to_vec()).unwrap().save(&picture).unwrap();
    let (data, out, onnx) = (text(&data), text(&out), text(&onnx));
    let own =
        saliq::data::load(data, None).unwrap().normalization(&saliq::config::Normalize::Standard);
    for (path, more) in [(text(&bare), &["--network", text(&network)][..]), (text(&silent), &[])] {
        let on_data = ["--dataset", data, "--out", out];
        let commands: [&[&str]; 7] = [
            &["eval", path, "--dataset", data],
            &[&["explain", path], &on_data[..]].concat(),
            &[&["drop", path], &on_data[..]].concat(),
            &[&["compare", path, path], &on_data[..]].concat(),
            &[&["quantize", path, "--bits", "8"], &on_data[..]].concat(),
            &["export", path, "--format", "onnx", "--dataset", data, "--out", onnx],
            &[
                "export",
                path,
                "--format",
                "onnx",
                "--dataset",
                data,
                "--out",
                onnx,
                "--verify",
                "2",
            ],
        ];
        for command in commands {
            let message = refused(2, &[command, more].concat());
            let suggestion = format!("--normalize {own}");
            assert!(
                message.contains(path) && message.contains(&suggestion),
                "{command:?}: {message}"
            );
        }
        for command in [
            &["explain", path, "--image", text(&picture), "--out", out][..],
            &["export", path, "--format", "onnx", "--out", onnx],
            &["export", path, "--format", "c", "--out", onnx],
        ] {
            let message = refused(2, &[command, more].concat());
            assert!(
                message.contains("--normalize 0.1307,0.3081 for mnist"),
                "{command:?}: {message}"
            );
        }
        assert!(!Path::new(onnx).exists() && !Path::new(out).exists());
        let expected = reference(&model, &test.images, (0.25, 0.5));
        let logits = explained(
            &[&[path, "--dataset", data, "--normalize", "0.25,0.5"], more].concat(),
            &file("x"),
        );
        assert_close(path, &logits, &expected, 1e-5);
        // A model file that is made of it says no more than it does.
        let copy = file("copy.safetensors");
        let note = said(&[&["export", path, "--out", text(&copy)], more].concat());
        assert!(note.contains("will not say it either"), "{note}");
        assert!(refused(2, &["eval", text(&copy), "--dataset", data]).contains("--normalize"));
    }
    // What trains on from it goes by the same rule.
    let config = file("train.toml");
    std::fs::write(&config, format!("steps = 1\nbatch-size = 4\n[network]\nlayers = [{layers}]\n"))
        .unwrap();
    let train = [
        "train",
        "--config",
        text(&config),
        "--dataset",
        data,
        "--init",
        text(&bare),
        "--out",
        out,
    ];
    assert!(refused(2, &train).contains("--normalize"));
    said(&[&train[..], &["--normalize", "0.25,0.5"]].concat());
}

#[test]
fn table_one_takes_the_published_constants_of_the_set_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = golden("table1");
    let path = text(&model);
    let loaded = Model::load(&model, &Default::default()).unwrap();
    for (name, full) in [("mnist-mini", "mnist"), ("fashion-mini", "fashion-mnist")] {
        let entry = catalog::find(full).unwrap();
        let dataset = saliq::data::load(name, None).unwrap();
        let (mean, deviation) = entry.normalization.channel(0);
        let expected = reference(
            &loaded,
            &dataset.test.images[..3 * 784],
            (f64::from(mean), f64::from(deviation)),
        );
        let logits =
            explained(&[path, "--dataset", name, "--count", "3"], &folder.path().join("x"));
        assert_close(name, &logits, &expected, 1e-5);
        let found =
            json(&["eval", path, "--dataset", name, "--count", "3"])["loss"].as_f64().unwrap();
        let expected = loss(&expected, &dataset.test.labels[..3]);
        assert!((found - expected).abs() < 1e-5 * expected, "{name}: {found} {expected}");
        // The set need not be there, where only its constants are asked for.
        let onnx = folder.path().join("m.onnx");
        let note =
            said(&["export", path, "--format", "onnx", "--dataset", full, "--out", text(&onnx)]);
        assert!(
            note.contains(full) && note.contains(&format!("--normalize {mean},{deviation}")),
            "{note}"
        );
        assert_eq!(constants(&onnx), (mean, deviation));
        said(&[
            "export",
            path,
            "--format",
            "onnx",
            "--dataset",
            name,
            "--out",
            text(&onnx),
            "--verify",
            "2",
        ]);
        assert_eq!(constants(&onnx), (mean, deviation));
    }
    // A folder of a set's name is no set known by name.
    let split = mini().test.select(&[0, 1, 2], mini().shape);
    let alike = folder.path().join("fashion-mnist");
    write_folder(&alike, mini().shape, &split, &split);
    let message = refused(2, &["eval", path, "--dataset", text(&alike)]);
    assert!(message.contains("--normalize 0.286,0.353 or --dataset fashion-mnist"), "{message}");
    assert!(refused(2, &["eval", path]).contains("--dataset"));
}

/// α's of a file that does not say its bits: every command asks for them, and runs it at those that
/// it is told.
#[test]
fn alphas_without_bits_are_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (bare, onnx) = (file("bare.safetensors"), file("m.onnx"));
    let shape = Shape::new(1, 8, 8);
    let (data, test) = images(folder.path(), "data", shape, 5);
    let model = random_model(
        NetworkConfig::table_one(shape, 3, [0.0; 2]),
        "4,3",
        QuantizationConfig::default(),
        6,
    );
    write_bare(&bare, &model);
    let (path, out) = (text(&bare), file("out"));
    let input = ["--dataset", text(&data), "--normalize", "0.4,0.3"];
    let writes = [&input[..], &["--out", text(&out)]].concat();
    let start = ["train", "--steps", "1", "--batch-size", "2", "--sgt", "false", "--init"];
    let commands: [&[&str]; 7] = [
        &[&start[..], &[path], &writes[..]].concat(),
        &[&["eval", path], &input[..]].concat(),
        &[&["explain", path], &writes[..]].concat(),
        &[&["export", path], &writes[..]].concat(),
        &[&["compare", path, path], &writes[..]].concat(),
        &[&["drop", path], &writes[..]].concat(),
        &["cost", path, "--dataset", text(&data)],
    ];
    for command in commands {
        let message = refused(2, command);
        assert!(
            message.contains("act1.alpha, act2.alpha") && message.contains("--bits"),
            "{command:?}: {message}"
        );
    }
    let message = refused(2, &[&["quantize", path, "--bits", "8"], &writes[..]].concat());
    assert!(message.contains("quantized already"), "{message}");
    // A file that says its bits is a start in float, which is said.
    let own = file("own.safetensors");
    Model::save(&own, &model.config, &model.graph.layout, &model.parameters).unwrap();
    let note = said(&[&start[..], &[text(&own)], &writes[..]].concat());
    assert!(note.contains("quantized to 4,3 bits") && note.contains("--bits 4,3"), "{note}");
    let pair = (f64::from(0.4f32), f64::from(0.3f32));
    let quantized = reference(&model, &test.images, pair);
    let logits = explained(&[&[path, "--bits", "4,3"], &input[..]].concat(), &file("x"));
    assert_close("(4,3)", &logits, &quantized, 1e-4);
    json(
        &[&["export", path, "--format", "onnx", "--bits", "4,3", "--out", text(&onnx)], &input[..]]
            .concat(),
    );
    let graph = ModelProto::decode(&std::fs::read(&onnx).unwrap()[..]).unwrap().graph.unwrap();
    assert_eq!(graph.node.iter().filter(|node| node.op_type() == "QuantizeLinear").count(), 2);
    let note = said(
        &[&["export", path, "--format", "onnx", "--bits", "32", "--out", text(&onnx)], &input[..]]
            .concat(),
    );
    assert!(!note.contains("run in float"), "{note}");
    let graph = ModelProto::decode(&std::fs::read(&onnx).unwrap()[..]).unwrap().graph.unwrap();
    assert!(graph.node.iter().all(|node| node.op_type() != "QuantizeLinear"));
}

/// The network of Table I for other images, padded or not: read where one reading fits, else asked
/// about.
#[test]
fn geometry_is_never_guessed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    for (number, (padding, height, width)) in
        [(0, 9, 9), (1, 8, 8), (1, 7, 10)].into_iter().enumerate()
    {
        let shape = Shape::new(3, height, width);
        let (data, test) = images(folder.path(), &format!("data{number}"), shape, number as u64);
        let mut network = NetworkConfig::table_one(shape, 3, [0.0; 2]);
        network.layers[0] = conv("conv1", 32, [3, 1, padding]);
        network.layers[2] = conv("conv2", 64, [3, 1, padding]);
        let model = random_model(network, "32", QuantizationConfig::default(), number as u64);
        let bare = file("bare.safetensors");
        write_bare(&bare, &model);
        let path = text(&bare);
        let expected = reference(&model, &test.images, (0.0, 1.0));
        let on_data = [path, "--dataset", text(&data), "--normalize", "unit"];
        assert_close(path, &explained(&on_data, &file("x")), &expected, 1e-5);
        let note = said(&[&["eval"], &on_data[..]].concat());
        let words = if padding == 0 { "without padding" } else { "with padding 1" };
        assert!(note.contains(words) && note.contains(&format!("3×{height}×{width}")), "{note}");

        // Without images there are always several.
        let picture = file("p.png");
        image::RgbImage::from_pixel(width, height, image::Rgb([200, 100, 0]))
            .save(&picture)
            .unwrap();
        let pictured = [
            "explain",
            path,
            "--image",
            text(&picture),
            "--normalize",
            "unit",
            "--out",
            "/nowhere/out",
        ];
        let (onnx, out) = (file("m.onnx"), file("out"));
        for command in [
            &pictured[..],
            &["cost", path],
            &["export", path, "--format", "onnx", "--normalize", "unit", "--out", text(&onnx)],
        ] {
            let message = refused(2, command);
            assert!(
                message.contains("--network FILE.toml") && message.contains("--dataset"),
                "{message}"
            );
            let square = height / 2 == width / 2;
            let reading = |size: u32| message.contains(&format!("3×{size}×{size}"));
            assert!(
                !square || [height, height + 4 * padding].into_iter().all(reading),
                "{message}"
            );
        }
        // A file that says what it is.
        let toml = file("network.toml");
        let layers = toml::to_string(&model.config.network)
            .unwrap()
            .replace("[[layers]]", "[[network.layers]]");
        let layers = layers.split_once("[[network.layers]]").unwrap().1;
        std::fs::write(
            &toml,
            format!("network.input = [3, {height}, {width}]\n[[network.layers]]{layers}"),
        )
        .unwrap();
        let given = ["--network", text(&toml)];
        let image = [200u8, 100, 0]
            .into_iter()
            .flat_map(|value| vec![value; (height * width) as usize])
            .collect::<Vec<_>>();
        let logits = explained(&[&pictured[1..6], &given].concat(), &out);
        assert_close("picture", &logits, &reference(&model, &image, (0.0, 1.0)), 1e-5);
        assert_close(
            path,
            &explained(&[&on_data[..], &given].concat(), &file("x")),
            &expected,
            1e-5,
        );
        json(&[&["cost", path], &given[..]].concat());
        if number == 0 {
            json(
                &[
                    &["quantize"],
                    &on_data[..],
                    &given,
                    &["--bits", "8", "--out", text(&file("quantized"))],
                ]
                .concat(),
            );
        }
    }
}

#[test]
fn other_networks_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (bare, toml) = (file("bare.safetensors"), file("net.toml"));
    let shape = Shape::new(1, 8, 8);
    let (data, _) = images(folder.path(), "data", shape, 7);
    let eval = |more: &[&str]| {
        refused(
            1,
            &[&["eval", text(&bare), "--dataset", text(&data), "--normalize", "unit"], more]
                .concat(),
        )
    };
    let table = NetworkConfig::table_one(shape, 3, [0.0; 2]);
    let with = |change: fn(&mut NetworkConfig)| {
        let mut network = table.clone();
        change(&mut network);
        write_bare(&bare, &random_model(network, "32", QuantizationConfig::default(), 8));
    };
    with(|network| network.layers[0] = conv("conv1", 32, [5, 1, 1]));
    let message = eval(&[]);
    assert!(
        message.contains("conv1.weight has shape [32, 1, 5, 5]")
            && message.contains("--network FILE.toml"),
        "{message}"
    );
    with(|network| network.layers[2] = conv("conv2", 48, [3, 1, 0]));
    assert!(eval(&[]).contains("conv2.weight has shape [48, 32, 3, 3]"));
    with(|network| network.layers.insert(4, conv("conv3", 64, [1, 1, 0])));
    let message = eval(&[]);
    assert!(message.contains("conv3.bias") && message.contains("--network"), "{message}");
    with(|network| network.input = Shape::new(1, 14, 14));
    let message = eval(&[]);
    assert!(
        ["64·25", "64·4", "64·16"].iter().all(|features| message.contains(features)),
        "{message}"
    );

    // What is given is held to the tensors.
    let write = |first: &str| {
        let layers = format!("{first}, {{ type = \"linear\", name = \"fc1\", out-features = 3 }}");
        std::fs::write(&toml, format!("[network]\nlayers = [{layers}]\n")).unwrap();
    };
    write_bare(&bare, &random_model(small_of(shape), "32", QuantizationConfig::default(), 9));
    let given = ["--network", text(&toml)];
    assert!(eval(&[]).contains("conv2.weight"));
    write("{ type = \"conv\", name = \"conv1\", out-channels = 4, kernel = 3, padding = 1 }");
    let message = eval(&given);
    assert!(
        message.contains("fc1.weight has shape [3, 144]")
            && message.contains("net.toml")
            && message.contains("[3, 256]"),
        "{message}"
    );
    write("{ type = \"conv\", name = \"first\", out-channels = 4, kernel = 3 }");
    assert!(eval(&given).contains("first.weight"));
    write(
        "{ type = \"conv\", name = \"conv1\", out-channels = 4, kernel = 3 }, \
         { type = \"activation\", name = \"act1\" }",
    );
    json(
        &[&["eval", text(&bare), "--dataset", text(&data), "--normalize", "unit"], &given[..]]
            .concat(),
    );
    assert!(
        refused(2, &["cost", text(&bare), "--network", text(&toml)]).contains("input = [C, H, W]")
    );
    assert!(
        refused(2, &["cost", text(&bare), "--network", "table-2"])
            .contains("did you mean `table-1`?")
    );

    // `train` and `cost` take the same networks.
    let run = file("run");
    said(&[
        "train",
        "--network",
        text(&toml),
        "--dataset",
        text(&data),
        "--steps",
        "1",
        "--batch-size",
        "4",
        "--out",
        text(&run),
    ]);
    let names: Vec<_> = Tensors::open(&run.join("model.safetensors"))
        .contents()
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["conv1.bias", "conv1.weight", "fc1.bias", "fc1.weight"]);
    assert_eq!(
        json(&["cost", "--network", text(&toml), "--dataset", text(&data)])["parameters"],
        4 * 10 + 3 * 145
    );
}

fn small_of(input: Shape) -> NetworkConfig {
    NetworkConfig { input, ..small() }
}

/// A model holds no path: what it was trained on is found beside it, or asked for by name.
#[test]
fn models_find_their_data_or_ask_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    // Called like a known set, with other images.
    let (data, test) = images(&file("mine"), "mnist-mini", SMALL, 11);
    let config = file("train.toml");
    let layers = "{ type = \"conv\", name = \"conv1\", out-channels = 4, kernel = 3 }, \
                  { type = \"activation\", name = \"act1\" }, \
                  { type = \"linear\", name = \"fc1\", out-features = 3 }";
    std::fs::write(&config, format!("steps = 2\nbatch-size = 4\n[network]\nlayers = [{layers}]\n"))
        .unwrap();
    let (run, quantized) = (file("run"), file("quantized"));
    said(&["train", "--config", text(&config), "--dataset", text(&data), "--out", text(&run)]);
    said(&["quantize", text(&run), "--bits", "8", "--out", text(&quantized)]);
    assert_eq!(json(&["eval", text(&quantized)])["images"], test.len() as u64);
    json(&["drop", text(&quantized), "--count", "2", "--out", text(&file("drop"))]);
    let written = std::fs::read(quantized.join("model.safetensors")).unwrap();
    assert!(
        !String::from_utf8_lossy(&written).contains(text(folder.path())),
        "a model holds no path"
    );

    let (lone, packed) = (file("lone.safetensors"), file("packed.safetensors"));
    said(&["quantize", text(&run), "--bits", "8", "--out", text(&lone)]);
    said(&["export", text(&run), "--format", "packed", "--out", text(&packed)]);
    for path in [&lone, &packed] {
        let message = refused(2, &["eval", text(path)]);
        assert!(
            message.contains("a folder called mnist-mini") && message.contains("--dataset"),
            "{message}"
        );
        assert_eq!(
            json(&["eval", text(path), "--dataset", text(&data)])["images"],
            test.len() as u64
        );
    }
    // Moved away, it is not taken for the set of that name.
    let moved = file("moved");
    std::fs::rename(&data, &moved).unwrap();
    for path in [&run, &quantized] {
        let message = refused(2, &["eval", text(path)]);
        assert!(message.contains(text(&data)) && message.contains("is not there"), "{message}");
    }

    // A bare file's data are known once it is quantized.
    let (bare, network) = (file("bare.safetensors"), file("net.toml"));
    write_bare(&bare, &random_model(small(), "32", QuantizationConfig::default(), 12));
    std::fs::write(&network, format!("[network]\nlayers = [{layers}]\n")).unwrap();
    let input = ["--network", text(&network), "--dataset", text(&moved), "--normalize", "none"];
    let out = file("of-bare");
    said(&[&["quantize", text(&bare), "--bits", "8", "--out", text(&out)], &input[..]].concat());
    let made = json(
        &[&["quantize", text(&bare), "--bits", "8", "--force", "--out", text(&out)], &input[..]]
            .concat(),
    );
    assert_eq!(json(&["eval", text(&out)])["loss"], made["loss"]);
    let contents = Tensors::open(&out.join("model.safetensors")).contents();
    assert!(contents.iter().any(|(name, dtype, _)| name == "act1.alpha" && *dtype == Dtype::F32));
}
