//! A complete run: every setting, with what its model file and its run folder say of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AugmentList, Betas, BitsList, Cadence, DropoutRates, LayerKind, LogList, NormalizeSpec,
    OptimizerKind, PartialNetwork, ReadOptions, ScheduleKind, decimal,
    model::ModelConfig,
    network::NetworkConfig,
    partial::PartialRunConfig,
    pixel_normalization::PixelNormalization,
    quantization::{ActivationQuantizer, QuantizationConfig},
    training::{
        AlignTarget, Augmentation, ClassWeighting, LogFormat, Normalize, OnNonFinite,
        OptimizerConfig, Precision, ScheduleConfig, SgtConfig, TeachingConfig, WeightInit,
    },
};
use crate::{Error, Result, error::phrase};

/// Everything one training run is determined by, plus where it writes and how often it logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RunConfig {
    /// Named data set or folder of four IDX files.
    pub dataset: String,
    /// Where named sets are looked up first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data_dir: Option<PathBuf>,
    /// How the images are read.
    #[serde(skip_serializing_if = "ReadOptions::is_default", default)]
    pub reading: ReadOptions,
    /// First N training images only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub train_limit: Option<u32>,
    /// First N test images only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub test_limit: Option<u32>,
    /// Share of the training set (its end) held out for validation.
    #[serde(default)]
    pub validation_share: f32,
    /// Pixel normalisation.
    pub normalize: Normalize,
    /// Random changes to training images.
    pub augment: Vec<Augmentation>,
    /// Whether epochs draw every class as often as the largest one.
    #[serde(default)]
    pub balance: bool,
    /// Weights of classes in the cross entropy.
    #[serde(default)]
    pub class_weights: ClassWeighting,
    /// Images a step.
    pub batch_size: u32,
    /// Storage of activations and their gradients.
    #[serde(default)]
    pub precision: Precision,
    /// Passes over the training set; `steps` wins where both are given.
    pub epochs: u32,
    /// Steps in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub steps: Option<u64>,
    /// Peak learning rate.
    pub learning_rate: f32,
    /// Visit the training set in random order.
    pub shuffle: bool,
    /// Seed of every random number.
    pub seed: u64,
    /// Initialisation where no model is given.
    pub weight_init: WeightInit,
    /// Model to start from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub init: Option<PathBuf>,
    /// Run folder.
    pub out: PathBuf,
    /// Steps between step lines in `metrics.jsonl`; 0 for epochs only.
    pub log_every: u32,
    /// Logs besides `metrics.jsonl`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub log: Vec<LogFormat>,
    /// Steps or time between checkpoints (`500`, `5m`); epochs only where absent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint_every: Option<String>,
    /// What happens to a training step whose numbers are not finite.
    #[serde(default)]
    pub on_non_finite: OnNonFinite,
    /// Steps between saliency snapshots; 0 for none.
    pub snapshot_every: u32,
    /// Epochs without a better accuracy on the validation images after which the run ends.
    pub early_stopping: Option<u32>,
    /// The last step with the batch's statistics in batch norms; absent: all steps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freeze_bn_after: Option<u64>,
    /// Saliency Guided Training.
    pub sgt: SgtConfig,
    /// Terms of a teacher in the loss.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub teaching: Option<TeachingConfig>,
    /// Fake quantization.
    pub quantization: QuantizationConfig,
    /// Optimiser.
    pub optimizer: OptimizerConfig,
    /// Learning-rate schedule.
    pub schedule: ScheduleConfig,
    /// The network.
    pub network: NetworkConfig,
}

impl RunConfig {
    /// The last step in which batch norms take the statistics of their batch; 0 where none does,
    /// `u64::MAX` where all do.
    pub fn last_step_with_batch_statistics(&self) -> u64 {
        if self.network.has_batch_norm() { self.freeze_bn_after.unwrap_or(u64::MAX) } else { 0 }
    }

