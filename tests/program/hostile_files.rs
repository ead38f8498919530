//! Files in JSON that have no fuzz target (a study's plan and results, measured tile sizes, earlier
//! benchmarks), damaged in every way: an error or a value, never a panic.

use std::{fs, path::Path};

use saliq::{
    Error,
    bench::BenchResult,
    config::PartialRunConfig,
    nn::Tuning,
    study::{
        plan::{PLAN_FILE, Plan, PlanOptions},
        preset::Preset,
        report,
        result::{Collected, FAILURE_FILE, RESULT_FILE},
        summary::Summary,
    },
};
use serde_json::{Value, json};

use crate::{
    common::Random,
    support::{self, refused, study, text},
};

/// Damaged copies of a file.
const COPIES: usize = 300;

/// `original` with bytes changed, cut out, doubled, or with one value replaced by something else
/// that JSON can say.
fn damaged(original: &str, random: &mut Random) -> Vec<u8> {
    let mut bytes = original.as_bytes().to_vec();
    let at = random.below(bytes.len() as u32) as usize;
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => bytes[at] = random.next() as u8,
        2 => bytes[at] ^= 1 << random.below(8),
        3 => {
            let end = (at + 1 + random.below(40) as usize).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            let end = (at + 1 + random.below(40) as usize).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => {
            let mut value: Value = serde_json::from_str(original).unwrap();
            let places = leaves(&value, String::new());
            let place = &places[random.below(places.len() as u32) as usize];
            let others = [
                json!(null),
                json!(0),
                json!(-1),
                json!(1e308),
                json!(u64::MAX),
                json!(""),
                json!([]),
                json!({}),
                json!("../\u{1b}[2J\u{202e}"),
                json!("9".repeat(5000)),
            ];
            *value.pointer_mut(place).unwrap() =
                others[random.below(others.len() as u32) as usize].clone();
            bytes = value.to_string().into_bytes();
        }
    }
    bytes
}

/// Places of all values but the whole.
fn leaves(value: &Value, place: String) -> Vec<String> {
    let below = |key: String, value: &Value| {
        let place = format!("{place}/{}", key.replace('~', "~0").replace('/', "~1"));
        [vec![place.clone()], leaves(value, place)].concat()
    };
    match value {
        Value::Array(values) => values
            .iter()
            .enumerate()
            .flat_map(|(index, value)| below(index.to_string(), value))
            .collect(),
        Value::Object(values) => {
            values.iter().flat_map(|(key, value)| below(key.clone(), value)).collect()
        }
        _ => Vec::new(),
    }
}

/// Everything of a study but its figures. The reasons are one line.
fn read_study(root: &Path) -> Result<(), Error> {
    let read = || {
        let plan = Plan::read(root)?;
        let collected = Collected::read(root, &plan)?;
        Ok(Summary::new(&plan, &collected))
    };
    let result: Result<Summary, Error> = read();
    result.map(drop).inspect_err(|error| {
        let message = error.to_string();
        assert!(
            message.contains(".json")
                && !message.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{message:?}"
        );
    })
}

#[test]
fn studies() {
    let root = tempfile::tempdir().unwrap();
    let plan = study::write(root.path(), "mnist");
    read_study(root.path()).unwrap();
    let mut random = Random(1);
    for path in [root.path().join(PLAN_FILE), plan.folder(root.path(), 1).join(RESULT_FILE)] {
        let original = fs::read_to_string(&path).unwrap();
        let mut refused = 0;
        for _ in 0..COPIES {
            fs::write(&path, damaged(&original, &mut random)).unwrap();
            refused += usize::from(read_study(root.path()).is_err());
        }
        assert!(refused > COPIES / 2 && refused < COPIES, "{refused} of {COPIES} refused");
        fs::write(&path, original).unwrap();
    }
}

/// Values that a file can have and no study does, up to the figures.
#[test]
fn reports_on_what_cannot_be() {
    let root = tempfile::tempdir().unwrap();
    let plan = study::write(root.path(), "mnist");
    report::write(root.path()).unwrap();
    let (planned, result) =
        (root.path().join(PLAN_FILE), plan.folder(root.path(), 0).join(RESULT_FILE));
    for (path, place, value) in [
        (&result, "/methods/gradient/drop", json!([])),
        (&result, "/methods/gradient/drop", json!([[1e308, 1e308], [-1e308, -1e308], [0.0, 0.0]])),
        (&result, "/methods/gradient/gini", json!([null, 1e308])),
        (&result, "/kl", json!([[1e308, -1e308], [-1e308, 1e308]])),
        (&result, "/images", json!(0)),
        (&result, "/accuracy", json!(1e308)),
        (&result, "/cost/bit-operations", json!(u64::MAX)),
        (&planned, "/judgement/pictures", json!(u32::MAX)),
        (&planned, "/judgement/methods", json!([])),
        (&planned, "/judgement/methods", json!(["../../x"])),
        (&planned, "/class-names", json!({})),
        (&planned, "/runs/1/start", json!(1)),
        (&planned, "/runs/1/control", json!(u64::MAX)),
        (&planned, "/runs/1/variant/bits", json!("2,2; rm -rf ~")),
        (&planned, "/runs", json!([])),
    ] {
        let original = fs::read_to_string(path).unwrap();
        let mut changed: Value = serde_json::from_str(&original).unwrap();
        *changed.pointer_mut(place).unwrap_or_else(|| panic!("no {place}")) = value.clone();
        fs::write(path, changed.to_string()).unwrap();
        if let Err(error) = report::write(root.path()) {
            assert!(!error.to_string().contains('\n'), "{place} = {value}: {error}");
        }
        fs::write(path, original).unwrap();
    }
}

