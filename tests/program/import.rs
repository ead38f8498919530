//! Models in files of other formats, in every command.

use std::path::{Path, PathBuf};

use prost::Message;
use saliq::{
    config::{
        ActivationFunction, BatchNorm, ChannelGroups, Convolution, LayerConfig, LayerKind,
        ModelConfig, NetworkConfig, Padding, QuantizationConfig, QuantizationOverrides, Shape,
    },
    data::Split,
    deploy::onnx::schema::{GraphProto, ModelProto},
    model::{Model, fold_batch_norm},
};

use crate::{
    common::{Random, random_model},
    support::{Tensors, json, refused, run, succeed, text, write_folder},
};

const IMAGES: Shape = Shape::new(3, 12, 10);

/// Layers of all kinds, in the order in which a file has them.
fn network() -> NetworkConfig {
    let activation = LayerConfig::activation_of;
    let grouped = Convolution {
        groups: ChannelGroups::Count(2),
        dilation: [2, 1],
        padding: Padding::Sides([2, 0, 1, 1]),
        ..Convolution::square(8, [3, 1, 0])
    };
    let depthwise = Convolution {
        groups: ChannelGroups::Depthwise,
        bias: false,
        ..Convolution::square(8, [3, 2, 1])
    };
    let norm = BatchNorm { epsilon: 1e-3, momentum: 0.01 };
    NetworkConfig {
        input: IMAGES,
        classes: 4,
        layers: vec![
            LayerConfig::conv("stem", 8, [3, 1, 1]),
            LayerConfig::batch_norm("bn"),
            activation("act", ActivationFunction::Relu),
            LayerConfig::convolution("block.conv", grouped),
            activation("block.act", ActivationFunction::Silu),
            LayerConfig::conv("block.side", 8, [1, 1, 0]).reading(&["act"]),
            LayerConfig::conv("block.narrow", 8, [3, 1, 1]).reading(&["block.act"]),
            LayerConfig::convolution("down", depthwise).reading(&["block.side"]),
            LayerConfig::named("down.norm", LayerKind::BatchNorm(norm)),
            activation("down.act", ActivationFunction::HardSwish),
            LayerConfig::named("pool", LayerConfig::max_pool(2, 2).kind).reading(&["act"]),
            LayerConfig::add("sum", &["down.act", "pool"]),
            LayerConfig::dropout(0.5),
            LayerConfig::named("six", LayerKind::Activation(ActivationFunction::Relu6)),
            LayerConfig::global_average_pool("mean").reading(&["block.narrow"]),
            LayerConfig::conv("gate.conv", 8, [1, 1, 0]),
            activation("gate", ActivationFunction::Sigmoid),
            LayerConfig::multiply("product", ["six", "gate"]),
            LayerConfig::concat("all", &["product", "pool"]),
            LayerConfig::linear("fc1", 12),
            activation("leaky", ActivationFunction::LeakyRelu { slope: 0.25 }),
            LayerConfig::linear("fc2", 4),
        ],
    }
}

/// Random images in four classes, as a folder.
fn images(folder: &Path) -> PathBuf {
    let mut random = Random(3);
    let mut split = |count: usize| Split {
        labels: (0..count).map(|image| (image % 4) as u32).collect(),
        images: (0..count * IMAGES.elements() as usize).map(|_| random.below(256) as u8).collect(),
    };
    let (train, test) = (split(16), split(9));
    let path = folder.join("data");
    write_folder(&path, IMAGES, &train, &test);
    path
}

fn graph(path: &Path) -> GraphProto {
    ModelProto::decode(&std::fs::read(path).unwrap()[..]).unwrap().graph.unwrap()
}

#[test]
fn exported_models_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let at = |name: &str| folder.path().join(name);
    let (own, onnx, again) = (at("m.safetensors"), at("m.onnx"), at("again.onnx"));
    let mut model = random_model(network(), "32", QuantizationConfig::default(), 5);
    model.config.dataset = String::new();
    Model::save(&own, &model.config, &model.graph.layout, &model.parameters).unwrap();
    for (from, to) in [(&own, &onnx), (&onnx, &again)] {
        succeed(&["export", text(from), "--format", "onnx", "--out", text(to)]);
    }
    let (first, second) = (graph(&onnx), graph(&again));
    assert_eq!(second.node, first.node);
    assert!(second.initializer == first.initializer, "other constants");

    let read = Model::load(&onnx, &QuantizationOverrides::default()).unwrap();
    let folded = fold_batch_norm(&model).unwrap();
    let names = |model: &Model| {
        let names = model.graph.layout.parameters.iter().map(|own| own.name.clone());
        names.collect::<Vec<String>>()
    };
    assert_eq!(names(&read), names(&folded));
    assert_eq!(read.config.normalize, model.config.normalize);
    assert_eq!(read.parameters, folded.parameters);

    let evaluated = |path: &Path| json(&["eval", text(path), "--dataset", text(&data)]);
    let (found, expected) = (evaluated(&onnx), evaluated(&own));
    assert_eq!(found["accuracy"], expected["accuracy"]);
    let loss = |value: &serde_json::Value| value["loss"].as_f64().unwrap();
    assert!((loss(&found) - loss(&expected)).abs() < 1e-5 * loss(&expected), "{found} {expected}");
    let logits = |path: &Path, out: &str| {
        let out = at(out);
        json(&[
            "explain",
            text(path),
            "--dataset",
            text(&data),
            "--count",
            "9",
            "--out",
            text(&out),
        ]);
        Tensors::open(&out.join("attributions.safetensors")).f32("logits")
    };
    let (found, expected) = (logits(&onnx, "x"), logits(&own, "y"));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn commands_take_files_of_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let data = text(&data);
    let at = |name: &str| folder.path().join(name);
    let (own, onnx) = (at("m.safetensors"), at("m.onnx"));
    let model = random_model(network(), "32", QuantizationConfig::default(), 5);
    let config = ModelConfig { dataset: String::new(), ..model.config.clone() };
    Model::save(&own, &config, &model.graph.layout, &model.parameters).unwrap();
    succeed(&["export", text(&own), "--format", "onnx", "--out", text(&onnx)]);
    // A file is known by its content.
    let renamed = at("renamed.safetensors");
    std::fs::copy(&onnx, &renamed).unwrap();
    let cost = |path: &Path| json(&["cost", text(path)]);
    assert_eq!(cost(&renamed), cost(&onnx));

    let (onnx, quantized, trained) = (text(&onnx), at("q"), at("run"));
    json(&["quantize", onnx, "--bits", "8", "--dataset", data, "--out", text(&quantized)]);
    json(&[
        "compare",
        onnx,
        text(&quantized),
        "--dataset",
        data,
        "--count",
        "4",
        "--out",
        text(&at("compared")),
    ]);
    json(&["drop", onnx, "--dataset", data, "--count", "4", "--out", text(&at("dropped"))]);
    let train =
        ["train", "--init", onnx, "--dataset", data, "--steps", "2", "--batch-size", "8", "--out"];
    let output = run(&[&train[..], &[text(&trained)]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let read = Model::load(&trained, &QuantizationOverrides::default()).unwrap();
    assert_eq!(read.config.normalize, model.config.normalize);
    assert!(read.graph.layout.find("block.narrow.weight").is_some());
}

#[test]
fn files_that_are_no_models_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    for (bytes, expected) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..], "git lfs pull"),
        (b"<!DOCTYPE html>", "no ONNX model"),
        (b"", "no ONNX model"),
        (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "no ONNX"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let said = refused(1, &["cost", text(&path)]);
        assert!(said.contains(expected), "{said}");
    }
}
