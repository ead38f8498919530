//! `saliq reproduce` and `saliq report`: a study made at once, by two machines, and by one that was killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Files of a report.
const REPORT: [&str; 4] = ["report.html", "report.md", "report.json", "report.csv"];

fn saliq(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saliq"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] {
        command.env_remove(variable);
    }
    command
}

/// A narrow study: three models a seed, two seeds.
fn study(folder: &Path, more: &[&str]) -> Command {
    let mut command = saliq(&["reproduce", "--preset", "tiny", "--bits", "2,2", "--sgt", "true", "--seeds", "2", "--quiet"]);
    command.arg("--out").arg(folder).args(more);
    command
}

fn succeed(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn results(folder: &Path) -> Vec<PathBuf> {
    let Ok(runs) = fs::read_dir(folder.join("runs")) else { return Vec::new() };
    runs.map(|run| run.unwrap().path().join("result.json")).filter(|result| result.exists()).collect()
}

/// Kills the study in `folder` as soon as it has a result.
fn kill_half_way(folder: &Path) {
    let mut child = study(folder, &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while results(folder).is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "the study ended before it could be killed");
        assert!(start.elapsed() < Duration::from_secs(300), "no result after five minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(results(folder).len() < 6, "killed too late to prove anything");
}

/// The text of every cell of a page's tables.
fn cells(html: &str) -> Vec<String> {
    let starts = html.match_indices("<td").map(|(at, _)| &html[at..]);
    starts.map(|rest| rest[rest.find('>').unwrap() + 1..rest.find("</td>").unwrap()].to_string()).collect()
}

fn percent_interval(interval: &Value) -> String {
    let part = |name: &str| interval[name].as_f64();
    let range = part("low").zip(part("high")).map(|(low, high)| format!(" ({:.2}–{:.2})", 100.0 * low, 100.0 * high));
    format!("{:.2} %{}", 100.0 * part("mean").unwrap(), range.unwrap_or_default())
}

#[test]
fn one_run_two_shards_and_a_killed_run_give_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, shared, killed] = ["whole", "shared", "killed"].map(|name| folder.path().join(name));
    let summary: Value = serde_json::from_str(&succeed(study(&whole, &["--json"]))).unwrap();
    assert_eq!(results(&whole).len(), 6);

    // Two machines that share a folder: a part each, then the report.
    succeed(study(&shared, &["--shard", "2/2"]));
    assert_eq!(results(&shared).len(), 3);
    let incomplete: Value = serde_json::from_str(&succeed({
        let mut command = saliq(&["report", "--json"]);
        command.arg(&shared);
        command
    }))
    .unwrap();
    assert_eq!(incomplete["missing"].as_array().unwrap().len(), 3);
    let mut slurm = study(&shared, &[]);
    slurm.envs([("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_COUNT", "2")]);
    succeed(slurm);

    kill_half_way(&killed);
    succeed(study(&killed, &[]));
    for file in REPORT {
        let expected = fs::read(whole.join(file)).unwrap();
        assert!(fs::read(shared.join(file)).unwrap() == expected, "{file} of two shards differs");
        assert!(fs::read(killed.join(file)).unwrap() == expected, "{file} of the killed run differs");
    }

    // What is there is not made again: a study without its training data's results still has its report in an instant.
    let model = results(&whole)[0].with_file_name("model.safetensors");
    let before = fs::metadata(&model).unwrap().modified().unwrap();
    succeed(study(&whole, &[]));
    assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), before);

    // The numbers on the page are the numbers in the JSON.
    let written: Value = serde_json::from_slice(&fs::read(whole.join("report.json")).unwrap()).unwrap();
    assert_eq!(written, summary);
    let html = fs::read_to_string(whole.join("report.html")).unwrap();
    let cells = cells(&html);
    let models = written["models"].as_array().unwrap();
    assert_eq!(models.len(), 3);
    for model in models {
        let accuracy = percent_interval(&model["accuracy"]);
        let at = cells.iter().position(|cell| *cell == accuracy).unwrap_or_else(|| panic!("no cell {accuracy} in {cells:?}"));
        assert_eq!(cells[at + 4], model["cost"]["bit-operations"].to_string());
        let area = model["methods"]["gradient"]["drop-area"]["mean"].as_f64().unwrap();
        assert!(cells.iter().any(|cell| cell.starts_with(&format!("{area:.3}"))), "no cell {area:.3}");
    }
    for finding in written["findings"].as_array().unwrap() {
        let escaped = finding.as_str().unwrap().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert!(html.contains(&escaped), "{finding} is not on the page");
    }
    assert!(!html.contains("<script") && !html.contains("src=\"http"), "the page must be self-contained");
}

#[test]
fn a_failed_model_does_not_end_the_study() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["reproduce", "--preset", "tiny", "--bits", "2,2", "--sgt", "false", "--lr", "1e30", "--quiet", "--out"];
    let output = saliq(&arguments).arg(folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.lines().last().unwrap().starts_with("error: "), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("runs")).unwrap().count(), 3, "every model was tried");
}

#[test]
fn what_a_study_cannot_have_is_refused() {
    let refused = |arguments: &[&str], message: &str| {
        let output = saliq(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(message), "{error}");
    };
    refused(&["reproduce", "--shard", "3/2"], "3/2");
    refused(&["reproduce", "--init", "x"], "--init");
    refused(&["report", "/nonexistent"], "no study there");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plan.json"), "{}").unwrap();
    let output = saliq(&["report"]).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