/// Whatever a data set is called, its runs have folders that the plan can be read with again.
#[test]
fn folders_of_runs() {
    let names = [
        "my data",
        "größe",
        ".hidden",
        "..",
        "-x",
        "a/../b c",
        "$(x)`",
        "x\u{1b}\n",
        &"long".repeat(100),
    ];
    let mut folders: Vec<String> = Vec::new();
    for name in names {
        let root = tempfile::tempdir().unwrap();
        let plan = study::plan(name);
        plan.write(root.path()).unwrap();
        assert_eq!(Plan::read(root.path()).unwrap(), plan, "{name:?}");
        folders.extend(plan.runs.into_iter().map(|run| run.folder));
    }
    let safe = |folder: &String| {
        folder.len() < 200
            && folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    assert!(folders.iter().all(safe), "{folders:?}");
    // Names that are written alike differ by the hash.
    let all = folders.len();
    folders.sort();
    folders.dedup();
    assert_eq!((all, folders.len()), (4 * names.len(), 4 * names.len()));
}

#[test]
fn seeds_that_do_not_exist() {
    let split = || saliq::data::Split { images: vec![0; 784], labels: vec![0] };
    let dataset = support::mnist_like(split(), split());
    let plan = |seed: i64| {
        let overrides = PartialRunConfig { seed: Some(seed), ..PartialRunConfig::default() };
        Plan::new(
            Preset::Tiny,
            &PlanOptions { seeds: Some(3), overrides },
            &["gradient"],
            std::slice::from_ref(&dataset),
        )
    };
    let error = plan(i64::MAX - 1).unwrap_err();
    assert!(
        matches!(&error, Error::Settings(phrase) if phrase.to_string().starts_with("seed = ")
            && phrase.to_string().contains("3 seeds")),
        "{error}"
    );
    plan(i64::MAX - 2).unwrap();
}

/// A reason is a short line of a file, or none.
#[cfg(unix)]
#[test]
fn reasons_of_failures() {
    let root = tempfile::tempdir().unwrap();
    let plan = study::write(root.path(), "mnist");
    let folder = plan.folder(root.path(), 1);
    fs::remove_file(folder.join(RESULT_FILE)).unwrap();
    let path = folder.join(FAILURE_FILE);
    let reason = || Collected::read(root.path(), &plan).unwrap().missing.remove(0).1;
    fs::write(&path, "out of\nmemory\u{1b}[2J\n").unwrap();
    assert_eq!(reason().as_deref(), Some("out of memory [2J"));
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(reason(), None);
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert_eq!(reason(), None);
}

#[test]
fn tile_sizes_and_benchmarks() {
    let tiles = json!({
        "adapter": "an adapter",
        "version": "0.1.0",
        "products": [{
            "product": { "weight-gradient": false, "column-groups": 16, "rows": 576, "inner": 72 },
            "tiles": { "row-lanes": 8, "column-lanes": 16, "rows": 8, "deep": 4, "slices": 1 },
            "table-ms": 2.0,
            "ms": 1.0,
        }],
    })
    .to_string();
    Tuning::parse(&tiles).unwrap();
    let benchmark = json!({
        "adapter": { "name": "a", "description": "an adapter" },
        "peaks": { "product_gflops": 1.0, "copy_gbytes_per_s": 1.0 },
        "step": { "median_ms": 2.0, "floors": { "arithmetic_ms": 1.0, "memory_ms": 1.0 } },
        "precision": "f32",
        "timing": "host",
        "kernels": [{ "name": "conv1", "kernel": "convolution", "count": 1, "median_ms": 1.0 }],
    })
    .to_string();
    serde_json::from_str::<BenchResult>(&benchmark).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    let mut random = Random(2);
    let (mut refused_tiles, mut refused_benchmarks) = (0, 0);
    for copy in 0..COPIES {
        let bytes = damaged(&tiles, &mut random);
        let bad_tiles = Tuning::parse(&String::from_utf8_lossy(&bytes)).is_err();
        refused_tiles += usize::from(bad_tiles);
        let bytes_of_benchmark = damaged(&benchmark, &mut random);
        let bad_benchmark = serde_json::from_slice::<BenchResult>(&bytes_of_benchmark).is_err();
        refused_benchmarks += usize::from(bad_benchmark);
        // Some of those that are refused through the program, which must say so in a line.
        if bad_tiles && copy % 50 == 0 {
            fs::write(&path, bytes).unwrap();
            let message = refused(1, &["bench", "--steps", "1", "--tiles", text(&path)]);
            assert!(message.contains("file.json"), "{message}");
        }
        if bad_benchmark && copy % 50 == 1 {
            fs::write(&path, bytes_of_benchmark).unwrap();
            let message = refused(1, &["bench", "--steps", "1", "--compare", text(&path)]);
            assert!(message.contains("file.json"), "{message}");
        }
    }
    assert!((1..COPIES).contains(&refused_tiles) && (1..COPIES).contains(&refused_benchmarks));
}
