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
    tuning,
};
use crate::{
    Error, Result,
    config::{Normalize, NormalizeSpec, PartialRunConfig, short_name},
    data::{self as datasets, Dataset},
    gpu::{DeviceProfile, Gpu, GpuOptions},
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
        let in_folder = model.path.file_name().is_some_and(|name| name == MODEL_FILE);
        let file = model.path.parent().map(RunFolder::config_of).filter(|file| in_folder && file.is_file());
        let Some(Ok(settings)) = file.map(|file| PartialRunConfig::from_file(&file)) else { return TrainedOn::default() };
        if short_name(settings.dataset_name()) != model.config.dataset {
            return TrainedOn::default();
        }
        TrainedOn {
            dataset: settings.dataset.filter(|dataset| Path::new(dataset).is_dir()),
            data_dir: settings.data_dir.filter(|folder| folder.is_dir()),
        }
    }
}

/// The split that `--split` names.
fn split_of(dataset: &Dataset, split: Split) -> &datasets::Split {
    match split {
        Split::Test => &dataset.test,
        Split::Train => &dataset.train,
    }
}
