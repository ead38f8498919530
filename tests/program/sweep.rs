//! Many runs: `saliq sweep`, `saliq runs`, the logs of a run, `saliq watch`, and the lines that a
//! training prints.

use std::{collections::BTreeSet, fs, path::Path};

use saliq::logs::{Event, read_events};
use serde_json::Value;

use crate::support::{SMALL_NETWORK, json, refused, run, saliq, succeed, text};

/// Settings of runs of a second.
fn small(more: &str) -> String {
    format!("train-limit = 64\ntest-limit = 20\nbatch-size = 32\n{more}{SMALL_NETWORK}")
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const GRID: &str = "steps = 2\nlr = 0.1\n[sweep]\nbits = [\"32\", \"4\"]\nseed = [0, 1]\n\
                    [[exclude]]\nbits = \"32\"\nseed = 1\n";

#[test]
fn a_sweep_is_made_in_parts_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let grid = small("").replace("[network", &format!("{GRID}\n[network"));
    let grid = write(folder.path(), "grid.toml", &grid);
    let out = folder.path().join("grid");
    let sweep =
        |more: &[&str]| json(&[&["sweep", text(&grid), "--out", text(&out)], more].concat());
    let plan = sweep(&["--plan"]);
    assert_eq!(plan["runs"].as_array().unwrap().len(), 3);
    assert!(!out.exists() && plan["seconds"].as_f64().unwrap() > 0.0);

    let first = sweep(&["--shard", "1/2"]);
    let states = |summary: &Value| -> Vec<String> {
        let runs = summary["runs"].as_array().unwrap().iter();
        runs.map(|run| run["state"].as_str().unwrap().to_string()).collect()
    };
    let done = states(&first).iter().filter(|state| *state == "done").count();
    assert!((1..3).contains(&done), "{first}");
    let made: Vec<_> = first["runs"].as_array().unwrap().to_vec();
    let modified = |run: &Value| {
        let file = out.join(run["folder"].as_str().unwrap()).join("model.safetensors");
        fs::metadata(file).and_then(|file| file.modified()).ok()
    };
    let before: Vec<_> = made.iter().map(modified).collect();

    // The variables of an array job select the other part.
    let second = saliq()
        .args(["sweep", text(&grid), "--out", text(&out), "--json"])
        .env("SLURM_ARRAY_TASK_ID", "1")
        .env("SLURM_ARRAY_TASK_MIN", "0")
        .env("SLURM_ARRAY_TASK_COUNT", "2")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("part 2/2 of the sweep, from SLURM_ARRAY_TASK_ID=1"), "{said}");
    let second: Value = serde_json::from_slice(&second.stdout).expect(&said);
    assert_eq!(states(&second), ["done"; 3], "{second}");
    for (run, before) in made.iter().zip(before) {
        assert!(before.is_none() || before == modified(run), "a finished run was made again");
    }
    let group = &second["groups"][1];
    assert_eq!((&group["settings"]["bits"], &group["runs"]), (&"4".into(), &2.into()));
    let interval = &group["metrics"]["test_accuracy"];
    assert!(interval["low"].as_f64() <= interval["mean"].as_f64(), "{interval}");

    let csv = read(&out.join("sweep.csv"));
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].starts_with("folder,state,bits,seed,") && rows[0].contains(",test_accuracy,"));
    assert!(read(&out.join("sweep.md")).starts_with("| bits | seed | accuracy |"));
    let stored: Value = serde_json::from_str(&read(&out.join("sweep.json"))).unwrap();
    assert_eq!(stored, second);
    let figure = read(&out.join("test_accuracy-by-bits.svg"));
    roxmltree::Document::parse(&figure).unwrap();
    // A run is what `train` makes of its configuration, bit for bit.
    let first_run = out.join(second["runs"][1]["folder"].as_str().unwrap());
    let again = folder.path().join("again");
    json(&["train", "--config", text(&first_run.join("config.toml")), "--out", text(&again)]);
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(model(&first_run), model(&again));

    let listed = json(&["runs", text(&out)]);
    assert_eq!(listed["runs"].as_array().unwrap().len(), 3);
    let keys: Vec<&str> =
        listed["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert!(keys.contains(&"bits") && keys.contains(&"seed") && !keys.contains(&"lr"), "{keys:?}");
    let best = json(&["runs", text(&out), "--best", "test_loss"]);
    let least = |runs: &Value| {
        let losses = runs["runs"].as_array().unwrap().iter();
        losses.map(|run| run["metrics"]["test_loss"].as_f64().unwrap()).fold(f64::MAX, f64::min)
    };
    assert_eq!(best["runs"].as_array().unwrap().len(), 1);
    assert_eq!(least(&best), least(&listed));
    let figure = folder.path().join("loss.png");
    let plot = ["--plot", "test_loss", "--by", "seed", "--figure", text(&figure)];
    json(&[&["runs", text(&out)][..], &plot].concat());
    assert_eq!(fs::read(&figure).unwrap()[..4], *b"\x89PNG");
    assert!(refused(2, &["runs", text(&out), "--best", "speed"]).contains("they have best_test"));
}

