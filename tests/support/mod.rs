//! Common parts of tests of whole runs: golden files, small data sets, settings as TOML, the
//! program itself.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod schema;
pub mod study;

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use assert_cmd::cargo::CommandCargoExt;
use safetensors::{Dtype, SafeTensors};
use saliq::{
    config::{PartialRunConfig, PixelNormalization, RunConfig, Shape},
    data::{Dataset, Split, idx},
};

/// A file of `tests/goldens/` (or any tensor file) in memory.
pub struct Tensors(Vec<u8>);

impl Tensors {
    /// The golden file `name`.
    pub fn golden(name: &str) -> Tensors {
        Tensors::open(&golden(name))
    }

    /// Any tensor file.
    pub fn open(path: &Path) -> Tensors {
        Tensors(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// A tensor file's bytes.
    pub fn of(bytes: &[u8]) -> Tensors {
        Tensors(bytes.to_vec())
    }

    /// The range of the bytes of tensor `name` behind the header.
    pub fn place(&self, name: &str) -> std::ops::Range<usize> {
        let (_, header) = SafeTensors::read_metadata(&self.0).expect("a tensor file");
        let (start, end) =
            header.info(name).unwrap_or_else(|| panic!("no tensor {name}")).data_offsets;
        start..end
    }

    fn parsed(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).expect("a tensor file")
    }

    /// Names, types and shapes in the file, by name.
    pub fn contents(&self) -> Vec<(String, Dtype, Vec<usize>)> {
        let mut list: Vec<_> = self
            .parsed()
            .iter()
            .map(|(name, view)| (name.to_string(), view.dtype(), view.shape().to_vec()))
            .collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> Vec<u8> {
        let parsed = self.parsed();
        let view = parsed.tensor(name).unwrap_or_else(|_| panic!("no tensor {name}"));
        assert_eq!(view.dtype(), dtype, "{name}");
        view.data().to_vec()
    }

    pub fn f64(&self, name: &str) -> Vec<f64> {
        bytemuck::pod_collect_to_vec(&self.bytes(name, Dtype::F64))
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        bytemuck::pod_collect_to_vec(&self.bytes(name, Dtype::F32))
    }

    pub fn i64(&self, name: &str) -> Vec<i64> {
        bytemuck::pod_collect_to_vec(&self.bytes(name, Dtype::I64))
    }

    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.bytes(name, Dtype::U8)
    }

    /// How a golden file was made: the JSON under its metadata key `golden`.
    pub fn made(&self) -> serde_json::Value {
        let (_, header) = SafeTensors::read_metadata(&self.0).expect("a tensor file");
        let metadata = header.metadata().as_ref().expect("metadata");
        serde_json::from_str(&metadata["golden"]).expect("JSON")
    }

    /// `images` (u8) and `labels` (i64) as a split.
    pub fn split(&self) -> Split {
        Split {
            images: self.u8("images"),
            labels: self.i64("labels").into_iter().map(|label| label as u32).collect(),
        }
    }
}

/// The folder of the crate's sources: where it lies when tests run, or else where it lay when they
/// were built. A test program may run on another machine than built it (`benches/gpu.sh`).
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or(env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// The path of the golden file `name`.
pub fn golden(name: &str) -> PathBuf {
    root().join("tests/goldens").join(format!("{name}.safetensors"))
}

/// Shape of an MNIST image.
pub const MNIST: Shape = Shape::new(1, 28, 28);
/// MNIST's normalisation.
pub const NORMALIZATION: PixelNormalization = PixelNormalization::uniform(0.1307, 0.3081);

/// A data set of ten classes, named and normalised like MNIST.
pub fn mnist_like(train: Split, test: Split) -> Dataset {
    Dataset {
        name: "mnist".into(),
        shape: MNIST,
        classes: 10,
        class_names: (0..10).map(|digit| digit.to_string()).collect(),
        train,
        test,
        published_normalization: Some(NORMALIZATION),
        source: "test".into(),
        details: Default::default(),
    }
}

/// Settings in the form of a configuration file, resolved for `dataset`, with the run folder `out`.
pub fn run_config(settings: &str, dataset: &Dataset, out: &Path) -> RunConfig {
    let mut partial =
        PartialRunConfig::parse(settings, "test").unwrap_or_else(|error| panic!("{error}"));
    partial.out = Some(out.to_path_buf());
    saliq::config::resolve(partial, &dataset.info()).unwrap_or_else(|error| panic!("{error}"))
}

/// A process that is ended with the test, also with a failed one, because many would train for
/// days.
pub struct Running(std::process::Child);

impl Running {
    #[track_caller]
    pub fn start(command: &mut std::process::Command) -> Running {
        Running(command.spawn().unwrap())
    }
}

impl std::ops::Deref for Running {
    type Target = std::process::Child;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // There is nothing to do if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The built-in digits, read once.
pub fn mini() -> &'static Dataset {
    static MINI: std::sync::OnceLock<Dataset> = std::sync::OnceLock::new();
    MINI.get_or_init(|| saliq::data::load("mnist-mini", None).unwrap())
}

/// A small network for 1×28×28 images whose kernels are quick to compile.
pub const SMALL_NETWORK: &str = r#"
[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 8, kernel = 3, stride = 2 },
    { type = "activation", name = "act1" },
    { type = "conv", name = "conv2", out-channels = 8, kernel = 3, stride = 2 },
    { type = "activation", name = "act2" },
    { type = "max-pool", kernel = 2, stride = 2 },
    { type = "linear", name = "fc1", out-features = 10 },
]
"#;

/// Colour images of 3×11×13 in four distinguishable classes: each brightens its own corner and
/// channel.
pub fn colored(count: usize, seed: u64) -> Split {
    let mut random = crate::common::Random(seed);
    let mut split = Split::default();
    for image in 0..count {
        let class = image % 4;
        split.labels.push(class as u32);
        for channel in 0..3 {
            for row in 0..11 {
                for column in 0..13 {
                    let inside = (row < 5) == (class < 2) && (column < 6) == (class % 2 == 0);
                    let bright = if inside && channel == class % 3 { 150 } else { 0 };
                    split.images.push((bright + random.below(90)) as u8);
                }
            }
        }
    }
    split
}

/// Writes a folder of four IDX files.
pub fn write_folder(folder: &Path, shape: Shape, train: &Split, test: &Split) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (prefix, split) in [("train", train), ("t10k", test)] {
        let rank = if shape.channels == 1 { "idx3" } else { "idx4" };
        let mut images = Vec::new();
        idx::write_images(&mut images, shape, &split.images).expect("images");
        std::fs::write(folder.join(format!("{prefix}-images-{rank}-ubyte")), images)
            .expect("written");
        let mut labels = Vec::new();
        idx::write_labels(&mut labels, &split.labels).expect("labels");
        std::fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), labels)
            .expect("written");
    }
}

