//! The functions that parse untrusted files, with checks of their results. The fuzzer and the
//! project's tests (`tests/fuzz_corpus.rs`) share these functions.

use std::{io::Write, path::Path};

use saliq::{
    Error, Result,
    check::{self, Outcome},
    config::{DatasetInfo, ModelConfig, PartialRunConfig, QuantizationOverrides, RunConfig, Shape},
    data::{self, FileFormat, idx},
    graph::Graph,
    import::onnx as onnx_files,
    model::Model,
    report,
    train::Checkpoint,
};

/// A target's name and function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 15] = [
    ("idx", idx),
    ("gzip", gzip),
    ("model", model),
    ("metadata", metadata),
    ("checkpoint", checkpoint),
    ("config", config),
    ("picture", picture),
    ("shader", shader),
    ("image", image),
    ("cifar", cifar),
    ("npy", npy),
    ("npz", npz),
    ("tensors", tensors),
    ("csv", csv),
    ("onnx", onnx),
];

const NAME: &str = "FILE";
/// The name of no known data set.
const DATASET: &str = "images";
const IMAGE: Shape = Shape::new(1, 28, 28);

/// An error is one line without control sequences for a terminal.
fn one_line<T>(result: Result<T>) -> Option<T> {
    result.map_err(|error| assert_one_line(&error)).ok()
}

fn assert_one_line(error: &Error) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}

/// Images and labels, raw or gzip. Written again, the result is the same.
pub fn idx(bytes: &[u8]) {
    let path = Path::new(NAME);
    if let Some(images) = one_line(idx::parse_images(path, bytes)) {
        assert_eq!(images.pixels.len(), images.count() * images.shape.elements() as usize);
        let mut again = Vec::new();
        idx::write_images(&mut again, images.shape, &images.pixels).expect("whole images");
        assert_eq!(idx::parse_images(path, &again).expect("our own file"), images);
    }
    if let Some(labels) = one_line(idx::parse_labels(path, bytes)) {
        let mut again = Vec::new();
        idx::write_labels(&mut again, &labels).expect("few labels");
        assert_eq!(idx::parse_labels(path, &again).expect("our own file"), labels);
    }
}

/// Decompresses the bytes behind gzip's magic number. Compressed, the bytes must be read back.
pub fn gzip(bytes: &[u8]) {
    let path = Path::new(NAME);
    let raw = [&[0x1f, 0x8b], bytes].concat();
    let _ = one_line(idx::parse_images(path, &raw));
    let _ = one_line(idx::parse_labels(path, &raw));
    // Not nested gzip.
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("memory");
        let packed = encoder.finish().expect("memory");
        assert_eq!(idx::parse_images(path, &packed).ok(), idx::parse_images(path, bytes).ok());
        assert_eq!(idx::parse_labels(path, &packed).ok(), idx::parse_labels(path, bytes).ok());
    }
}

/// An ONNX file without files beside it; the network that it becomes is one.
pub fn onnx(bytes: &[u8]) {
    if let Some(own) = one_line(onnx_files::read(Path::new(NAME), bytes, None)) {
        let _ = one_line(Graph::new(&own.network, &own.quantization));
        for parameter in &own.parameters {
            assert_eq!(parameter.values.len(), parameter.shape.iter().product::<usize>());
        }
    }
}

/// A model file; the result is consistent.
pub fn model(bytes: &[u8]) {
    if let Some(model) =
        one_line(Model::parse(Path::new(NAME), bytes, &QuantizationOverrides::default()))
    {
        consistent(&model);
    }
}

/// The bytes as the metadata of a model file without tensors, and of one with the tensors that the
/// metadata requires, if there are few.
pub fn metadata(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(config) = one_line(ModelConfig::from_metadata(text)) else { return };
    let again = config.to_metadata();
    assert_eq!(ModelConfig::from_metadata(&again).expect("our own text").to_metadata(), again);
    let file = |tensors: &[(String, Vec<usize>)]| {
        let mut header = serde_json::Map::new();
        header.insert("__metadata__".into(), serde_json::json!({ "saliq": text }));
        let mut offset = 0;
        for (name, shape) in tensors {
            let end = offset + 4 * shape.iter().product::<usize>();
            let described = serde_json::json!({
                "dtype": "F32", "shape": shape, "data_offsets": [offset, end],
            });
            header.insert(name.clone(), described);
            offset = end;
        }
        let header = serde_json::to_vec(&header).expect("text keys");
        [
            &(header.len() as u64).to_le_bytes()[..],
            &header,
            &1.0f32.to_le_bytes().repeat(offset / 4),
        ]
        .concat()
    };
    let overrides = QuantizationOverrides::default();
    let _ = one_line(Model::parse(Path::new(NAME), &file(&[]), &overrides));
    let Some(graph) = one_line(saliq::graph::Graph::new(&config.network, &config.quantization))
    else {
        return;
    };
    let layout = graph.layout;
    if layout.stored < 1 << 14 {
        let tensors: Vec<_> = layout
            .parameters
            .iter()
            .filter(|parameter| parameter.role != saliq::graph::ParameterRole::BatchCount)
            .map(|parameter| (parameter.name.clone(), parameter.shape.clone()))
            .collect();
        consistent(
            &Model::parse(Path::new(NAME), &file(&tensors), &overrides)
                .expect("everything it needs"),
        );
    }
}

