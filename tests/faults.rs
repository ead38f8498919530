//! Faults of a run's process and files: the process is killed, files are damaged, the disk fills
//! up. In each case the final result equals that of an undisturbed run, byte for byte. (Faults of
//! the device and of numbers: `health.rs`.)

mod common;
mod support;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use common::Random;
use support::{
    Running, SMALL_NETWORK, failure, metric_lines, run_result, saliq, soak_number, text,
};

/// A small quantized run: 24 steps, 4 per epoch, a checkpoint after each.
const SETTINGS: &str = "train-limit = 32\n\
                        test-limit = 8\n\
                        batch-size = 8\n\
                        steps = 24\n\
                        lr = 0.05\n\
                        bits = \"4,2\"\noptimizer = \"momentum\"\ncheckpoint-every = 1\n";

/// A folder for disturbed runs, with a configuration and the result of an undisturbed run.
struct Bench {
    folder: tempfile::TempDir,
    config: PathBuf,
    expected: (Vec<u8>, Vec<String>),
}

impl Bench {
    fn new(settings: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("run.toml");
        std::fs::write(&config, format!("{settings}{SMALL_NETWORK}")).unwrap();
        let mut bench = Bench { folder, config, expected: Default::default() };
        let whole = bench.out("whole");
        let output = bench.train(&whole, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        bench.expected = run_result(&whole);
        bench
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that trains in `out`. Pipelines are cached between the runs of a test, as for
    /// users.
    fn train(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = saliq();
        command
            .args(["train", "--json", "--config", text(&self.config), "--out", text(out)])
            .args(more);
        command.env("SALIQ_PIPELINE_CACHE", self.folder.path().join("pipelines"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs the training in `out` to its end and compares the result; returns its messages.
    #[track_caller]
    fn assert_finishes(&self, out: &Path, what: &str) -> String {
        let output = self.train(out, &["--resume"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{what}: {said}");
        self.assert_same(out, what);
        said
    }

    #[track_caller]
    fn assert_same(&self, out: &Path, what: &str) {
        let (model, lines) = run_result(out);
        assert_eq!(lines, self.expected.1, "{what}: other lines");
        assert!(model == self.expected.0, "{what}: another model");
    }
}

/// Waits until `done`, or until the process ends. No time is measured.
fn wait_until(process: &mut Child, mut done: impl FnMut() -> bool) {
    while !done() {
        assert!(process.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `kill -9` at `kills` random moments: during start, training, writing, or after the end.
fn killed(kills: u32, seed: u64) {
    let bench = Bench::new(SETTINGS);
    let started = std::time::Instant::now();
    let out = bench.out("timed");
    assert_eq!(bench.train(&out, &[]).status().unwrap().code(), Some(0));
    let whole = started.elapsed().as_micros() as u32;
    let mut random = Random(seed);
    let (mut out, mut runs, mut fallen) = (bench.out("run 0"), 0, 0);
    while fallen < kills {
        let mut process = bench.train(&out, &["--resume"]).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(random.below(whole + whole / 4))));
        if process.try_wait().unwrap().is_none() {
            process.kill().unwrap();
            fallen += 1;
        }
        let output = process.wait_with_output().unwrap();
        if output.status.code() == Some(0) {
            bench.assert_same(&out, &format!("run {runs} after {fallen} kills"));
            runs += 1;
            out = bench.out(&format!("run {runs}"));
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), None, "{said}");
        }
    }
    bench.assert_finishes(&out, "after the last kill");
    let leftovers = std::fs::read_dir(&out).unwrap().flatten().map(|entry| entry.file_name());
    let leftovers: Vec<_> =
        leftovers.filter(|name| name.to_string_lossy().starts_with(".saliq-")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    println!("{fallen} kills, {} runs came to the same end", runs + 1);
}

#[test]
fn killed_at_random_moments() {
    killed(6, 1);
}

/// `make soak`; `SALIQ_SOAK_KILLS` sets another number of kills.
#[test]
#[ignore = "minutes: make soak"]
fn killed_at_two_hundred_random_moments() {
    killed(soak_number("SALIQ_SOAK_KILLS", 200) as u32, 2);
}

/// The newest checkpoint is cut, changed or missing, or a line is half written: the run continues
/// from the last good state and says so in one line.
#[test]
fn torn_files() {
    let bench = Bench::new(SETTINGS);
    let out = bench.out("torn");
    let stopped = bench.train(&out, &["--steps", "12"]).status().unwrap();
    assert_eq!(stopped.code(), Some(0));
    let [newest, metrics] = ["checkpoint.safetensors", "metrics.jsonl"].map(|name| out.join(name));
    let kept: Vec<_> = ["checkpoint.safetensors", "checkpoint.1.safetensors", "metrics.jsonl"]
        .map(|name| (out.join(name), std::fs::read(out.join(name)).unwrap()))
        .into();
    let good = &kept[0].1;
    let mut flipped = good.clone();
    flipped[good.len() - 9] ^= 4;
    for (what, damaged) in [
        ("cut", Some(&good[..good.len() / 2])),
        ("a flipped bit", Some(&flipped[..])),
        ("gone", None),
    ] {
        kept.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
        match damaged {
            Some(bytes) => std::fs::write(&newest, bytes).unwrap(),
            None => std::fs::remove_file(&newest).unwrap(),
        }
        let said = bench.assert_finishes(&out, what);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("checkpoint.safetensors") && said.contains("of step 11"),
            "{what}: {said}"
        );
    }
    // Lines that the checkpoint does not know, and a torn line.
    kept.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    let torn = [&kept[2].1[..], b"{\"kind\":\"step\",\"step\":13}\n{\"kind\":\"st"].concat();
    std::fs::write(&metrics, torn).unwrap();
    assert_eq!(bench.assert_finishes(&out, "a torn line"), "");
}

/// Good files are never replaced by starting over: other settings, other images, missing lines and
/// a shorter run are refused, and no file is touched.
#[test]
fn resume_replaces_nothing_that_is_good() {
    let bench = Bench::new(SETTINGS);
    let out = bench.out("whole");
    let files = [
        "config.toml",
        "metrics.jsonl",
        "model.safetensors",
        "checkpoint.safetensors",
        "checkpoint.1.safetensors",
    ];
    let contents = || files.map(|name| std::fs::read(out.join(name)).unwrap_or_default());
    let good = contents();
    let refused = |what: &str, more: &[&str], before: &dyn Fn()| {
        files
            .iter()
            .zip(&good)
            .for_each(|(name, bytes)| std::fs::write(out.join(name), bytes).unwrap());
        before();
        let left = contents();
        let message =
            failure(&bench.train(&out, &[&["--resume"], more].concat()).output().unwrap(), 2);
        assert!(contents() == left, "{what}: something was written");
        message
    };
    let nothing = || {};
    let more: [&[&str]; 4] = [
        &["--optimizer", "adam"],
        &["--lr", "0.01"],
        &["--test-limit", "4"],
        &["--on-non-finite", "skip"],
    ];
    for more in more {
        let message = refused(&format!("{more:?}"), more, &nothing);
        assert!(
            message.contains("other settings") && message.contains("checkpoint.safetensors"),
            "{more:?}: {message}"
        );
    }
    let wider = SMALL_NETWORK.replace("out-channels = 8", "out-channels = 12");
    let message = refused("another network", &[], &|| {
        std::fs::write(&bench.config, format!("{SETTINGS}{wider}")).unwrap()
    });
    assert!(message.contains("other settings"), "{message}");
    std::fs::write(&bench.config, format!("{SETTINGS}{SMALL_NETWORK}")).unwrap();
    let torn = || {
        std::fs::write(out.join("checkpoint.safetensors"), &good[3][..good[3].len() / 2]).unwrap()
    };
    assert!(
        refused("torn, and other settings", &["--lr", "0.01"], &torn)
            .contains("checkpoint.1.safetensors")
    );
    let message =
        refused("without lines", &[], &|| std::fs::remove_file(out.join("metrics.jsonl")).unwrap());
    assert!(message.contains("metrics.jsonl") && message.contains("--force"), "{message}");
    let message = refused("a shorter run", &["--steps", "12"], &nothing);
    assert!(message.contains("step 24") && message.contains("step 12"), "{message}");
}

/// A second process is refused; the lock file of a killed process does not lock.
#[test]
fn two_processes_in_one_folder() {
    let bench = Bench::new(SETTINGS);
    let out = bench.out("shared");
    let mut first = Running::start(&mut bench.train(&out, &["--steps", "100000000"]));
    wait_until(&mut first, || lines_there(&out));
    for start in ["--resume", "--force"] {
        let second = bench.train(&out, &[start]).output().unwrap();
        let message = failure(&second, 1);
        let number = format!("process {}", first.id());
        assert!(message.contains("another run") && message.contains("--out"), "{message}");
        assert!(cfg!(windows) || message.contains(&number), "{message}");
    }
    assert!(first.try_wait().unwrap().is_none(), "the first run was disturbed");
    first.kill().unwrap();
    first.wait().unwrap();
    let again = bench.train(&bench.out("shared"), &["--force"]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    bench.assert_same(&out, "after a stale lock");
}

fn lines_in(out: &Path) -> usize {
    std::fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default().lines().count()
}

fn lines_there(out: &Path) -> bool {
    std::fs::metadata(out.join("metrics.jsonl")).is_ok_and(|metadata| metadata.len() > 0)
}

/// The lines that a process has printed so far, collected while it runs.
struct Said(std::sync::Arc<std::sync::Mutex<String>>);

impl Said {
    fn by(process: &mut Child) -> Said {
        use std::io::{BufRead, BufReader};
        let text = std::sync::Arc::<std::sync::Mutex<String>>::default();
        let (shared, pipe) = (text.clone(), process.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut text = shared.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        Said(text)
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Compiles a file of `tests/support` to a shared library.
#[cfg(target_os = "linux")]
fn compile_shared(source: &str, library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support").join(source);
    let mut compiler = Command::new("gcc");
    compiler
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg(source)
        .arg("-o")
        .arg(library)
        .arg("-ldl");
    let compiled = compiler.output().expect("gcc is installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

/// A disk for the runs of one test; the test decides whether it has room.
#[cfg(target_os = "linux")]
struct Disk {
    library: PathBuf,
    folder: PathBuf,
    marker: PathBuf,
}

#[cfg(target_os = "linux")]
impl Disk {
    fn new(bench: &Bench) -> Disk {
        // Paths in the form of /proc.
        let folder = bench.folder.path().canonicalize().unwrap();
        let (library, marker) = (folder.join("full_disk.so"), folder.join("no room"));
        compile_shared("full_disk.c", &library);
        Disk { library, folder, marker }
    }

    /// Runs `command` with its files on this disk.
    fn hold(&self, command: &mut Command) -> Running {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FULL_DISK", &self.folder)
            .env("FULL_DISK_WHEN", &self.marker);
        Running::start(command)
    }

    fn fill(&self) {
        std::fs::write(&self.marker, "").unwrap();
    }

    fn clear(&self) {
        std::fs::remove_file(&self.marker).unwrap();
    }
}

/// A disk that fills up during a run; only writes fail. Training continues, prints a message and
/// tries again. No line is lost once there is room.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let bench = Bench::new(SETTINGS);
    let disk = Disk::new(&bench);
    let long = ["--steps", "100000000", "--log-every", "1"];
    let out = bench.out("full");
    let mut process = disk.hold(&mut bench.train(&out, &long));
    let said = Said::by(&mut process);
    wait_until(&mut process, || lines_there(&out));
    disk.fill();
    wait_until(&mut process, || {
        let text = said.text();
        text.contains("metrics.jsonl") && text.contains("no checkpoint was written")
    });
    assert!(said.text().contains("No space left on device"), "{}", said.text());
    let before = std::fs::metadata(out.join("metrics.jsonl")).unwrap().len();
    disk.clear();
    wait_until(&mut process, || {
        let text = said.text();
        text.contains("no line is lost")
            && text.contains("checkpoints are written again")
            && lines_in(&out) >= 24
    });
    assert!(std::fs::metadata(out.join("metrics.jsonl")).unwrap().len() > before);
    assert!(
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(process.wait().unwrap().code(), Some(143));
    let text = said.text();
    assert_eq!(text.matches("training continues").count(), 2, "not said once each: {text}");
    // Every line once, in order.
    let steps: Vec<u64> = metric_lines(&out).iter().filter_map(|line| step_of(line)).collect();
    assert!(!steps.is_empty());
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
    assert_eq!(metric_lines(&out)[..24], bench.expected.1[..24]);

    // Without room for the final model, the command fails, and the run can be finished once there
    // is room.
    let out = bench.out("full at the end");
    let mut process = disk.hold(&mut bench.train(&out, &["--steps", "400"]));
    let said = Said::by(&mut process);
    wait_until(&mut process, || lines_there(&out));
    disk.fill();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    let text = said.text();
    let error =
        text.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(error.contains("model.safetensors"), "{error}");
    assert!(!out.join("model.safetensors").exists());
    disk.clear();
    let resumed = bench.train(&out, &["--steps", "400", "--resume"]).status().unwrap();
    assert_eq!(resumed.code(), Some(0));
    let steps: Vec<u64> = metric_lines(&out).iter().filter_map(|line| step_of(line)).collect();
    assert_eq!(steps, (1..=400).collect::<Vec<_>>());
}

/// A signal while nothing can be written: the message says from which step the run can continue,
/// however often checkpoints failed before.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_with_a_full_disk() {
    let bench = Bench::new(SETTINGS);
    let disk = Disk::new(&bench);
    let out = bench.out("full");
    let mut process =
        disk.hold(&mut bench.train(&out, &["--steps", "100000000", "--log-every", "1"]));
    let said = Said::by(&mut process);
    wait_until(&mut process, || out.join("checkpoint.safetensors").exists());
    disk.fill();
    wait_until(&mut process, || said.text().contains("no checkpoint was written"));
    assert!(
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(process.wait().unwrap().code(), Some(143));
    // The pipe may hold lines that are not collected yet.
    while !said.text().contains("error: ") {
        std::thread::sleep(Duration::from_millis(10));
    }
    let text = said.text();
    assert!(text.contains("--resume goes on from step"), "{text}");
    disk.clear();
    let left = lines_in(&out);
    let mut process = Running::start(
        &mut bench.train(&out, &["--steps", "100000000", "--log-every", "1", "--resume"]),
    );
    wait_until(&mut process, || lines_in(&out) > left.max(24));
    assert!(
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(process.wait().unwrap().code(), Some(143));
    assert_eq!(metric_lines(&out)[..24], bench.expected.1[..24]);
}

/// A folder that is moved away while a run writes to it: the run writes to no other folder of that
/// name.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_moved() {
    let bench = Bench::new(SETTINGS);
    let out = bench.out("moved");
    let mut process = Running::start(&mut bench.train(&out, &["--steps", "100000000"]));
    let said = Said::by(&mut process);
    wait_until(&mut process, || lines_there(&out));
    std::fs::rename(&out, bench.out("elsewhere")).unwrap();
    wait_until(&mut process, || said.text().contains("moved or deleted"));
    assert!(!out.exists(), "the folder was made again");
    let again = bench.train(&out, &[]).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(
        Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(process.wait().unwrap().code(), Some(143));
    bench.assert_same(&out, "beside a run whose folder was moved");
    assert_eq!(bench.assert_finishes(&out, "resumed beside a run whose folder was moved"), "");
}

/// The library of the software driver, from its manifest.
#[cfg(target_os = "linux")]
fn software_driver() -> String {
    let given = std::env::var("VK_DRIVER_FILES")
        .into_iter()
        .flat_map(|list| list.split(':').map(PathBuf::from).collect::<Vec<_>>());
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let installed =
        folders.iter().flat_map(std::fs::read_dir).flatten().flatten().map(|entry| entry.path());
    let is_software = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("lvp"))
    };
    let manifest = given
        .chain(installed)
        .find(is_software)
        .expect("no software driver: .ci/install-driver.sh installs one");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    manifest["ICD"]["library_path"].as_str().unwrap().into()
}

/// The driver reports a lost device during a wait, early and late. Training continues with another
/// device and has the same result; other commands end with one line.
#[cfg(target_os = "linux")]
#[test]
fn a_driver_that_loses_its_device() {
    let bench = Bench::new(SETTINGS);
    let library = bench.out("lost_device.so");
    compile_shared("lost_device.c", &library);
    let manifest = bench.out("lost_device.json");
    let content = serde_json::json!({
        "file_format_version": "1.0.0",
        "ICD": {"library_path": library, "api_version": "1.3.0"},
    });
    std::fs::write(&manifest, content.to_string()).unwrap();
    let losing = |command: &mut Command, after: u32| {
        command.env("VK_DRIVER_FILES", &manifest).env("LOST_DEVICE_DRIVER", software_driver());
        command
            .env("LOST_DEVICE_AFTER", after.to_string())
            .env("SALIQ_ADAPTER", "auto")
            .output()
            .unwrap()
    };
    for after in [1, 2, 5, 12, 30, 60, 100] {
        let out = bench.out(&format!("lost at {after}"));
        let output = losing(&mut bench.train(&out, &[]), after);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{after}: {said}");
        assert!(said.lines().count() == 1 && said.contains("device was lost"), "{after}: {said}");
        bench.assert_same(&out, &format!("a device lost at wait {after}"));
    }
    let whole = bench.out("whole");
    let explained = bench.out("maps");
    for arguments in [
        &["eval", text(&whole)][..],
        &["explain", text(&whole), "--count", "2", "--out", text(&explained)],
    ] {
        let message = failure(&losing(saliq().args(arguments), 1), 1);
        assert!(message.contains("device was lost"), "{message}");
    }
}

fn step_of(line: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    (value["kind"] == "step").then(|| value["step"].as_u64().unwrap())
}

/// A folder becomes read-only: checkpoints fail and training continues; later checkpoints succeed.
#[cfg(unix)]
#[test]
fn a_folder_that_becomes_read_only() {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    let bench = Bench::new(SETTINGS);
    let out = bench.out("read-only");
    std::fs::create_dir(&out).unwrap();
    let allow = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    let mut command = bench.train(&out, &["--steps", "100000000"]);
    // Permissions do not restrict the superuser, so the run belongs to another user, who cannot
    // read the superuser's folders.
    if Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n") {
        let program = bench.out("saliq");
        std::fs::copy(command.get_program(), &program).unwrap();
        let mut other = Command::new(&program);
        other.args(command.get_args()).stdout(Stdio::null()).stderr(Stdio::piped());
        for (name, value) in command.get_envs() {
            value.map(|value| other.env(name, value));
        }
        allow(bench.folder.path(), 0o755);
        allow(&out, 0o777);
        command = other;
        command.env("HOME", &out).env("SALIQ_PIPELINE_CACHE", "off").uid(65534);
    }
    let mut process = Running::start(&mut command);
    let said = Said::by(&mut process);
    wait_until(&mut process, || lines_there(&out));
    allow(&out, 0o555);
    wait_until(&mut process, || said.text().contains("no checkpoint was written"));
    allow(&out, 0o777);
    wait_until(&mut process, || {
        said.text().contains("checkpoints are written again") && lines_in(&out) >= 24
    });
    assert!(
        Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success()
    );
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert_eq!(metric_lines(&out)[..24], bench.expected.1[..24]);
}