    /// The bits for people: `float`, or `(4,2)`.
    pub fn quantization_label(&self) -> String {
        match self.quantization.label().as_str() {
            "32" => "float".into(),
            bits => format!("({})", bits.replace('-', ",")),
        }
    }

    /// What the model of this run says about itself. `normalize` is the resolved normalisation (of
    /// the data, where it is `standard`), `class_names` may be empty.
    pub fn model_config(
        &self,
        normalize: PixelNormalization,
        class_names: &[String],
    ) -> ModelConfig {
        ModelConfig {
            network: self.network.clone(),
            quantization: self.quantization.clone(),
            normalize: Some(normalize),
            dataset: short_name(&self.dataset),
            // A known name is no path; a folder's is, as `train` has it in full.
            dataset_is_folder: short_name(&self.dataset) != self.dataset,
            class_names: class_names.to_vec(),
            training: self.training_record(),
        }
    }

    /// [`model_config`](Self::model_config) as JSON: what goes under the metadata key `saliq`.
    pub fn model_metadata(&self, normalize: PixelNormalization, class_names: &[String]) -> Value {
        printed(&self.model_config(normalize, class_names))
    }

    /// The settings the computed numbers depend on: no path, no time, no logging. Settings without
    /// effect are left out, so that two runs that compute the same write the same file.
    fn training_record(&self) -> Value {
        printed(&TrainingRecord {
            steps: self.steps,
            epochs: self.steps.is_none().then_some(self.epochs),
            reading: (!self.reading.is_default()).then_some(&self.reading),
            train_limit: self.train_limit,
            validation_share: self.validation_share,
            normalize: &self.normalize,
            augment: &self.augment,
            balance: self.balance,
            class_weights: Some(self.class_weights).filter(|own| *own != ClassWeighting::None),
            batch_size: self.batch_size,
            precision: (self.precision != Precision::F32).then_some(self.precision),
            learning_rate: self.learning_rate,
            shuffle: self.shuffle,
            seed: self.seed,
            weight_init: self.weight_init,
            freeze_bn_after: self.freeze_bn_after,
            from_model: self.init.is_some(),
            sgt: self.sgt.enabled.then_some(&self.sgt),
            teaching: self.teaching.as_ref().map(|own| TeachingRecord {
                distill: own.distill,
                align: own.align,
                align_target: own.aligns().then_some(own.align_target),
            }),
            optimizer: &self.optimizer,
            schedule: &self.schedule,
        })
    }

    /// The run as a TOML file that `--config` takes: `config.toml` of a run folder. Parsed and
    /// resolved for the same data set it gives this configuration again.
    pub fn to_toml(&self) -> String {
        // Numbers, booleans, texts and lists of tables only: there is nothing in it that TOML could
        // not hold.
        let body = toml::to_string(&PartialRunConfig::from(self))
            .unwrap_or_else(|error| format!("# not written: {error}\n"));
        format!(
            "# A run of saliq {}; repeat it with `saliq train --config THIS --out DIR`.\n{body}",
            env!("CARGO_PKG_VERSION")
        )
    }

    /// `checkpoint_every` as steps or time; `None`: at the end of each epoch only.
    ///
    /// # Errors
    /// [`Error::Settings`] for a text that is neither.
    pub fn checkpoint_cadence(&self) -> Result<Option<Cadence>> {
        let parse = |text: &String| {
            text.parse()
                .map_err(|reason| Error::Settings(phrase!("<checkpoint-every>: {}", reason)))
        };
        self.checkpoint_every.as_ref().map(parse).transpose()
    }
}

