//! Networks known by name, and bits by name: `saliq networks`, `--network`, `[quantization.bits]`.

use std::fs;

use saliq::{
    config::{NetworkChoice, PRESETS, QuantizationOverrides, Shape},
    model::{Model, TensorFile},
};

use crate::support::{self, json, refused, succeed, text};

#[test]
fn the_list_has_every_network() {
    let all = json(&["networks"]);
    let of = |name: &str| {
        let all = all.as_array().unwrap();
        all.iter().find(|own| own["name"] == name).unwrap().clone()
    };
    assert_eq!(all.as_array().unwrap().len(), PRESETS.len());
    let small = of("resnet-8");
    assert_eq!(small["parameters"], 78_186);
    assert_eq!(small["macs"], 12_501_632);
    assert_eq!(small["input"], serde_json::json!([3, 32, 32]));
    assert!(small["source"].as_str().unwrap().contains("MLPerf Tiny"));
    let lines = succeed(&["networks"]);
    for preset in &PRESETS {
        assert!(lines.contains(preset.name) && lines.contains(preset.source), "{lines}");
    }
    let eight = json(&["networks", "--bits", "8", "--all-layers"]);
    let bytes = |list: &serde_json::Value| list[3]["peak_activation_bytes"].as_u64().unwrap();
    assert_eq!((bytes(&all), bytes(&eight)), (196_608, 98_304));
    let said = refused(2, &["networks", "resnet8"]);
    assert!(said.contains("did you mean `resnet-8`?") && said.contains("ds-cnn"), "{said}");
    assert!(refused(2, &["networks", "resnet-8", "--bits", "4"]).contains("has no bits"));
}

/// docs/networks.md has what the program prints.
#[test]
fn the_document_has_the_figures() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/networks.md");
    let document = fs::read_to_string(path).unwrap();
    for more in [&[][..], &["--bits", "8", "--all-layers"]] {
        let table = succeed(&[&["networks", "--markdown"], more].concat());
        assert!(document.contains(&table), "docs/networks.md lacks:\n{table}");
    }
}

#[test]
fn a_printed_network_is_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    for preset in &PRESETS {
        let path = folder.path().join(format!("{}.toml", preset.name));
        fs::write(&path, succeed(&["networks", preset.name])).unwrap();
        let choice = NetworkChoice::find(text(&path)).unwrap();
        let network = choice.network(Shape::new(9, 9, 9), 99).unwrap();
        assert_eq!(network, preset.published(), "{}", preset.name);
        let from_file = json(&["cost", text(&path)]);
        let by_flag = json(&["cost", "--network", preset.name]);
        assert_eq!(from_file, by_flag, "{}", preset.name);
        assert_eq!(json(&["cost", "--network", text(&path)]), by_flag, "{}", preset.name);
        let parameters = preset.published().parameter_count().unwrap();
        assert_eq!(by_flag["parameters"], parameters, "{}", preset.name);
    }
    let object = json(&["networks", "lenet-5"]);
    assert_eq!(object["network"]["layers"][0]["out_channels"], 6);
    let colour = json(&["cost", "--network", "lenet-5", "--dataset", "mnist"]);
    assert_eq!(colour["parameters"], 61_706);
    let said = refused(2, &["cost", "--network", "lenet5"]);
    assert!(said.contains("did you mean `lenet-5`?") && said.contains("mobilenet"), "{said}");
}

