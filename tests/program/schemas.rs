//! docs/schemas has a JSON Schema for what every command prints. `SALIQ_WRITE_SCHEMAS=1` makes them
//! anew from the outputs of the tests that hold them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use saliq::{
    bench::{AdapterName, Sweep, SweepPoint, SweepResult},
    config::PRESETS,
    nn::Tuning,
};
use serde_json::{Value, json};

use crate::support::{SMALL_NETWORK, json as output, schema, succeed, text};

/// Schemas that tests of the commands hold: their outputs take long, or are there anyhow.
const ELSEWHERE: [&str; 6] =
    ["bench", "demo", "reproduce", "reproduce-plan", "search", "search-plan"];

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
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/from_pytorch");
    let foreign = output(&["import", text(&models.join("resnet.onnx"))]);
    let mut colour = output(&["import", &quantized, "--out", &path("imported.safetensors")]);
    add("import", vec![foreign, colour.clone()]);
    // Images in colour have a number a channel.
    colour["normalize"] = json!({ "mean": [0.5, 0.5, 0.5], "deviation": [0.5, 0.5, 0.5] });
    add("import", vec![colour]);
    add("networks", vec![output(&["networks"])]);
    let presets = PRESETS.each_ref().map(|preset| output(&["networks", preset.name]));
    add("network", presets.into());
    add("cost-paper", vec![output(&["cost", "--accounting", "paper"])]);
    add("data-info", vec![output(&["data", "info", "mnist-mini"])]);
    let converted = path("mini.safetensors");
    add("data-convert", vec![output(&["data", "convert", "mnist-mini", "--out", &converted])]);
    let fetched = there_already(folder);
    add("data-fetch", vec![output(&["data", "fetch", "kmnist", "--data-dir", text(&fetched)])]);
    let inference = ["bench", "--inference", &quantized, "--batch-size", "1", "--steps", "1"];
    let listed = output(&["data", "list", "--data-dir", text(&fetched)]);
    assert!(listed.as_array().unwrap().iter().any(|set| set["found"].is_string()), "{listed}");
    add("data-list", vec![output(&["data", "list"]), listed]);
    add("bench-inference", vec![output(&inference)]);
    add("bench-sweep", sweeps());
    add("tiles", vec![serde_json::from_str(&tiles().to_text()).unwrap()]);
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

/// A folder with a data set that was downloaded: `saliq data fetch` finds what it kept.
fn there_already(folder: &Path) -> PathBuf {
    let set = folder.join("data/kmnist");
    fs::create_dir_all(&set).unwrap();
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let mut sums = String::new();
    for part in ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"] {
        fs::write(set.join(format!("{part}-ubyte.gz")), "").unwrap();
        sums += &format!("{of_nothing}  {part}-ubyte.gz\n");
    }
    fs::write(set.join("SHA256SUMS"), sums).unwrap();
    folder.join("data")
}

/// What `saliq bench --sweep` prints, which takes long.
fn sweeps() -> Vec<Value> {
    let of = |sweep, batch_size| SweepResult {
        adapter: AdapterName { name: "a".into(), description: "a".into() },
        sweep,
        batch_size,
        points: vec![SweepPoint { value: 1, median_ms: 0.5, images_per_second: 2.5 }],
        ms_per_unit: 0.5,
        offset_ms: 0.5,
        r_squared: 0.5,
    };
    let all = [of(Sweep::Batch, None), of(Sweep::Filters, Some(64))];
    all.iter().map(|result| serde_json::to_value(result).unwrap()).collect()
}

/// What `saliq bench --autotune` prints, which software drivers do not have.
fn tiles() -> Tuning {
    let text = r#"{
        "adapter": "a",
        "version": "1",
        "products": [{
            "product": { "weight-gradient": false, "column-groups": 16, "rows": 576, "inner": 72 },
            "tiles": { "row-lanes": 8, "column-lanes": 16, "rows": 8, "deep": 4, "slices": 1 },
            "table-ms": 2.5,
            "ms": 1.5
        }]
    }"#;
    Tuning::parse(text).unwrap()
}

#[test]
fn outputs_have_their_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let found = outputs(folder.path());
    for (name, values) in &found {
        schema::hold(name, values);
    }
    let held: BTreeSet<&str> = found.into_keys().chain(ELSEWHERE).collect();
    assert_eq!(held, schema::TITLES.map(|(name, _)| name).into());
}

/// Every schema is in the table of the book.
#[test]
fn schemas_are_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let page = fs::read_to_string(root.join("book/reference.md")).unwrap();
    let files = fs::read_dir(root.join("schemas")).unwrap();
    let files: BTreeSet<String> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let names = schema::TITLES.map(|(name, _)| format!("{name}.json"));
    assert_eq!(files, names.into());
    for (name, title) in schema::TITLES {
        let file = root.join(format!("schemas/{name}.json"));
        let schema: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(schema["title"], title);
    }
    for file in files {
        assert!(page.contains(&format!("`{file}`")), "{file}");
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
