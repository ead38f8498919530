//! One thin function a command.

pub mod bench;
pub mod check;
pub mod compare;
pub mod cost;
pub mod data;
pub mod demo;
pub mod devices;
pub mod drop;
pub mod eval;
pub mod explain;
pub mod export;
mod judge;
pub mod quantize;
pub mod reproduce;
mod snapshots;
pub mod train;

use std::path::{Path, PathBuf};

use super::{
    args::{GlobalArgs, ModelInputArgs, Split},
    output::Output,
    tuning,
};
use crate::{
    Error, Result,
    config::{Normalize, NormalizeSpec, PartialRunConfig, short_name},
    data::{self as datasets, Dataset},
    gpu::{DeviceProfile, Gpu, GpuOptions},
    metrics::Cost,
    model::{MODEL_FILE, Model},
    pipelines::CachedGpu,
    train::RunFolder,
};

/// The adapter that `--adapter` names. `SALIQ_DEVICE_PROFILE=webgpu` asks for WebGPU's default limits and no optional feature.
fn open_gpu(global: &GlobalArgs) -> Result<CachedGpu> {
    let profile = match std::env::var("SALIQ_DEVICE_PROFILE").as_deref() {
        Ok("webgpu") => DeviceProfile::WebGpuDefaults,
        _ => DeviceProfile::Full,
    };
    let gpu = pollster::block_on(Gpu::new(&GpuOptions { adapter: global.adapter.clone(), profile }))?;
    log::info!("running on {}", gpu.adapter_description());
    tuning::activate(&global.tiles, &gpu)?;
    Ok(CachedGpu::new(gpu))
}

/// The data set that a model is to be run on, and how its pixels are normalised.
fn model_data(model: &Model, input: &ModelInputArgs) -> Result<(Dataset, (f32, f32))> {
    dataset_for(model, input.dataset.as_deref(), input.data_dir.as_deref(), input.normalize.as_ref())
}

/// As [`model_data`], from the flags themselves.
fn dataset_for(
    model: &Model,
    dataset: Option<&str>,
    data_dir: Option<&Path>,
    normalize: Option<&NormalizeSpec>,
) -> Result<(Dataset, (f32, f32))> {
    let trained_on = TrainedOn::of(model);
    let name = match (dataset, model.config.dataset.as_str()) {
        (Some(name), _) => name.to_string(),
        (None, "") => {
            return Err(Error::Usage("the model does not say what it was trained on; name a data set with --dataset".into()));
        }
        (None, own) => trained_on.dataset.unwrap_or_else(|| own.into()),
    };
    let dataset = datasets::load(&name, data_dir.or(trained_on.data_dir.as_deref()))?;
    if dataset.shape != model.config.network.input || dataset.classes > model.config.network.classes {
        return Err(Error::Data(format!(
            "{name} has images of {:?} and {} classes, the model takes {:?} and {}",
            <[u32; 3]>::from(dataset.shape),
            dataset.classes,
            <[u32; 3]>::from(model.config.network.input),
            model.config.network.classes
        )));
    }
    let own = model.config.normalize;
    let trained_here = !model.config.training.is_null();
    let normalization = match normalize {
        Some(spec) => dataset.normalization(&spec.0),
        None if trained_here => (own.mean, own.deviation),
        None => dataset.normalization(&Normalize::Standard),
    };
    Ok((dataset, normalization))
}

/// The config.toml of the run folder that a model is in, if it is in one.
fn settings_beside(model: &Model) -> Option<Result<PartialRunConfig>> {
    let in_folder = model.path.file_name().is_some_and(|name| name == MODEL_FILE);
    let file = model.path.parent().map(RunFolder::config_of).filter(|file| in_folder && file.exists())?;
    Some(PartialRunConfig::from_file(&file))
}

/// Where the data are that a model was trained on, as the config.toml beside it has it: the model itself holds no paths.
#[derive(Default)]
struct TrainedOn {
    dataset: Option<String>,
    data_dir: Option<PathBuf>,
}

impl TrainedOn {
    /// Nothing for a file outside a run folder, for a configuration that is another model's or cannot be read, and for folders that
    /// are no longer there: the name may still be found elsewhere.
    fn of(model: &Model) -> TrainedOn {
        let Some(Ok(settings)) = settings_beside(model) else { return TrainedOn::default() };
        if short_name(settings.dataset_name()) != model.config.dataset {
            return TrainedOn::default();
        }
        TrainedOn {
            dataset: settings.dataset.filter(|dataset| Path::new(dataset).is_dir()),
            data_dir: settings.data_dir.filter(|folder| folder.is_dir()),
        }
    }
}

/// Says so where a model calls its classes otherwise than the data set that it is run on: it was trained on something else.
fn note_other_classes(model: &Model, source: &str, class_names: &[String], output: &Output) {
    let own = &model.config.class_names;
    let differing = own.iter().zip(class_names).enumerate().find(|(_, (own, used))| own != used);
    if let Some((class, (own, used))) = differing {
        let path = model.path.display();
        output.note(&format!(
            "{path}: class {class} is {own} to the model, trained on {}, and {used} in {source}",
            model.config.dataset
        ));
    }
}

/// Says so where layers in float are most of a quantized model's bytes.
fn note_float_bulk(cost: &Cost, output: &Output) {
    if let Some(bulk) = cost.float_bulk() {
        output.note(&bulk);
    }
}

/// Models that are to be looked at side by side, but were trained on different images.
fn different_images(one: &str, other: &str) -> Error {
    Error::Usage(format!("{one} and {other} were trained on different images; name the ones to use for both with --dataset"))
}

/// Refuses a file where the folder of a command's results is to be, before the work rather than after it.
fn refuse_file(out: &Path) -> Result<()> {
    if out.exists() && !out.is_dir() {
        return Err(Error::Usage(format!("--out {}: is a file; name a folder for the results", out.display())));
    }
    Ok(())
}

/// Makes the folder of a command's results.
fn prepare_folder(out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).map_err(Error::io("cannot create", out))
}

/// The command as it was given, quoted where a shell asks for it.
fn command_line() -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./,=:+@%".contains(&byte);
    let quoted = |argument: std::ffi::OsString| {
        let text = argument.to_string_lossy().into_owned();
        if !text.is_empty() && text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
    };
    std::iter::once("saliq".to_string()).chain(std::env::args_os().skip(1).map(quoted)).collect::<Vec<_>>().join(" ")
}

/// The split that `--split` names.
fn split_of(dataset: &Dataset, split: Split) -> &datasets::Split {
    match split {
        Split::Test => &dataset.test,
        Split::Train => &dataset.train,
    }
}