#[test]
fn a_sweep_prints_a_job_and_says_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = small("").replace("[network", "steps = 4\n[sweep]\nlr = [0.1, 1e38]\n[network");
    let grid = write(folder.path(), "it's.toml", &file);
    let out = folder.path().join("out");
    let arguments = ["sweep", text(&grid), "--out", text(&out)];
    let job = succeed(&[&arguments[..], &["--sbatch", "8"]].concat());
    assert!(job.starts_with("#!/bin/bash\n") && job.contains("--array=1-2\n"), "{job}");
    assert!(job.contains("it'\\''s.toml") && !out.exists(), "{job}");
    // Slurm writes no log into a folder that is not there.
    assert!(job.contains("--output=saliq-it-s-%A_%a.log\n"), "{job}");
    // A rate at which the numbers are lost ends that run alone.
    let output = run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("\nerror: 1 run could not be made"), "{said}");
    let summary: Value = serde_json::from_str(&read(&out.join("sweep.json"))).unwrap();
    let states: Vec<_> =
        summary["runs"].as_array().unwrap().iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["done", "failed"]);
    assert!(summary["runs"][1]["failure"].is_string());
}

#[test]
fn logs_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "a.toml", &small("epochs = 1\nlog = \"tensorboard,csv\"\n"));
    let out = folder.path().join("run");
    let train = |more: &[&str]| {
        json(&[&["train", "--config", text(&config), "--out", text(&out)], more].concat())
    };
    train(&[]);
    train(&["--epochs", "2", "--resume"]);
    let event_files = || -> Vec<std::path::PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| text(path).contains("events.out.tfevents"))
            .collect();
        files.sort();
        files
    };
    assert_eq!(event_files().len(), 2);
    let events: Vec<Event> = event_files()
        .iter()
        .flat_map(|path| read_events(path, &fs::read(path).unwrap()).unwrap())
        .collect();
    assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
    let starts: Vec<i64> =
        events.iter().filter(|own| own.session_log.is_some()).map(|own| own.step).collect();
    assert_eq!(starts, [3]);
    let values = || {
        let values = events.iter().filter_map(|own| Some((own.step, own.summary.as_ref()?)));
        values.flat_map(|(step, summary)| summary.value.iter().map(move |value| (step, value)))
    };
    let metrics: Vec<Value> = read(&out.join("metrics.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let losses: Vec<(i64, f32)> = values()
        .filter(|(_, value)| value.tag == "step/loss")
        .map(|(step, value)| (step, value.simple_value.unwrap()))
        .collect();
    let expected: Vec<(i64, f32)> = metrics
        .iter()
        .filter(|line| line["kind"] == "step")
        .map(|line| (line["step"].as_i64().unwrap(), line["loss"].as_f64().unwrap() as f32))
        .collect();
    assert_eq!((losses.len(), losses), (4, expected));
    let tags: BTreeSet<&str> = values().map(|(_, value)| value.tag.as_str()).collect();
    for tag in ["test/accuracy", "train/kl", "parameters/conv1.weight"] {
        assert!(tags.contains(tag), "{tag}: {tags:?}");
    }
    let (_, histogram) = values().find(|(_, own)| own.tag == "parameters/conv1.weight").unwrap();
    assert!(histogram.histo.as_ref().unwrap().num > 0.0);
    let pictures: Vec<_> = values().filter_map(|(_, value)| value.image.as_ref()).collect();
    assert!(!pictures.is_empty());
    for picture in pictures {
        let decoded = image::load_from_memory(&picture.encoded_image_string).unwrap();
        let size = (decoded.height() as i32, decoded.width() as i32);
        assert_eq!(size, (picture.height, picture.width));
    }
    let csv = read(&out.join("metrics.csv"));
    let kinds: Vec<&str> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(kinds, ["kind", "step", "step", "epoch", "step", "step", "epoch"]);
    // A model says nothing of the logs.
    let plain = folder.path().join("plain");
    json(&[
        "train",
        "--config",
        text(&config),
        "--log",
        "none",
        "--epochs",
        "2",
        "--out",
        text(&plain),
    ]);
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(model(&out), model(&plain));
    assert!(
        !plain.join("metrics.csv").exists() && !read(&plain.join("config.toml")).contains("log =")
    );

    let view = succeed(&["watch", text(&out)]);
    assert!(view.contains("4 steps, finished") && view.contains("saliency after step 4"), "{view}");
    assert!(view.contains("epoch 2: train loss"), "{view}");
    assert_eq!(json(&["watch", text(&out)])["step"], 4);
    // Logs of a run that is replaced go with it.
    json(&["train", "--config", text(&config), "--log", "csv", "--out", text(&out), "--force"]);
    assert!(event_files().is_empty() && out.join("metrics.csv").exists());
}

/// The contract of docs/scripting.md.
#[test]
fn a_training_prints_its_lines() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "a.toml", &small("epochs = 2\n"));
    let out = folder.path().join("run");
    let stdout =
        succeed(&["train", "--config", text(&config), "--out", text(&out), "--json=lines"]);
    let lines: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let kinds: Vec<&str> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["begin", "step", "step", "epoch", "step", "step", "epoch", "result"],
        "{stdout}"
    );
    let metrics: Vec<Value> = read(&out.join("metrics.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[1..7], metrics);
    assert_eq!(lines[7]["accuracy"], lines[6]["test_accuracy"]);
    // Other commands print their result on one line.
    assert_eq!(succeed(&["eval", text(&out), "--json=lines"]).lines().count(), 1);
}
