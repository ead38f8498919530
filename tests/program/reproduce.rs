//! `saliq reproduce` and `saliq report`: a study made at once, by two machines, and by one that was
//! killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use saliq::{
    judgement::Fill,
    study::{preset::Preset, report},
};
use serde_json::Value;

use crate::support;

/// Files of a report.
const REPORT: [&str; 4] = ["report.html", "report.md", "report.json", "report.csv"];

fn saliq(arguments: &[&str]) -> Command {
    let mut command = support::program();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"] {
        command.env_remove(variable);
    }
    // A report has the days on which its models were made: the same one, whatever the clock says.
    command.env("SOURCE_DATE_EPOCH", "1795478400");
    command
}

/// A narrow study: four models a seed, two seeds; settings that the preset does not have.
fn study(folder: &Path, more: &[&str]) -> Command {
    let mut command = saliq(&[
        "reproduce",
        "--preset",
        "tiny",
        "--bits",
        "2,2",
        "--sgt",
        "true",
        "--seeds",
        "2",
        "--quiet",
    ]);
    command.args(["--per-channel", "--pact", "signed-after-relu"]);
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
    runs.map(|run| run.unwrap().path().join("result.json"))
        .filter(|result| result.exists())
        .collect()
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
    assert!(results(folder).len() < 8, "killed too late to prove anything");
}

/// The tables of a page: a row a vector, headings first.
fn tables(html: &str) -> Vec<Vec<Vec<String>>> {
    let between = |text: &str, start: &str, end: &str| -> Vec<String> {
        let starts = text.match_indices(start).map(|(at, _)| &text[at + start.len()..]);
        starts.map(|rest| rest[..rest.find(end).unwrap()].to_string()).collect()
    };
    let cells = |row: &str| {
        let cells = [between(row, "<th", "</th>"), between(row, "<td", "</td>")].concat();
        cells
            .iter()
            .map(|cell| cell[cell.find('>').unwrap() + 1..].replace("&lt;", "<"))
            .collect::<Vec<String>>()
    };
    between(html, "<table>", "</table>")
        .iter()
        .map(|table| between(table, "<tr>", "</tr>").iter().map(|row| cells(row)).collect())
        .collect()
}

/// The cell of `model` under the heading that starts with `heading`, in the first table that has
/// both.
#[track_caller]
fn cell(tables: &[Vec<Vec<String>>], model: &str, heading: &str) -> String {
    let column =
        |table: &Vec<Vec<String>>| table[0].iter().position(|own| own.starts_with(heading));
    let found = tables.iter().find_map(|table| {
        let row = table[1..].iter().find(|row| row[0] == model)?;
        Some(row[column(table)?].clone())
    });
    found.unwrap_or_else(|| panic!("no {heading:?} of {model} in {tables:?}"))
}

/// `mean (low–high)` as a page prints an interval.
fn interval(interval: &Value, factor: f64, digits: usize, unit: &str) -> String {
    let part = |name: &str| interval[name].as_f64().map(|value| factor * value);
    let range = part("low")
        .zip(part("high"))
        .map(|(low, high)| format!(" ({low:.digits$}–{high:.digits$})"));
    format!("{:.digits$}{unit}{}", part("mean").unwrap(), range.unwrap_or_default())
}

fn label(model: &Value) -> String {
    let (bits, stage) =
        (model["variant"]["bits"].as_str().unwrap(), model["variant"]["stage"].as_str().unwrap());
    match stage {
        "float" => "float".into(),
        "float-continued" => "float continued".into(),
        "quantization-aware" => format!("({bits})"),
        _ => format!("({bits}) PTQ"),
    }
}

