//! `benches/gpu.sh`, which measures on a machine with a GPU, on this adapter and with small sizes.
//! `make test-all` runs every stage.

use std::{fs, path::Path, process::Command};

use crate::support::root;

/// Runs `stage` with these variables; (exit status, standard error, the page that it wrote).
fn stage(name: &str, folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    // Not `current_exe`, which is the loader where that is what started the tests.
    let tests = fs::canonicalize(std::env::args_os().next().unwrap()).unwrap();
    let mut command = Command::new("sh");
    command
        .arg(root().join("benches/gpu.sh"))
        .arg(name)
        .env("SMALL", "1")
        .env("SALIQ", assert_cmd::cargo::cargo_bin!("saliq"))
        .env("SALIQ_TESTS", &tests)
        .env("WORK", folder.join("work"))
        .env("OUT", folder.join("out"))
        .envs(variables.iter().copied());
    let output = command.output().expect("sh starts");
    let page = fs::read_to_string(folder.join("out").join(format!("gpu-{name}.md")));
    let error = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), error, page.unwrap_or_default())
}

/// The lines of `text` that say that something began.
fn begun(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("gpu.sh: ")).collect()
}

#[test]
fn stages_write_pages_and_go_on_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    // A module that only computes, and none.
    let modules = [("SUITE_FILTER", "cost nowhere")];
    let (status, error, _) = stage("suite", place, &[modules[0], ("STAGE_SECONDS", "1")]);
    assert_eq!(status, Some(75), "no time left: {error}");
    let (status, error, page) = stage("suite", place, &modules);
    assert_eq!(status, Some(0), "{error}");
    assert_eq!(begun(&error), ["suite: cost", "suite: nowhere"]);
    for module in ["| cost | ok | ", "| nowhere | no tests | ", "Adapter: "] {
        assert!(page.contains(module), "{module}: {page}");
    }
    assert!(!page.contains("Unfinished"), "{page}");

    // Elsewhere, with what came back alone: nothing is done again.
    fs::remove_dir_all(place.join("work")).unwrap();
    fs::rename(place.join("out"), place.join("from")).unwrap();
    let from = place.join("from");
    let moved = [modules[0], ("FROM", from.to_str().unwrap())];
    let (status, error, again) = stage("suite", place, &moved);
    assert_eq!((status, begun(&error).len()), (Some(0), 0), "{error}");
    assert_eq!(again, page);
}

#[test]
fn a_stage_that_has_no_time_left_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    // What a benchmark writes; the other measurements would take longer than there is time.
    let step = r#"{
      "peaks": {
        "product_gflops": 1000.5,
        "copy_gbytes_per_s": 200.0
      },
      "step": {
        "median_ms": 12.5,
        "images_per_second": 20480.0,
        "floors": {
          "arithmetic_ms": 6.25,
          "memory_ms": 3.125
        },
        "floor_share": 0.5,
        "peak_share": 0.5,
        "dispatches": 50,
        "ready_ms": 100.0,
        "first_step_ms": 200.0
      },
      "kernels": [
        {
          "name": "conv2 forward",
          "kernel": "convolution",
          "count": 4,
          "median_ms": 0.5,
          "gflops": 900.0,
          "gbytes_per_s": null,
          "peak_share": 0.9
        }
      ]
    }"#;
    let own = place.join("work/bench");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("step.json"), step).unwrap();
    let (status, error, page) = stage("bench", place, &[("STAGE_SECONDS", "10")]);
    assert_eq!(status, Some(75), "{error}");
    for line in [
        "| tiles of the table | 12.50 | 20480 | 50 | 50 % | 3.12 | 6.25 | 50 % |",
        "Peaks: product 1000 GFLOP/s, copy 200 GB/s.",
        "| conv2 forward | convolution | 4 | 0.500 | 900.0 | – | 90 % |",
        "**Unfinished: the same command goes on.**",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (status, error, _) = stage("table3", folder.path(), &[]);
    assert!(status == Some(2) && error.contains("there is no stage table3"), "{error}");
    let (status, error, _) = stage("suite", folder.path(), &[("SALIQ", "/nowhere/saliq")]);
    assert!(status == Some(2) && error.contains("SALIQ names it"), "{error}");
}

/// Every stage; minutes.
#[test]
#[ignore = "minutes: part of `make test-all`"]
fn every_stage_runs_on_this_adapter() {
    let folder = tempfile::tempdir().unwrap();
    for (name, line) in [
        ("suite", "| cost | ok | "),
        ("bench", "| f16 between layers | "),
        ("peers", "Adapter: "),
        ("table2", "test accuracy"),
        ("resnet20", "| w2a2 | "),
    ] {
        let variables = [("SUITE_FILTER", "cost"), ("STAGE_SECONDS", "1800")];
        let (status, error, page) = stage(name, folder.path(), &variables);
        assert_eq!(status, Some(0), "{name}: {error}");
        assert!(page.contains(line) && !page.contains("Unfinished"), "{name}: {page}");
        // Only tuning has nothing to do on a software driver.
        let failed = page.split("What failed:").nth(1).unwrap_or_default();
        let failures: Vec<_> = failed.lines().filter(|line| line.starts_with("- ")).collect();
        assert!(failures.iter().all(|line| line.starts_with("- tiles.json")), "{failures:?}");
    }
}
