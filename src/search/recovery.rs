//! Training of a chosen model with the float network as its teacher, to recover what quantization
//! took.

use std::path::{Path, PathBuf};

use crate::{
    Result,
    config::{BitsList, Normalize, NormalizeSpec, PartialRunConfig, ScheduleKind, resolve},
    data::Dataset,
    gpu::Gpu,
    model::Model,
    train::{Observer, Outcome, Start, Trainer},
};

/// How a model is trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoverySettings {
    /// The float model, which is the teacher.
    pub teacher: PathBuf,
    /// Passes over the training images.
    pub epochs: u32,
    /// Weight of the alignment of maps; 0 for none.
    pub align: f64,
    /// Peak learning rate, of a cosine.
    pub lr: f64,
    /// Images a step.
    pub batch_size: u32,
    /// Use the first training images only.
    pub train_limit: Option<u32>,
    /// Test on the first images only.
    pub test_limit: Option<u32>,
    /// Seed.
    pub seed: u64,
    /// The data set, as `train` takes it, and where it is looked up.
    pub dataset: (String, Option<PathBuf>),
}

/// Trains `start` on, a model without training; the run folder is `out`, which is replaced.
///
/// # Errors
/// Errors of training.
pub fn recover(
    gpu: &Gpu,
    start: &Model,
    settings: &RecoverySettings,
    dataset: &Dataset,
    out: &Path,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    let folder = tempfile::tempdir().map_err(crate::Error::io("cannot create", "a folder"))?;
    let init = folder.path().join("start.safetensors");
    Model::save(&init, &start.config, &start.graph.layout, &start.parameters)?;
    let own = &start.config.quantization;
    let count = |value: u32| i64::from(value);
    let partial = PartialRunConfig {
        dataset: Some(settings.dataset.0.clone()),
        data_dir: settings.dataset.1.clone(),
        network: Some(start.config.network.clone().into()),
        bits: Some(BitsList(own.bits.clone())),
        weight_quant: Some(own.weight_quant),
        per_channel: Some(own.per_channel),
        binary_one_bit: own.binary_one_bit.then_some(true),
        act_quant: Some(own.act_quant),
        pact: Some(own.pact),
        normalize: start.config.normalize.map(|own| NormalizeSpec(Normalize::Fixed(own))),
        sgt: Some(false),
        teacher: (settings.align > 0.0).then(|| settings.teacher.clone()),
        align: (settings.align > 0.0).then_some(settings.align),
        lr: Some(settings.lr),
        schedule: Some(ScheduleKind::Cosine),
        epochs: Some(count(settings.epochs)),
        batch_size: Some(count(settings.batch_size)),
        train_limit: settings.train_limit.map(count),
        test_limit: settings.test_limit.map(count),
        seed: i64::try_from(settings.seed).ok(),
        log_every: Some(0),
        init: Some(init),
        out: Some(out.to_path_buf()),
        ..PartialRunConfig::default()
    };
    let config = resolve(partial, &dataset.info())?;
    let mut trainer = Trainer::new(gpu, &config, dataset)?;
    pollster::block_on(trainer.run(Start::Replace, observer))
}