/// The part of a [`RunConfig`] that belongs to the numbers.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TrainingRecord<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<&'a ReadOptions>,
    train_limit: Option<u32>,
    validation_share: f32,
    normalize: &'a Normalize,
    augment: &'a [Augmentation],
    /// Left out: false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    balance: bool,
    /// Left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    class_weights: Option<ClassWeighting>,
    batch_size: u32,
    /// Left out: f32.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<Precision>,
    learning_rate: f32,
    shuffle: bool,
    seed: u64,
    weight_init: WeightInit,
    #[serde(skip_serializing_if = "Option::is_none")]
    freeze_bn_after: Option<u64>,
    from_model: bool,
    /// `null`: plain training.
    sgt: Option<&'a SgtConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    teaching: Option<TeachingRecord>,
    optimizer: &'a OptimizerConfig,
    schedule: &'a ScheduleConfig,
}

/// The part of a [`TeachingConfig`] that belongs to the numbers, but for the teacher itself.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TeachingRecord {
    distill: f32,
    align: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    align_target: Option<AlignTarget>,
}

/// JSON by way of its text: directly, an f32 of 0.1 would become 0.10000000149011612.
fn printed(value: &impl Serialize) -> Value {
    serde_json::to_string(value).and_then(|text| serde_json::from_str(&text)).unwrap_or_default()
}

/// A data set's name, or the last component of its folder: never a path.
pub(crate) fn short_name(dataset: &str) -> String {
    let last = Path::new(dataset).file_name().map(|name| name.to_string_lossy().into_owned());
    last.filter(|name| !name.is_empty()).unwrap_or_else(|| "data".into())
}

impl From<&RunConfig> for PartialRunConfig {
    /// Every setting spelled out, except what follows from the rest: the network of Table I and
    /// unused constants.
    fn from(run: &RunConfig) -> PartialRunConfig {
        use OptimizerKind::{Adadelta, Adam, Adamw, Momentum};
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let kind = run.optimizer.kind;
        let (network, dropout, batch_norm) = network_as_given(&run.network);
        let stepped = run.schedule.kind == ScheduleKind::Step;
        let learns_alpha = run.quantization.act_quant == ActivationQuantizer::Pact;
        let adam = matches!(kind, Adam | Adamw);
        let teaching = run.teaching.as_ref();
        PartialRunConfig {
            dataset: Some(run.dataset.clone()),
            data_dir: run.data_dir.as_deref().map(text_path),
            image_size: run.reading.image_size,
            color: run.reading.color,
            test_share: run.reading.test_share.map(decimal),
            transpose: run.reading.transpose.then_some(true),
            train_limit: run.train_limit.map(i64::from),
            test_limit: run.test_limit.map(i64::from),
            validation_share: Some(decimal(run.validation_share)),
            normalize: Some(NormalizeSpec(run.normalize.clone())),
            augment: Some(AugmentList(run.augment.clone())),
            balance: Some(run.balance),
            class_weights: Some(run.class_weights),
            no_shuffle: Some(!run.shuffle),
            bits: Some(BitsList(run.quantization.bits.clone())).filter(|list| !list.0.is_empty()),
            // The bits are a layer's each.
            all_layers: None,
            first_last: None,
            quantization: None,
            weight_quant: Some(run.quantization.weight_quant),
            per_channel: Some(run.quantization.per_channel),
            binary_one_bit: run.quantization.binary_one_bit.then_some(true),
            act_quant: Some(run.quantization.act_quant),
            pact: Some(run.quantization.pact),
            alpha_init: run.quantization.alpha_init.map(decimal),
            alpha_decay: learns_alpha.then(|| decimal(run.quantization.alpha_decay)),
            alpha_lr_factor: Some(decimal(run.quantization.alpha_lr_factor)),
            step_lr_factor: Some(decimal(run.quantization.step_lr_factor)),
            dropout,
            batch_norm,
            freeze_bn_after: run.freeze_bn_after.map(whole),
            weight_init: Some(run.weight_init),
            init: run.init.as_deref().map(text_path),
            sgt: Some(run.sgt.enabled),
            mask_ratio: Some(decimal(run.sgt.mask_ratio)),
            mask_fill: Some(run.sgt.mask_fill),
            mask_rank: Some(run.sgt.mask_rank),
            lambda: Some(decimal(run.sgt.lambda)),
            saliency_target: Some(run.sgt.target),
            stop_gradient: Some(run.sgt.stop_gradient),
            sgt_variant: Some(run.sgt.variant),
            sgt_warmup_epochs: Some(i64::from(run.sgt.warmup_epochs)),
            teacher: teaching.map(|own| text_path(&own.teacher)),
            distill: teaching.map(|own| decimal(own.distill)),
            align: teaching.map(|own| decimal(own.align)),
            align_target: teaching.filter(|own| own.aligns()).map(|own| own.align_target),
            teacher_cache: teaching.map(|own| own.cache),
            optimizer: Some(kind),
            lr: Some(decimal(run.learning_rate)),
            momentum: (kind == Momentum).then(|| decimal(run.optimizer.momentum)),
            nesterov: (kind == Momentum).then_some(run.optimizer.nesterov),
            weight_decay: Some(decimal(run.optimizer.weight_decay)),
            betas: adam.then(|| Betas(run.optimizer.betas.map(decimal))),
            epsilon: run.optimizer.epsilon.filter(|_| adam || kind == Adadelta).map(decimal),
            rho: (kind == Adadelta).then(|| decimal(run.optimizer.rho)),
            schedule: Some(run.schedule.kind),
            warmup_steps: Some(i64::from(run.schedule.warmup_steps)),
            gamma: stepped.then(|| decimal(run.schedule.gamma)),
            step_epochs: stepped.then_some(i64::from(run.schedule.step_epochs)),
            batch_size: Some(i64::from(run.batch_size)),
            precision: Some(run.precision),
            epochs: Some(i64::from(run.epochs)),
            steps: run.steps.map(whole),
            seed: Some(whole(run.seed)),
            out: Some(text_path(&run.out)),
            log_every: Some(i64::from(run.log_every)),
            log: Some(LogList(run.log.clone())).filter(|list| !list.0.is_empty()),
            checkpoint_every: run.checkpoint_every.as_deref().and_then(|text| text.parse().ok()),
            on_non_finite: Some(run.on_non_finite),
            snapshot_every: Some(i64::from(run.snapshot_every)),
            early_stopping: run.early_stopping.map(i64::from),
            network,
        }
    }
}

