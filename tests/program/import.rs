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

    // So does a model of our own; another network is none that it can start.
    let (own, again) = (text(&own), at("again"));
    let train = ["train", "--init", own, "--dataset", data, "--steps", "1", "--batch-size", "8"];
    let train = [&train[..], &["--out", text(&again)]].concat();
    let output = run(&train);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("its own network is trained"), "{said}");
    let said = refused(2, &[&train[..], &["--network", "resnet-8", "--force"]].concat());
    assert!(said.contains("another network than --network"), "{said}");

    // Of pixels 0..255 as they are, the graph takes 0..1 all the same.
    let raw = at("raw.onnx");
    let export = ["export", own, "--normalize", "none", "--format", "onnx", "--verify", "4"];
    succeed(&[&export[..], &["--dataset", data, "--out", text(&raw)]].concat());
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

/// A model and a data set that have the same classes in another order.
#[test]
fn classes_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = images(folder.path());
    let file = folder.path().join("own.safetensors");
    let names = ["0", "1", "2", "3"].map(String::from);
    let accuracies = [[0, 1, 2, 3], [2, 0, 3, 1]].map(|order: [usize; 4]| {
        let mut model = random_model(network(), "32", QuantizationConfig::default(), 3);
        model.config.class_names = order.map(|class| names[class].clone()).to_vec();
        // The outputs in the order of the names.
        let last = model.graph.layout.parameters.iter().rev().find(|own| own.shape.len() == 2);
        let last = last.unwrap().layer().to_string();
        for part in ["weight", "bias"] {
            let range = model.graph.layout.find(&format!("{last}.{part}")).unwrap().range();
            let old = model.parameters[range.clone()].to_vec();
            let row = old.len() / 4;
            for (place, class) in order.into_iter().enumerate() {
                model.parameters[range.start + place * row..][..row]
                    .copy_from_slice(&old[class * row..][..row]);
            }
        }
        Model::save(&file, &model.config, &model.graph.layout, &model.parameters).unwrap();
        let output = run(&["eval", text(&file), "--dataset", text(&data), "--json"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.contains("matched by name"), order != [0, 1, 2, 3], "{said}");
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        made["loss"].as_f64().unwrap()
    });
    assert!((accuracies[0] - accuracies[1]).abs() < 1e-6, "{accuracies:?}");
}

/// Classes with names that the model does not have go by index, if there are as many.
#[test]
fn classes_without_names_go_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.safetensors");
    let model = random_model(network(), "32", QuantizationConfig::default(), 3);
    assert!(model.config.class_names.is_empty());
    Model::save(&file, &model.config, &model.graph.layout, &model.parameters).unwrap();
    let input = model.config.network.input;
    let color = if input.channels == 1 { "grey" } else { "rgb" };
    let named = |count: u32| {
        let root = folder.path().join(format!("named{count}"));
        for split in ["train", "test"] {
            for class in 0..count {
                let place = root.join(split).join(format!("kind{class}"));
                std::fs::create_dir_all(&place).unwrap();
                let pixel = image::Rgb([class as u8, 7, split.len() as u8]);
                let picture = image::RgbImage::from_pixel(input.width, input.height, pixel);
                picture.save(place.join("0.png")).unwrap();
            }
        }
        root
    };
    let as_many = named(model.config.network.classes);
    let output = run(&["eval", text(&file), "--dataset", text(&as_many), "--color", color]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("names no classes"), "{said}");
    // Numbers are indices.
    let numbered = images(folder.path());
    let output = run(&["eval", text(&file), "--dataset", text(&numbered)]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.contains("by index"), "{said}");
    let named = named(2);
    let said = refused(1, &["eval", text(&file), "--dataset", text(&named), "--color", color]);
    assert!(said.contains("has 2 classes") && said.contains("--classes"), "{said}");
}

/// A network of the layers of LeNet-5's kind, small.
const NAMED: &str = "[network]\ninput = [1, 8, 8]\nclasses = 3\nlayers = [\n    \
                     { type = \"conv\", out_channels = 4, kernel = 3, padding = 1 },\n    \
                     { type = \"activation\" },\n    { type = \"max-pool\", kernel = 2 },\n    \
                     { type = \"linear\", out_features = 3 },\n]\n";

/// A state_dict of it as 16-bit floats, with other names and without the bias of the convolution.
fn wrapped(path: &Path, bfloat: bool) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    use safetensors::{Dtype, tensor::TensorView};
    let mut random = Random(4);
    let sizes = [
        ("module.backbone.0.weight", vec![4, 1, 3, 3]),
        ("module.classifier.weight", vec![3, 64]),
        ("module.classifier.bias", vec![3]),
        ("module.aux.weight", vec![2, 2]),
    ];
    let mut all = Vec::new();
    for (name, shape) in sizes {
        let count = shape.iter().product();
        // Exact in 16 bits of both kinds.
        let values: Vec<f32> = (0..count).map(|_| random.below(64) as f32 / 64.0 - 0.5).collect();
        all.push((name.to_string(), shape, values));
    }
    let bytes: Vec<Vec<u8>> = all
        .iter()
        .map(|(_, _, values)| {
            let bits = |&value: &f32| match bfloat {
                true => half::bf16::from_f32(value).to_bits(),
                false => half::f16::from_f32(value).to_bits(),
            };
            values.iter().flat_map(|value| bits(value).to_le_bytes()).collect()
        })
        .collect();
    let dtype = if bfloat { Dtype::BF16 } else { Dtype::F16 };
    let views = all.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.clone(), TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    all
}