#[test]
fn one_run_two_shards_and_a_killed_run_give_the_same_report() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, shared, killed] =
        ["whole", "shared", "killed"].map(|name| folder.path().join(name));
    let summary: Value = serde_json::from_str(&succeed(study(&whole, &["--json"]))).unwrap();
    assert_eq!(results(&whole).len(), 8);

    // Two machines that share a folder: a part each, then the report.
    succeed(study(&shared, &["--shard", "2/2"]));
    assert_eq!(results(&shared).len(), 4);
    let incomplete: Value = serde_json::from_str(&succeed({
        let mut command = saliq(&["report", "--json"]);
        command.arg(&shared);
        command
    }))
    .unwrap();
    assert_eq!(incomplete["missing"].as_array().unwrap().len(), 4);
    // The schema is made of these and of reports of what was not trained here.
    let reports = [written_reports(&folder.path().join("written")), vec![summary.clone()]];
    support::schema::hold("reproduce", &[&reports.concat()[..], &[incomplete]].concat());
    let mut slurm = study(&shared, &[]);
    slurm.envs([
        ("SLURM_ARRAY_TASK_ID", "0"),
        ("SLURM_ARRAY_TASK_MIN", "0"),
        ("SLURM_ARRAY_TASK_COUNT", "2"),
    ]);
    succeed(slurm);

    kill_half_way(&killed);
    succeed(study(&killed, &[]));
    for file in REPORT {
        let expected = fs::read(whole.join(file)).unwrap();
        assert!(fs::read(shared.join(file)).unwrap() == expected, "{file} of two shards differs");
        assert!(
            fs::read(killed.join(file)).unwrap() == expected,
            "{file} of the killed run differs"
        );
    }

    // What is there is not made again: a study without its training data's results still has its
    // report in an instant.
    let model = results(&whole)[0].with_file_name("model.safetensors");
    let before = fs::metadata(&model).unwrap().modified().unwrap();
    succeed(study(&whole, &[]));
    assert_eq!(fs::metadata(&model).unwrap().modified().unwrap(), before);

    plan_says_what_is_done(&whole);
    commands_give_the_numbers_again(&whole, &summary);

    // The numbers on the page are the numbers in the JSON.
    let written: Value =
        serde_json::from_slice(&fs::read(whole.join("report.json")).unwrap()).unwrap();
    assert_eq!(written, summary);
    let html = fs::read_to_string(whole.join("report.html")).unwrap();
    let tables = tables(&html);
    let models = written["models"].as_array().unwrap();
    assert_eq!(models.len(), 4);
    for model in models {
        let name = label(model);
        let (map, own) = (&model["methods"]["gradient"], |heading| cell(&tables, &name, heading));
        assert_eq!(own("test accuracy"), interval(&model["accuracy"], 100.0, 2, " %"));
        assert_eq!(own("loss"), format!("{:.4}", model["loss"]["mean"].as_f64().unwrap()));
        // A float model that was trained on costs what it did: it has no row of its own.
        if name != "float continued" {
            assert_eq!(
                own("bit operations").replace(',', ""),
                model["cost"]["bit-operations"].to_string()
            );
            assert_eq!(
                own("FLOPs as the paper").replace(',', ""),
                model["cost"]["paper-operations"].to_string()
            );
        }
        assert_eq!(own("random"), format!("{:.3}", model["random-area"].as_f64().unwrap()));
        assert_eq!(own("gradient"), interval(&map["drop-area"], 1.0, 3, ""));
        assert_eq!(own("Gini"), interval(&map["gini"], 1.0, 3, ""));
        assert_eq!(own("entropy"), interval(&map["entropy"], 1.0, 2, ""));
        assert_eq!(own("max-sensitivity"), interval(&map["sensitivity"], 1.0, 3, ""));
        if !name.contains("PTQ") {
            assert_eq!(
                own("50 % removed"),
                format!("{:.2} %", 100.0 * map["retrained"][0][1].as_f64().unwrap())
            );
        }
        if name != "float" {
            assert_eq!(own("Spearman"), interval(&map["spearman"], 1.0, 3, ""));
            assert!(own("points from control").contains("(p "), "{}", own("points from control"));
            let control = if name == "(2,2)" { "float continued" } else { "float" };
            assert_eq!((own("control"), own("with the maps of")), (control.into(), control.into()));
        }
        let check = tables.iter().find(|table| table[0].contains(&"zeros".to_string())).unwrap();
        let layers = map["randomisation"].as_array().unwrap();
        assert_eq!(layers.len(), 4);
        assert_eq!(
            cell(std::slice::from_ref(check), &name, "gradient"),
            interval(&layers[3]["spearman"], 1.0, 2, "")
        );
    }
    assert_eq!(cell(&tables, "(2,2)", "paper, whole set"), "90.19 %");
    differences_are_to_the_control(&whole, &written);
    the_page_says_what_ran(&whole, &tables, &written);
    assert!(
        html.contains("Made: 8 of 8 models (preset tiny), 2 seeds each"),
        "{}",
        written["scope"]
    );
    for finding in written["findings"].as_array().unwrap() {
        let escaped = finding
            .as_str()
            .unwrap()
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        assert!(html.contains(&escaped), "{finding} is not on the page");
    }
    assert!(
        html.contains("conv2.weight, 2 bits")
            && html.contains("act1: α")
            && html.contains("conv2: lowest and highest quantized weight")
    );
    assert!(
        !html.contains("<script") && !html.contains("src=\"http"),
        "the page must be self-contained"
    );
}