#[test]
fn a_network_is_trained_and_read_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (run, bare) = (place("run"), place("bare.safetensors"));
    let config = place("bits.toml");
    let settings = "steps = 2\nbatch-size = 8\ntest-limit = 10\nsgt = false\nfirst-last = 8\n\
                    [quantization.bits]\n\"fc*\" = \"w3a5\"\n\"default\" = \"w4a4\"";
    fs::write(&config, settings).unwrap();
    let arguments = ["train", "--network", "lenet-5", "--weight-quant", "lsq", "--config"];
    json(&[&arguments[..], &[text(&config), "--out", text(&run)]].concat());
    let written = fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(written.contains("bits = \"8,4,w3a5,w3a5,w8a32\"\n"), "{written}");
    assert!(written.contains("name = \"conv2\""), "{written}");
    let whole = json(&["eval", text(&run), "--count", "10"]);
    let cost = json(&["cost", text(&run)]);
    let widths: Vec<_> = cost["layers"].as_array().unwrap().iter().collect();
    assert_eq!(widths[2]["weight_bits"], 3);
    assert_eq!(widths[3]["input_bits"], 5);

    // A state_dict of the same network, of which only the name is known.
    let model = Model::load(&run, &QuantizationOverrides::default()).unwrap();
    let tensors = Model::tensors(&model.graph.layout, &model.parameters);
    TensorFile::write(&bare, &tensors, &[]).unwrap();
    let bits = ["--bits", "8,4,w3a5,w3a5,8", "--weight-quant", "lsq"];
    let input = ["--network", "lenet-5", "--dataset", "mnist-mini", "--normalize", "standard"];
    let flags = [&["eval", text(&bare), "--count", "10"], &bits[..], &input].concat();
    let read = json(&flags);
    assert_eq!(read["loss"], whole["loss"]);
    let said = support::run(&flags);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("read as lenet-5 for 1×28×28, 10 classes"), "{said}");
    let as_other = ["eval", text(&bare), "--bits", "32", "--network", "resnet-8"];
    let said = refused(1, &[&as_other[..], &input[2..]].concat());
    assert!(said.contains("conv1.weight has shape [6, 1, 5, 5]"), "{said}");

    fs::write(&config, settings.replace("fc*", "head*")).unwrap();
    let other = place("other");
    let said = refused(
        2,
        &["train", "--network", "lenet-5", "--config", text(&config), "--out", text(&other)],
    );
    let expected = "bits.toml:7: quantization.bits: `head*` matches no layer with weights";
    assert!(said.contains(expected) && said.contains("conv1, conv2, fc1, fc2, fc3"), "{said}");
}

#[test]
fn spellings_of_pytorch_are_answered_with_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.toml");
    for (layer, said) in [
        ("type = \"Conv2d\"\nout_channels = 4\nkernel = 3", "net.toml:1: network: layer 1"),
        ("type = \"Conv2d\"\nout_channels = 4\nkernel = 3", "`Conv2d` is `conv` here"),
        ("type = \"conv\"\nout_channels = 4\nkernel_size = 3", "net.toml:4: network: layer 1"),
        ("type = \"conv\"\nout_channels = 4\nkernel_size = 3", "it is called `kernel` here"),
        ("type = \"ReLU\"", "`ReLU` is `activation` here"),
    ] {
        fs::write(&path, format!("[[network.layers]]\n{layer}\n")).unwrap();
        let refusal = refused(2, &["cost", "--network", text(&path)]);
        assert!(refusal.contains(said), "{refusal}");
    }
}

#[test]
fn a_head_without_a_bias_is_trained_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (config, run) = (place("small.toml"), place("run"));
    let without = "out-features = 10, bias = false";
    let network = support::SMALL_NETWORK.replace("out-features = 10", without);
    fs::write(&config, format!("steps = 3\nbatch-size = 8\ntest-limit = 10\n{network}")).unwrap();
    let bits = ["--bits", "4", "--all-layers"];
    json(&[&["train", "--config", text(&config), "--out", text(&run)], &bits[..]].concat());
    let model = Model::load(&run, &QuantizationOverrides::default()).unwrap();
    assert!(model.graph.layout.find("fc1.bias").is_none());
    assert_eq!(json(&["cost", text(&run)])["layers"][2]["parameters"], 8 * 3 * 3 * 10);
    let whole = json(&["eval", text(&run), "--count", "10"]);
    let packed = place("packed.safetensors");
    json(&["export", text(&run), "--format", "packed", "--out", text(&packed)]);
    let read = json(&["eval", text(&packed), "--count", "10"]);
    let loss = |eval: &serde_json::Value| eval["loss"].as_f64().unwrap();
    assert!((loss(&read) - loss(&whole)).abs() < 1e-6, "{read} {whole}");
    let onnx = place("model.onnx");
    let export = ["export", text(&run), "--format", "onnx", "--out", text(&onnx)];
    json(&[&export[..], &["--verify", "5"]].concat());
}