#[test]
fn state_dicts_are_given_the_names_of_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let [dict, network, out, names] =
        ["dict.safetensors", "net.toml", "own.safetensors", "names.txt"]
            .map(|name| folder.path().join(name));
    std::fs::write(&network, NAMED).unwrap();
    std::fs::write(&names, "cat\ndog\r\n\nbird of prey\n").unwrap();
    let import = ["import", text(&dict), "--network", text(&network), "--out", text(&out)];
    for bfloat in [false, true] {
        let tensors = wrapped(&dict, bfloat);

        // What is missing is named, with what may be meant.
        let said = refused(1, &import);
        for part in ["no conv1.weight", "of its shape: backbone.0.weight", "--rename FROM=TO"] {
            assert!(said.contains(part), "{part}: {said}");
        }

        let renames = [
            "--rename",
            "backbone.0=conv1",
            "--rename",
            "classifier=fc1",
            "--normalize",
            "0.5,0.25",
        ];
        let named = [&import[..], &renames, &["--classes", text(&names), "--json"]].concat();
        let output = run(&named);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        for part in ["module.", "conv1.bias absent, taken as 0", "left out: aux.weight"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(made["parameters"], 4 * 9 + 4 + 3 * 64 + 3);
        assert_eq!(made["layers"][0]["name"], "conv1");
        assert_eq!(made["layers"][3]["kind"], "linear");

        let model = Model::load(&out, &QuantizationOverrides::default()).unwrap();
        assert_eq!(model.config.class_names, ["cat", "dog", "bird of prey"]);
        assert_eq!(model.normalization().unwrap().for_all(), Some((0.5, 0.25)));
        let own = |name| model.graph.layout.values(name, &model.parameters).unwrap();
        assert_eq!(own("conv1.weight"), tensors[0].2);
        assert_eq!(own("conv1.bias"), [0.0; 4]);
        assert_eq!(own("fc1.weight"), tensors[1].2);
        assert_eq!(own("fc1.bias"), tensors[2].2);
    }

    for (more, words) in [
        (["--rename", "nothing=conv1"], "no tensor is called so"),
        (["--rename", "backbone.0.weight=classifier.weight"], "two tensors would be called"),
        (["--classes", "a,b"], "2 class names for 3 classes"),
        (["--normalize", "0.5,0.5,0.5/0.1,0.2,0.3"], "for images of 1 channel"),
    ] {
        let named = ["--rename", "backbone.0=conv1", "--rename", "classifier=fc1"];
        let arguments = match more[0] {
            "--rename" => [&import[..], &more].concat(),
            _ => [&import[..], &named, &more].concat(),
        };
        let output = run(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words) && !output.status.success(), "{more:?}: {said}");
    }
}

/// Writes a NumPy array of numbers of `kind`.
fn write_npy(path: &Path, kind: &str, sizes: &str, bytes: &[u8]) {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.bytes());
    file.extend(bytes);
    std::fs::write(path, file).unwrap();
}

#[test]
fn arrays_of_numpy_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = at("m.safetensors");
    let mut model = random_model(network(), "32", QuantizationConfig::default(), 5);
    model.config.dataset = String::new();
    Model::save(&own, &model.config, &model.graph.layout, &model.parameters).unwrap();
    let mut random = Random(7);
    let bytes: Vec<u8> = (0..3 * IMAGES.elements()).map(|_| random.below(256) as u8).collect();
    let floats = |of: &dyn Fn(f32) -> f32| -> Vec<u8> {
        bytes.iter().flat_map(|&byte| of(f32::from(byte) / 255.0).to_le_bytes()).collect()
    };
    let sizes = "3, 3, 12, 10";
    write_npy(&at("bytes.npy"), "|u1", sizes, &bytes);
    write_npy(&at("unit.npy"), "<f4", sizes, &floats(&|unit| unit));
    write_npy(&at("plain.npy"), "<f4", sizes, &floats(&|unit| (unit - 0.5) / 0.25));
    write_npy(&at("labels.npy"), "<i8", "3,", &[0i64, 3, 1].map(i64::to_le_bytes).concat());
    let explain = |array: &str, normalize: &str, more: &[&str]| {
        let (array, out) = (at(array), at(&format!("out-{array}")));
        let mut arguments = vec!["explain", text(&own), "--array", text(&array)];
        arguments.extend(["--normalize", normalize, "--out", text(&out)]);
        arguments.extend(more);
        succeed(&arguments);
        (Tensors::open(&out.join("attributions.safetensors")), out)
    };
    let labels = at("labels.npy");
    let labelled = ["--labels", text(&labels), "--target", "label", "--npz"];
    let (pixels, out) = explain("bytes.npy", "0.5,0.25", &labelled);
    assert_eq!(pixels.i64("labels"), [0, 3, 1]);
    let npz = std::fs::read(out.join("attributions.npz")).unwrap();
    assert!(npz.starts_with(b"PK") && npz.windows(12).any(|own| own == b"gradient.npy"));
    let close = |a: &[f32], b: &[f32]| {
        let most = a.iter().fold(0f32, |most, value| most.max(value.abs()));
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * most)
    };
    for (array, normalize) in [("unit.npy", "0.5,0.25"), ("plain.npy", "none")] {
        let (other, _) = explain(array, normalize, &labelled);
        for name in ["logits", "gradient"] {
            assert!(close(&other.f32(name), &pixels.f32(name)), "{array}: {name}");
        }
    }
    let (array, out) = (at("labels.npy"), at("out"));
    let wrong = ["explain", text(&own), "--array", text(&array), "--normalize", "none"];
    let refusal = refused(1, &[&wrong[..], &["--out", text(&out)]].concat());
    assert!(refusal.contains("[N, C, H, W]"), "{refusal}");
    let bytes = at("bytes.npy");
    let unlabelled = ["explain", text(&own), "--array", text(&bytes), "--target", "label"];
    assert!(refused(2, &unlabelled).contains("--labels FILE.npy"));
}