fn plan_says_what_is_done(whole: &Path) {
    let plan = |folder: &Path| -> Value {
        serde_json::from_str(&succeed(study(folder, &["--plan", "--json"]))).unwrap()
    };
    let done = plan(whole);
    assert_eq!((done["seconds"].as_f64(), done["runs"].as_array().unwrap().len()), (Some(0.0), 8));
    for run in done["runs"].as_array().unwrap() {
        assert!(run["finished"] == true && run["taken_seconds"].as_f64().unwrap() > 0.0, "{run}");
    }
    let new = whole.with_file_name("new");
    let open = plan(&new);
    assert!(!new.exists(), "a plan makes nothing");
    for run in open["runs"].as_array().unwrap() {
        assert!(run["finished"] == false && run["seconds"].as_f64().unwrap() > 0.0, "{run}");
    }
    support::schema::hold("reproduce-plan", &[done, open]);
}

/// The page's commands for a model of the second seed.
fn commands_give_the_numbers_again(whole: &Path, summary: &Value) {
    let html = fs::read_to_string(whole.join("report.html")).unwrap();
    let run = |start: &str, folder: &str, out: &str| -> Value {
        let line = html
            .lines()
            .find(|line| {
                line.trim_start_matches("<pre><code>").starts_with(start) && line.contains(folder)
            })
            .unwrap();
        let line = line.split("saliq ").nth(1).unwrap().split('<').next().unwrap();
        let mut command = saliq(&line.split(' ').collect::<Vec<_>>());
        command.current_dir(whole).arg("--quiet");
        succeed(command);
        serde_json::from_slice(&fs::read(whole.join(out)).unwrap()).unwrap_or_default()
    };
    let result = |folder: &str| -> Value {
        serde_json::from_slice(
            &fs::read(whole.join("runs").join(folder).join("result.json")).unwrap(),
        )
        .unwrap()
    };
    let folders: Vec<String> = results(whole)
        .iter()
        .map(|path| path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let quantized = folders.iter().find(|folder| folder.contains("2-2-sgt-1")).unwrap();
    let own = result(quantized);
    let drop = run("saliq drop", quantized, &format!("again/{quantized}-drop/drop.json"));
    assert_eq!(drop["curves"][0]["area"], own["methods"]["gradient"]["drop-area"]);
    let compare = run(
        "saliq compare",
        &format!("{quantized} "),
        &format!("again/{quantized}-maps/compare.json"),
    );
    let theirs = &compare["models"][1]["methods"][0];
    assert_eq!(theirs["randomisation"], own["methods"]["gradient"]["randomisation"]);
    // The same model, whoever quantizes it.
    let post = folders.iter().find(|folder| folder.contains("2-2-ptq-sgt-1")).unwrap();
    run("saliq quantize", post, "report.json");
    let parameters = |path: PathBuf| {
        let bytes = fs::read(path.join("model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<_> = file
            .tensors()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.data().to_vec()))
            .collect();
        tensors.sort();
        tensors
    };
    assert!(
        parameters(whole.join("again").join(post)) == parameters(whole.join("runs").join(post)),
        "another model"
    );
    assert_eq!(summary["models"].as_array().unwrap().len(), 4);
}

/// Accuracies and maps of a quantized model are held against those of the model that differs in
/// nothing but the bits.
fn differences_are_to_the_control(whole: &Path, summary: &Value) {
    let plan: Value = serde_json::from_slice(&fs::read(whole.join("plan.json")).unwrap()).unwrap();
    let result = |run: &Value| -> Value {
        let path = whole.join("runs").join(run["folder"].as_str().unwrap()).join("result.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let runs = plan["runs"].as_array().unwrap();
    for model in summary["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|model| model["variant"]["stage"] != "float")
    {
        let own = runs.iter().filter(|run| run["variant"] == model["variant"]);
        let pairs: Vec<(Value, Value)> = own
            .map(|run| (result(run), result(&runs[run["control"].as_u64().unwrap() as usize])))
            .collect();
        let mean = |value: &dyn Fn(&Value) -> f64| {
            pairs.iter().map(|(own, control)| value(own) - value(control)).sum::<f64>()
                / pairs.len() as f64
        };
        let close = |a: &Value, b: f64| (a["mean"]["mean"].as_f64().unwrap() - b).abs() < 1e-9;
        assert!(
            close(
                &model["accuracy-difference"],
                mean(&|result| result["accuracy"].as_f64().unwrap())
            ),
            "{model}"
        );
        let gini = |result: &Value| {
            let all = result["methods"]["gradient"]["gini"].as_array().unwrap();
            all.iter().map(|value| value.as_f64().unwrap()).sum::<f64>() / all.len() as f64
        };
        assert!(close(&model["methods"]["gradient"]["gini-difference"], mean(&gini)), "{model}");
        // The same seed, and the same steps where both are trained.
        for run in runs.iter().filter(|run| run["variant"] == model["variant"]) {
            let control = &runs[run["control"].as_u64().unwrap() as usize];
            assert_eq!(
                (&run["seed"], &run["variant"]["sgt"]),
                (&control["seed"], &control["variant"]["sgt"])
            );
            if model["variant"]["stage"] == "quantization-aware" {
                assert_eq!(
                    (&run["start"], &run["work"]["steps"]),
                    (&control["start"], &control["work"]["steps"])
                );
            }
        }
    }
}

/// What the page says of how its models were made.
fn the_page_says_what_ran(whole: &Path, tables: &[Vec<Vec<String>>], summary: &Value) {
    let own = |model: &str, heading: &str| cell(tables, model, heading);
    assert_eq!(
        [own("(2,2), SGT", "steps"), own("float continued, SGT", "steps")],
        ["3 + 2", "3 + 2"]
    );
    assert_eq!(
        [own("float, SGT", "starts from"), own("(2,2), SGT", "starts from")],
        ["random weights", "float"]
    );
    assert_eq!(
        [own("(2,2), SGT", "weights"), own("float continued, SGT", "weights")],
        ["sawb, per channel", "float"]
    );
    assert_eq!(
        [own("(2,2) PTQ, SGT", "steps"), own("(2,2) PTQ, SGT", "weights")],
        ["3 + 0", "lsq, per channel"]
    );
    assert_eq!(
        [own("(2,2), SGT", "λ"), own("(2,2), SGT", "masked")],
        ["1", "50 %, lowest signed, uniform"]
    );
    let html = fs::read_to_string(whole.join("report.html")).unwrap();
    for text in [
        "replaced by the image's corner pixel (0, 0); 8 test images",
        "Models that start from the float model begin where its training ended, after 3 steps.",
        "Holm's rule",
        "made",
        "2026-11-24",
    ] {
        assert!(html.contains(text), "{text} is not on the page");
    }
    // A p says how many were tested with it.
    let tests: u64 = summary["families"]
        .as_array()
        .unwrap()
        .iter()
        .map(|family| family["tests"].as_u64().unwrap())
        .sum();
    // Accuracy, faithfulness, sparseness, complexity and stability of three models.
    assert_eq!(tests, 15, "{}", summary["families"]);
    assert!(html.contains("15 tests (models against their controls, accuracy and gradient maps)"));
}

#[test]
fn a_failed_model_does_not_end_the_study() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "reproduce",
        "--preset",
        "tiny",
        "--bits",
        "2,2",
        "--sgt",
        "false",
        "--lr",
        "1e30",
        "--quiet",
        "--out",
    ];
    let output = saliq(&arguments).arg(folder.path()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.lines().last().unwrap().starts_with("error: "), "{error}");
    assert_eq!(
        fs::read_dir(folder.path().join("runs")).unwrap().count(),
        4,
        "every model was tried"
    );
}

#[test]
fn a_plan_needs_no_images() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = saliq(&[
        "reproduce",
        "--preset",
        "paper",
        "--plan",
        "--json",
        "--seeds",
        "1",
        "--bits",
        "2,2",
    ]);
    command
        .args(["--dataset", "mnist", "--sgt", "false", "--batch-size", "8", "--out"])
        .arg(folder.path().join("study"));
    // Wherever the data are on this machine.
    command
        .env("XDG_CACHE_HOME", folder.path())
        .env("HOME", folder.path())
        .env_remove("SALIQ_DATA_DIR");
    let plan: Value = serde_json::from_str(&succeed(command)).unwrap();
    // From scratch: the float model itself has as many steps.
    assert_eq!(plan["runs"].as_array().unwrap().len(), 3, "{plan}");
    // 60,000 images in batches of 8.
    assert_eq!(plan["runs"][0]["steps"].as_u64().unwrap() % 7500, 0, "{plan}");
}

/// Two studies that differ in what they remove features with, and in where they start.
#[test]
fn captions_say_what_ran() {
    let markdown = |fill: Fill| {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = support::study::write(folder.path(), "mnist");
        plan.judgement.fill = fill;
        plan.write(folder.path()).unwrap();
        report::write(folder.path()).unwrap();
        let kl = fs::read_to_string(folder.path().join("mnist-kl.svg")).unwrap();
        (fs::read_to_string(folder.path().join("report.md")).unwrap(), kl)
    };
    for (fill, words) in [
        (Fill::Zero, "replaced by 0 after normalisation"),
        (Fill::Mean, "replaced by the image's mean"),
    ] {
        let (text, kl) = markdown(fill);
        let caption = text.lines().find(|line| line.starts_with("Fig. 3: ")).unwrap();
        assert!(caption.contains(words), "{caption}");
        assert!(text.contains(&format!("--fill {}", fill.name())), "the command has another fill");
        assert!(!text.contains("corner"), "{text}");
        // Steps 1 and 2 after the 3 of the float model.
        assert!(kl.contains("step, those of the start included") && kl.contains(">\n5\n<"), "{kl}");
        assert!(
            text.contains("begin where its training ended, after 3 steps")
                && !text.contains("Mean over the seeds")
        );
    }
}

/// Standard output and standard error of a plan inside an array job.
fn planned_in(variables: &[(&str, &str)], more: &[&str]) -> (Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = saliq(&[
        "reproduce",
        "--preset",
        "tiny",
        "--bits",
        "2,2",
        "--sgt",
        "true",
        "--seeds",
        "2",
        "--plan",
        "--json",
    ]);
    command
        .arg("--out")
        .arg(folder.path().join("study"))
        .args(more)
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    (serde_json::from_slice(&output.stdout).unwrap(), error)
}

/// Reports of artificial studies: with goals and both trainings, a narrow one, one with gaps.
#[test]
fn reports_have_their_schema() {
    let folder = tempfile::tempdir().unwrap();
    support::schema::fits("reproduce", &written_reports(folder.path()));
}

/// Reports in `root` of studies whose results are written, not measured: of every kind of model,
/// of few, and with a gap.
fn written_reports(root: &Path) -> Vec<Value> {
    let report_of = |name: &str, preset, sgt, gap: bool| -> Value {
        let root = root.join(name);
        let plan = support::study::plan_of(preset, "mnist", sgt);
        support::study::write_results(&root, &plan, "mnist");
        if gap {
            fs::remove_file(plan.folder(&root, 1).join("result.json")).unwrap();
        }
        let mut command = saliq(&["report", "--json"]);
        command.arg(&root);
        serde_json::from_str(&succeed(command)).unwrap()
    };
    let wide = report_of("wide", Preset::Best, None, false);
    assert!(!wide["trainings"].as_array().unwrap().is_empty());
    assert!(wide["models"].as_array().unwrap().iter().any(|model| model["goal"].is_number()));
    let narrow = report_of("narrow", Preset::Tiny, Some(true), false);
    let gap = report_of("gap", Preset::Tiny, Some(true), true);
    assert!(!gap["missing"].as_array().unwrap().is_empty());
    vec![wide, narrow, gap]
}

#[test]
fn an_array_job_takes_a_part_and_says_so() {
    let runs = |plan: &Value| plan["runs"].as_array().unwrap().len();
    let slurm = |task| {
        [
            ("SLURM_ARRAY_TASK_ID", task),
            ("SLURM_ARRAY_TASK_MIN", "0"),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
        ]
    };
    let (plan, said) = planned_in(&slurm("1"), &[]);
    assert_eq!((runs(&plan), plan["shard"].as_str()), (4, Some("2/3")));
    assert!(said.contains("part 2/3 of the study, from SLURM_ARRAY_TASK_ID=1"), "{said}");
    // Two groups for three parts: the third has nothing, and says why.
    let (plan, _) = planned_in(&slurm("2"), &[]);
    assert_eq!((runs(&plan), plan["shard"].as_str()), (0, Some("3/3")));
    let (plan, said) = planned_in(&slurm("2"), &["--shard", "none"]);
    assert_eq!(
        (runs(&plan), plan["shard"].as_str(), said.contains("SLURM")),
        (8, Some("1/1"), false)
    );
    // Which part of how many is not known: nothing is guessed in silence.
    let (plan, said) = planned_in(&[("JOB_COMPLETION_INDEX", "0")], &[]);
    assert!(
        runs(&plan) == 8
            && said.contains("JOB_COMPLETION_INDEX=0")
            && said.contains("JOB_COMPLETIONS"),
        "{said}"
    );
}

#[test]
fn a_part_without_models_says_so_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let study = folder.path().join("study");
    let mut command = saliq(&[
        "reproduce",
        "--preset",
        "tiny",
        "--bits",
        "2,2",
        "--sgt",
        "true",
        "--shard",
        "2/2",
        "--out",
    ]);
    command.arg(&study);
    let printed = succeed(command);
    assert!(
        printed.contains("part 2/2 has no models: the study has 1 group of models"),
        "{printed}"
    );
    assert!(!study.join("runs").exists());
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
