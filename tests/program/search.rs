//! `saliq search`: the whole command on small images, and what becomes of its files.

use std::{fs, path::Path};

use saliq::{
    config::{LayerBits, QuantizationOverrides, Shape},
    metrics::Cost,
    model::Model,
};

use crate::support::{colored, json, refused, schema, succeed, text, write_folder};

const NETWORK: &str = r#"
sgt = false
batch-size = 32
epochs = 6
lr = 0.1
[network]
layers = [
    { type = "linear", name = "fc1", out-features = 8 },
    { type = "activation", name = "act1" },
    { type = "linear", name = "fc2", out-features = 4 },
]
"#;

fn trained(folder: &Path) -> (String, String) {
    let data = folder.join("patches");
    write_folder(&data, Shape::new(3, 11, 13), &colored(160, 1), &colored(40, 2));
    let config = folder.join("small.toml");
    fs::write(&config, NETWORK).unwrap();
    let out = folder.join("float");
    let result =
        json(&["train", "--config", text(&config), "--dataset", text(&data), "--out", text(&out)]);
    assert!(result["accuracy"].as_f64().unwrap() > 0.7, "{result}");
    (text(&data).into(), text(&out).into())
}

#[test]
fn bits_are_searched_recovered_and_trained() {
    let folder = tempfile::tempdir().unwrap();
    let (data, float) = trained(folder.path());
    let out = folder.path().join("bits");
    let rest = "--widths 1,4 --budget bitops=5% --images 48 --map-images 24 --calibrate 48 \
                --candidates 2 --levels 1 --random 2";
    let files = ["search", &float, "--dataset", &data, "--out", text(&out)];
    let search: Vec<&str> = files.into_iter().chain(rest.split_whitespace()).collect();
    let plan = json(&[&search[..], &["--plan"]].concat());
    assert_eq!(plan["sensitivities"], 3.0 * 2.0 * 1.5, "{plan}");
    assert!(!out.exists(), "a plan writes nothing");
    schema::hold("search-plan", std::slice::from_ref(&plan));
    let shown = succeed(&[&search[..], &["--plan"]].concat());
    assert!(shown.contains("9.0 forward passes of 48 images"), "{shown}");

    let result = json(&search);
    assert_eq!(result["forward_equivalents"], plan["sensitivities"]);
    let written: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("search.json")).unwrap()).unwrap();
    assert_eq!(written, result);
    // With `--recover 0` nothing is trained.
    let mut untrained = result.clone();
    untrained.as_object_mut().unwrap().remove("recovered");
    schema::hold("search", &[result.clone(), untrained]);
    // The model is the chosen one, within the budget.
    let model = Model::load(&out, &QuantizationOverrides::default()).unwrap();
    let cost = Cost::new(&model.config.network, &model.config.quantization).unwrap();
    let limit = result["budget"]["limit"].as_u64().unwrap();
    let float_ops = result["float"]["bit_ops"].as_u64().unwrap();
    assert_eq!(limit, (0.05 * float_ops as f64).floor() as u64);
    assert!(cost.bit_ops <= limit);
    assert_eq!(result["chosen"]["bit_ops"], cost.bit_ops);
    assert_eq!(result["chosen"]["bytes"], cost.packed_bytes);
    let of_layer = |layer: &str| -> LayerBits {
        result["chosen"]["bits"][layer].as_str().unwrap().parse().unwrap()
    };
    let bits = ["fc1", "fc2"].map(of_layer);
    assert_eq!(model.config.quantization.bits, bits);
    // Evaluation finds the figures that were said.
    let evaluated = json(&["eval", text(&out), "--dataset", &data]);
    assert_eq!(evaluated["accuracy"], result["chosen"]["test"]["accuracy"]);
    // The frontier has every rule in both units.
    let csv = fs::read_to_string(out.join("frontier.csv")).unwrap();
    for unit in ["bit-ops", "bytes"] {
        for rule in ["search", "uniform", "loss", "fisher", "random"] {
            let begins = format!("{rule},{unit},");
            let own = csv.lines().filter(|line| line.starts_with(&begins));
            assert_eq!(own.count(), 2, "{csv}");
        }
    }
    let figure = fs::read_to_string(out.join("frontier.svg")).unwrap();
    let drawn = roxmltree::Document::parse(&figure).unwrap();
    let said: String = drawn.descendants().filter_map(|node| node.text()).collect();
    for part in ["Accuracy by BitOPs", "Explanation by bytes", "squared gradients", "random"] {
        assert!(said.contains(part), "{part}");
    }
    let answer = result["answer"][0].as_str().unwrap();
    assert!(answer.starts_with("Can bits be chosen so that quantization"), "{answer}");
    // Training recovered, with the float model as teacher.
    let recovered = &result["recovered"][0];
    assert_eq!(
        (recovered["rule"].as_str(), recovered["out"].as_str()),
        (Some("search"), Some(text(&out.join("recovered"))))
    );
    let lines = fs::read_to_string(out.join("recovered/metrics.jsonl")).unwrap();
    assert!(lines.contains("train_align"), "{lines}");
    let trained = Model::load(&out.join("recovered"), &QuantizationOverrides::default()).unwrap();
    assert_eq!(trained.config.quantization.bits, bits);
    assert_ne!(trained.parameters, model.parameters);

    // `train` takes the bits.
    let again = folder.path().join("trained");
    let config = out.join("bits.toml");
    json(&[
        "train",
        "--config",
        text(&config),
        "--dataset",
        &data,
        "--init",
        &float,
        "--sgt",
        "false",
        "--teacher",
        &float,
        "--align",
        "1",
        "--steps",
        "1",
        "--out",
        text(&again),
    ]);
    let trained = Model::load(&again, &QuantizationOverrides::default()).unwrap();
    assert_eq!(trained.config.quantization.bits, bits);
    // 1-bit layers are binary also in files for others.
    let onnx = folder.path().join("model.onnx");
    succeed(&[
        "export",
        text(&out),
        "--format",
        "onnx",
        "--verify",
        "20",
        "--dataset",
        &data,
        "--out",
        text(&onnx),
    ]);

    let said = refused(2, &search);
    assert!(said.contains("--force replaces it"), "{said}");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, float) = trained(folder.path());
    let out = folder.path().join("bits");
    let with = |more: &[&str]| {
        let common = ["search", &float, "--dataset", &data, "--out", text(&out), "--force"];
        [&common[..], more].concat().iter().map(|part| part.to_string()).collect::<Vec<_>>()
    };
    let refused = |code, more: &[&str]| {
        let arguments = with(more);
        refused(code, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = refused(2, &["--budget", "bytes=10"]);
    assert!(
        said.starts_with("--budget bytes=10: cannot be met with --widths 2,3,4,8, whose least")
    );
    let said = refused(2, &["--budget", "bitops=0.01%"]);
    let least = said.split("whose least is ").nth(1).unwrap().split('%').next().unwrap();
    assert!(!out.exists());
    // The least that is named can be met.
    let budget = format!("bitops={least}%");
    let more = ["--budget", &budget, "--images", "16", "--map-images", "8", "--levels", "0"];
    let more = [&more[..], &["--random", "0", "--candidates", "1", "--recover", "0"]].concat();
    let arguments = with(&more);
    let result = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(result["chosen"]["bits"]["fc1"], "w2a2");
    let said = refused(2, &["--budget", "macs=3"]);
    assert!(said.contains("give bitops=X%"), "{said}");
    let said = refused(2, &["--budget", "bytes=99999", "--widths", "4"]);
    assert!(said.contains("fewer than two"), "{said}");
    let said =
        refused(2, &["--budget", "bytes=99999", "--widths", "2,6", "--weight-quant", "sawb"]);
    assert!(said.contains("sawb"), "{said}");
    let said = refused(2, &["--budget", "bytes=99999", "--lr", "0"]);
    assert!(said.contains("--lr 0: must be above 0"), "{said}");
    let said = crate::support::refused(
        2,
        &["search", text(&out), "--dataset", &data, "--budget", "bytes=99999", "--out", "x"],
    );
    assert!(said.contains("is quantized already"), "{said}");
}
