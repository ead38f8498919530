//! docs/schemas has a JSON Schema for what the commands print. `SALIQ_WRITE_SCHEMAS=1` makes them
//! anew from the outputs of this test.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::support::{SMALL_NETWORK, json as output, schema, succeed, text};

/// What the outputs are, by the names of their schemas.
const TITLES: [(&str, &str); 20] = [
    ("train", "saliq train --json: the result of a training"),
    ("train-lines", "A line of saliq train --json=lines"),
    ("metrics", "A line of metrics.jsonl in a run folder"),
    ("eval", "saliq eval --json: accuracy, loss, per-class figures, confusion matrix"),
    ("cost", "saliq cost --json: operations, bits, bytes of a model"),
    ("devices", "saliq devices --json: adapters, features, limits"),
    ("explain", "saliq explain --json: what was explained and written"),
    ("compare", "saliq compare --json and compare.json: models against a reference"),
    ("drop", "saliq drop --json and drop.json: accuracy as features are removed"),
    ("quantize", "saliq quantize --json: post-training quantization against float"),
    ("export", "saliq export --json: the file that was written"),
    ("networks", "saliq networks --json: the networks known by name"),
    ("data-list", "saliq data list --json: the data sets known by name"),
    ("data-info", "saliq data info --json: what is read of a data set"),
    ("sweep", "saliq sweep --json and sweep.json: the runs of a sweep"),
    ("sweep-plan", "saliq sweep --plan --json: the runs to be made"),
    ("runs", "saliq runs --json: the runs below a folder"),
    ("watch", "saliq watch --json: how far a run is"),
    ("check", "saliq check --json: shaders and findings"),
    ("man", "saliq man --json: the manual pages that were written"),
];

/// Outputs by the name of their schema.
fn outputs(folder: &Path) -> BTreeMap<&'static str, Vec<Value>> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let base = "train-limit = 64\ntest-limit = 20\nbatch-size = 32\nepochs = 1\n";
    let config = path("a.toml");
    fs::write(&config, format!("{base}{SMALL_NETWORK}")).unwrap();
    let grid = path("grid.toml");
    let axes = "[sweep]\nbits = [\"32\", \"4\"]\n";
    fs::write(&grid, format!("{base}{axes}{SMALL_NETWORK}")).unwrap();
    let (float, quantized, validated) = (path("float"), path("quantized"), path("validated"));
    let offsets = path("offsets");
    let lines = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut found: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut add = |name: &'static str, values: Vec<Value>| {
        found.entry(name).or_default().extend(values);
    };
    let train = ["train", "--config", &config];
    let more = ["--json=lines", "--out", &float];
    add("train-lines", lines(&succeed(&[&train[..], &more].concat())));
    add("train", vec![output(&[&train[..], &["--out", &float, "--resume"]].concat())]);
    let more = ["--bits", "4", "--act-quant", "lsq-plus", "--sgt-variant", "smoot"];
    let more = [&more[..], &["--json=lines", "--out", &offsets]].concat();
    add("train-lines", lines(&succeed(&[&train[..], &more].concat())));
    let more = ["--validation-share", "0.1", "--snapshot-every", "2", "--out", &validated];
    add("train", vec![output(&[&train[..], &more].concat())]);
    let more = ["--bits", "4", "--teacher", &float, "--align", "1", "--json=lines"];
    let more = [&more[..], &["--out", &quantized, "--weight-quant", "lsq", "--distill", "1"]];
    add("train-lines", lines(&succeed(&[&train[..], &more.concat()].concat())));
    for run in [&float, &quantized, &validated, &offsets] {
        let metrics = fs::read_to_string(Path::new(run).join("metrics.jsonl")).unwrap();
        add("metrics", lines(&metrics));
    }
    add("eval", vec![output(&["eval", &quantized])]);
    add("cost", vec![output(&["cost", &quantized]), output(&["cost"])]);
    add("devices", vec![output(&["devices"])]);
    let explain = ["explain", &float, &quantized, "--count", "2", "--out"];
    add("explain", vec![output(&[&explain[..], &[&path("maps")]].concat())]);
    let compare = ["compare", &float, &quantized, "--count", "4", "--out"];
    add("compare", vec![output(&[&compare[..], &[&path("compare")]].concat())]);
    let drop = ["drop", &float, &quantized, "--count", "4", "--method", "gradient", "--out"];
    add("drop", vec![output(&[&drop[..], &[&path("drop")]].concat())]);
    let quantize = ["quantize", &float, "--bits", "4", "--out"];
    add("quantize", vec![output(&[&quantize[..], &[&path("ptq")]].concat())]);
    let export = ["export", &quantized, "--format", "packed", "--out"];
    add("export", vec![output(&[&export[..], &[&path("packed.safetensors")]].concat())]);
    add("networks", vec![output(&["networks"])]);
    add("data-list", vec![output(&["data", "list"])]);
    add("data-info", vec![output(&["data", "info", "mnist-mini"])]);
    let sweep = ["sweep", &grid, "--out", &path("grid")].map(String::from);
    let sweep: Vec<&str> = sweep.iter().map(String::as_str).collect();
    add("sweep-plan", vec![output(&[&sweep[..], &["--plan"]].concat())]);
    add("sweep", vec![output(&sweep)]);
    add("runs", vec![output(&["runs", text(folder)])]);
    add("watch", vec![output(&["watch", &validated])]);
    let shader = path("a.wgsl");
    fs::write(&shader, "enable f16; @compute @workgroup_size(1) fn main() {}").unwrap();
    add("check", vec![output(&["check", &shader])]);
    add("man", vec![output(&["man", "--out", &path("man")])]);
    found
}

#[test]
fn outputs_have_their_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let found = outputs(folder.path());
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    let is_written = std::env::var_os("SALIQ_WRITE_SCHEMAS").is_some();
    assert_eq!(found.len(), TITLES.len());
    for (name, title) in TITLES {
        let (file, values) = (place.join(format!("{name}.json")), &found[name]);
        if is_written {
            let samples: Vec<&Value> = values.iter().collect();
            let inner = schema::infer(&samples, "line");
            let mut whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": title,
            });
            whole.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
            let text = serde_json::to_string_pretty(&whole).unwrap() + "\n";
            fs::write(&file, text).unwrap();
        }
        let stored =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let stored: Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored["title"], title);
        for value in values {
            schema::check(&stored, value, name).unwrap_or_else(|said| {
                panic!("{said}\nSALIQ_WRITE_SCHEMAS=1 makes the schemas anew\n{value:#}")
            });
        }
    }
}

#[test]
fn what_a_schema_does_not_describe_is_found() {
    let samples = [json!({ "a": 1, "b": [0.5] }), json!({ "a": 2, "metrics": { "x": 1.0 } })];
    let own = schema::infer(&samples.iter().collect::<Vec<_>>(), "line");
    for sample in &samples {
        schema::check(&own, sample, "").unwrap();
    }
    for (bad, expected) in [
        (json!({ "b": [1] }), "lacks a"),
        (json!({ "a": 1.5 }), "a: is of type number"),
        (json!({ "a": 1, "c": 1 }), "c: is not described"),
        (json!({ "a": 1, "b": ["x"] }), "b[0]: is of type string"),
        (json!({ "a": 1, "metrics": { "y": "z" } }), "y: is of type string"),
    ] {
        let said = schema::check(&own, &bad, "").unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}