/// The program, started as cargo starts the tests: by the runner of the target, where there is one.
pub fn program() -> std::process::Command {
    std::process::Command::cargo_bin("saliq").expect("the program is built")
}

/// The program with a clean environment.
pub fn saliq() -> std::process::Command {
    let mut command = program();
    command
        .env("XDG_RUNTIME_DIR", std::env::temp_dir())
        .env("COLUMNS", "200")
        .env("SALIQ_PIPELINE_CACHE", "off");
    for variable in ["SALIQ_DATA_DIR", "RUST_BACKTRACE", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Runs the program with these arguments.
pub fn run(arguments: &[&str]) -> Output {
    saliq().args(arguments).output().expect("the program starts")
}

/// Runs it and expects success; standard output is returned.
#[track_caller]
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs it and expects success; standard output must be one JSON value.
#[track_caller]
pub fn json(arguments: &[&str]) -> serde_json::Value {
    let text = succeed(&[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// Expects a failure with exit code `code`: empty standard output, and on standard error only one
/// line `error: …`, which is returned without that prefix, and no panic message.
#[track_caller]
pub fn failure(output: &Output, code: i32) -> String {
    let error = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(error.lines().count(), 1, "not one line: {error}");
    assert!(!error.contains("panicked") && !error.contains("RUST_BACKTRACE"), "{error}");
    error
        .trim_end()
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("no `error: `: {error}"))
        .to_string()
}

/// [`failure`] of a run with these arguments.
#[track_caller]
pub fn refused(code: i32, arguments: &[&str]) -> String {
    failure(&run(&[arguments, &["--quiet"]].concat()), code)
}

/// A path as text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The model, and the lines of `metrics.jsonl` without the fields that a clock measured.
pub fn run_result(out: &Path) -> (Vec<u8>, Vec<String>) {
    let model = std::fs::read(out.join("model.safetensors")).unwrap();
    (model, metric_lines(out))
}

/// The lines of `metrics.jsonl`, each of which must be whole, without the fields that a clock
/// measured.
pub fn metric_lines(out: &Path) -> Vec<String> {
    let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    let without_times = |line: &str| {
        let mut value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        let object = value.as_object_mut().unwrap();
        object.remove("seconds");
        object.remove("images_per_second");
        value.to_string()
    };
    metrics.lines().map(without_times).collect()
}

/// Length of a test of `make soak`: the number in the environment, else `default`.
pub fn soak_number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}