fn consistent(model: &Model) {
    assert_eq!(model.parameters.len(), model.graph.layout.padded_length() as usize);
    assert!(model.parameters.iter().all(|value| value.is_finite()));
    if let Err(error) = model.require_alphas() {
        assert_one_line(&error);
    }
    assert!(!Model::tensors(&model.graph.layout, &model.parameters).is_empty());
}

/// A checkpoint of any network and optimiser.
pub fn checkpoint(bytes: &[u8]) {
    if let Some(checkpoint) = one_line(Checkpoint::parse(Path::new(NAME), bytes)) {
        let values = std::iter::once(&checkpoint.parameters).chain(&checkpoint.states).flatten();
        assert!(
            values.map(|value| 4 * usize::from(value.is_finite())).sum::<usize>() <= bytes.len()
        );
    }
}

/// A configuration file, resolved. Written out in full, it has the same meaning.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Some(partial) = one_line(PartialRunConfig::parse(text, NAME)) else { return };
    let info = DatasetInfo { name: DATASET.into(), shape: IMAGE, classes: 10 };
    let resolve =
        |partial: PartialRunConfig| -> Result<RunConfig> { saliq::config::resolve(partial, &info) };
    let Some(run) = one_line(resolve(partial)) else { return };
    let _ = one_line(saliq::graph::Graph::new(&run.network, &run.quantization));
    let written = run.to_toml();
    let again = resolve(PartialRunConfig::parse(&written, NAME).expect("our own text"))
        .expect("our own settings");
    assert_eq!(again, run, "{written}");
}

/// A picture for a network with grey images and for one with colour images.
pub fn picture(bytes: &[u8]) {
    for shape in [Shape::new(1, 5, 7), Shape::new(3, 4, 3)] {
        if let Some(picture) = one_line(report::parse_picture(Path::new(NAME), bytes, shape, false))
        {
            assert_eq!(picture.pixels.len(), shape.elements() as usize);
        }
    }
}

/// A picture of a data set, in any format.
pub fn image(bytes: &[u8]) {
    of_data_set(FileFormat::Picture, bytes);
}

/// A batch of CIFAR-10.
pub fn cifar(bytes: &[u8]) {
    of_data_set(FileFormat::Cifar, bytes);
}

/// An array of images.
pub fn npy(bytes: &[u8]) {
    of_data_set(FileFormat::Npy, bytes);
}

/// An archive of arrays.
pub fn npz(bytes: &[u8]) {
    of_data_set(FileFormat::Npz, bytes);
}

/// Images and labels as tensors.
pub fn tensors(bytes: &[u8]) {
    of_data_set(FileFormat::Safetensors, bytes);
}

/// Labels and pixels as text.
pub fn csv(bytes: &[u8]) {
    of_data_set(FileFormat::Csv, bytes);
}

/// A file of a data set: images and labels are whole.
fn of_data_set(format: FileFormat, bytes: &[u8]) {
    let Some((shape, split)) = one_line(data::parse(format, Path::new(NAME), bytes)) else {
        return;
    };
    let size = shape.elements() as usize;
    assert!(size > 0 && split.images.len().is_multiple_of(size));
    if !split.is_empty() {
        assert_eq!(split.images.len() / size, split.len());
        assert!(split.labels.iter().all(|&label| label < 1 << 16));
    }
}

/// A shader given to `saliq check`, with all of its outputs.
pub fn shader(bytes: &[u8]) {
    let report = check::check_bytes(NAME, bytes.to_vec());
    for (_, outcome) in report.stages() {
        if let Outcome::Fail { line, column, .. } | Outcome::Warn { line, column, .. } = outcome {
            assert!(line.is_none_or(|line| line >= 1) && column.is_none_or(|column| column >= 1));
        }
    }
    if report.failed() {
        assert!(check::verdict(std::slice::from_ref(&report)).is_err());
    }
    let reports = [report];
    assert!(!check::render_table(&reports).is_empty());
    assert!(!check::to_json(&reports).is_null());
    assert!(!check::render_text(&reports, &Default::default()).is_empty());
    assert!(!check::render_sarif(&reports).is_empty() && !check::render_junit(&reports).is_empty());
    assert!(
        check::render_github(&reports)
            .lines()
            .all(|line| line.is_empty() || line.starts_with("::"))
    );
}