/// TOML holds text only; [`PartialRunConfig::validate`] lets no other path through.
fn text_path(path: &Path) -> PathBuf {
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// The settings that say what the network is, and nothing else.
pub fn network_settings(network: &NetworkConfig) -> PartialRunConfig {
    let (network, dropout, batch_norm) = network_as_given(network);
    PartialRunConfig { network, dropout, batch_norm, ..PartialRunConfig::default() }
}

/// The network of Table I as its dropout rates and whether it has batch norms, any other as its
/// layers.
fn network_as_given(
    network: &NetworkConfig,
) -> (Option<PartialNetwork>, Option<DropoutRates>, Option<bool>) {
    let rates: Vec<f32> = network
        .layers
        .iter()
        .filter_map(|layer| match layer.kind {
            LayerKind::Dropout { rate } => Some(rate),
            _ => None,
        })
        .collect();
    let candidates: &[[f32; 2]] = match rates[..] {
        [] => &[[0.0; 2]],
        [one] => &[[one, 0.0], [0.0, one]],
        [pool, fc1] => &[[pool, fc1]],
        _ => &[],
    };
    let table_one = |rates: [f32; 2]| {
        let bare = NetworkConfig::table_one(network.input, network.classes, rates);
        if network.has_batch_norm() { bare.with_batch_norm() } else { bare }
    };
    match candidates.iter().find(|&&rates| table_one(rates) == *network) {
        Some(rates) => {
            (None, Some(DropoutRates(rates.map(decimal).to_vec())), Some(network.has_batch_norm()))
        }
        None => (Some(PartialNetwork::from(network.clone())), None, None),
    }
}
