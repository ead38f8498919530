//! The resources of a training run on one device: data, network, buffers and the recorded step.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    lines::StepLine,
    schedule::Schedule,
    setup::{check_batch_norm, fewer_images, part_size, splits},
    skips::Skips,
};
use crate::{
    Error, Result,
    batch::{Batch, ClassWeights, GatherOptions, ResidentData, balanced},
    config::{ClassWeighting, ModelConfig, PixelNormalization, RunConfig, TeachingConfig},
    data::{Dataset, Split, digest},
    digest::hex,
    gpu::{Buffer, Gpu, Staging},
    layout::StepRecord,
    metrics::Evaluator,
    nn::{Network, NetworkOptions, Optimizer},
    pipelines,
    quant::QuantizerState,
    sgt::{
        Masking, MaskingProgress, MaskingSchedule, Metrics, StepInputs, StepOptions, TeacherModel,
        Teaching, TeachingSetup, TrainingStep,
    },
};

/// Bytes of images from which on it is worth to keep them in the host's memory before batches are
/// cut into parts.
const WORTH_STREAMING: usize = 1 << 26;

/// Where the images of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImagePlace {
    /// In the GPU's memory.
    Gpu,
    /// In the host's memory; those of a step are uploaded ahead of it.
    Host,
}

/// The resources of a training run on one device.
pub(super) struct Session<'a> {
    pub gpu: &'a Gpu,
    pub config: RunConfig,
    pub dataset: &'a Dataset,
    pub normalization: PixelNormalization,
    pub train: ResidentData,
    pub test: ResidentData,
    pub validation: Option<ResidentData>,
    pub network: Network,
    pub batch: Batch,
    pub step: TrainingStep,
    pub metrics: Metrics,
    pub optimizer: Optimizer,
    pub evaluator: Evaluator,
    pub validator: Option<Evaluator>,
    pub part_images: u32,
    /// A message about the parts that a lack of memory made necessary.
    pub cut: Option<String>,
    pub steps_per_epoch: u64,
    pub total_steps: u64,
    pub schedule: Schedule,
    pub masking: MaskingSchedule,
    /// Weights of classes in the cross entropy, if they differ.
    pub class_weights: Option<ClassWeights>,
    /// The terms of a teacher.
    pub teaching: Option<Teaching>,
    pub teacher: Option<TeacherModel>,
    /// A message about a cache that does not fit.
    pub uncached: Option<String>,
}

impl<'a> Session<'a> {
    /// Uploads the data, allocates the network and records the step, with batches cut into parts of
    /// at most `most_images`. If memory is not enough, the parts are halved until they fit.
    ///
    /// # Errors
    /// As for [`super::Trainer::new`].
    pub fn fitting(
        gpu: &'a Gpu,
        config: &RunConfig,
        (dataset, teacher): (&'a Dataset, Option<&TeacherModel>),
        mut most_images: u32,
    ) -> Result<Session<'a>> {
        let mut place = ImagePlace::Gpu;
        loop {
            match Session::in_parts(gpu, config, (dataset, teacher), most_images, place) {
                Err(Error::OutOfMemory(shortage)) => {
                    // The memory of the failed attempt is released before the next one.
                    gpu.wait()?;
                    let bytes = dataset.train.images.len() + dataset.test.images.len();
                    if place == ImagePlace::Gpu && bytes >= WORTH_STREAMING {
                        place = ImagePlace::Host;
                    } else {
                        most_images =
                            fewer_images(config, most_images.min(config.batch_size), &shortage)?;
                    }
                }
                Ok(mut session) if most_images < u32::MAX && session.parts() > 1 => {
                    let (batch, images) = (config.batch_size, session.part_images);
                    session.cut = Some(format!(
                        "not enough GPU memory for batches of {batch} images: they are trained in \
                         parts of {images}"
                    ));
                    return Ok(session);
                }
                result => return result,
            }
        }
    }

    /// As [`Self::fitting`], with parts of at most `most_images` (at least 1) and the images in
    /// `place`, without smaller attempts.
    pub fn in_parts(
        gpu: &'a Gpu,
        config: &RunConfig,
        (dataset, teacher): (&'a Dataset, Option<&TeacherModel>),
        most_images: u32,
        place: ImagePlace,
    ) -> Result<Session<'a>> {
        let (train_split, validation_split, test_split) = splits(config, dataset)?;
        let normalization = dataset.normalization(&config.normalize);
        let batch_size = config.batch_size.min(train_split.len() as u32);
        let twins = config.sgt.enabled;
        let part_images = part_size(gpu, config, batch_size, twins, most_images)?;
        let drawn = config.balance.then(|| balanced(&train_split.labels));
        let class_weights = (config.class_weights == ClassWeighting::Balanced)
            .then(|| ClassWeights::balanced(gpu, &train_split, config.network.classes))
            .transpose()?;
        let upload = |split: Split, parts: u32| match place {
            ImagePlace::Gpu => ResidentData::new(gpu, &split, dataset.shape),
            ImagePlace::Host => {
                ResidentData::streamed(gpu, split.into(), dataset.shape, part_images, parts)
            }
        };
        let mut train = upload(train_split, batch_size.div_ceil(part_images))?;
        if let Some(numbers) = drawn {
            train = train.drawing(gpu, numbers)?;
        }
        let test = upload(test_split, 1)?;
        let validation = validation_split.map(|split| upload(split, 1)).transpose()?;
        let steps_per_epoch = u64::from(train.epoch_images().div_ceil(batch_size));
        let total_steps = config.steps.unwrap_or(u64::from(config.epochs) * steps_per_epoch);
        check_batch_norm(config, train.epoch_images(), batch_size, part_images, total_steps)?;
        let slots = if twins { 2 * part_images } else { part_images };
        let aligns = config.teaching.as_ref().is_some_and(TeachingConfig::aligns);
        let options = NetworkOptions {
            slots,
            training: true,
            gradients: true,
            precision: config.precision,
            masked: twins,
            tangents: if aligns { part_images } else { 0 },
        };
        let network = Network::new(gpu, &config.network, &config.quantization, options)?;
        let parts_per_epoch =
            (steps_per_epoch * u64::from(batch_size.div_ceil(part_images))).max(1);
        let batch = Batch::in_chunks(gpu, part_images, twins, parts_per_epoch, network.chunk())?;
        let metrics = Metrics::new(gpu, part_images, steps_per_epoch)?;
        let optimizer = Optimizer::new(gpu, &network, &config.optimizer, &config.quantization)?;
        let masking = twins
            .then(|| {
                let sgt = &config.sgt;
                Masking::new(
                    gpu,
                    dataset.shape,
                    part_images,
                    sgt.mask_ratio,
                    sgt.mask_rank,
                    sgt.mask_fill,
                )
            })
            .transpose()?;
        let gather = GatherOptions {
            shuffle: config.shuffle,
            augment: config.augment.clone(),
            normalization,
        };
        let (mut teaching, mut uncached) = (None, None);
        if let (Some(own), Some(teacher)) = (&config.teaching, teacher) {
            let setup = TeachingSetup {
                config: own,
                teacher,
                normalization,
                most: part_images,
                twins,
                slots: steps_per_epoch,
            };
            let mut made = Teaching::new(gpu, setup)?;
            if own.cache {
                uncached = keep_answers(gpu, &mut made, (&train, &gather), network.input())?;
            }
            teaching = Some(made);
        }
        let options = StepOptions {
            freeze_after: config.freeze_bn_after,
            on_non_finite: config.on_non_finite,
            ..StepOptions::new(&config.sgt, gather, &network.graph)
        };
        let inputs = StepInputs {
            network: &network,
            data: &train,
            batch: &batch,
            masking: masking.as_ref(),
            class_weights: class_weights.as_ref().map(|own| &own.buffer),
            teaching: teaching.as_ref(),
            metrics: &metrics,
            optimizer: &optimizer,
        };
        let step = TrainingStep::record(gpu, &inputs, &options)?;
        // In a browser that is done in turn: `Stepper::new`.
        if !cfg!(target_family = "wasm") {
            pipelines::prepare(gpu, &step.recordings())?;
        }
        let evaluate = |data: &ResidentData| {
            Evaluator::record(gpu, &network, data, normalization, part_images)
        };
        let mut masking_schedule = MaskingSchedule::new(&config.sgt, steps_per_epoch);
        if config.network.single_value_norm()?.is_some() {
            masking_schedule =
                masking_schedule.without_lone_images(config.last_step_with_batch_statistics());
        }
        let (evaluator, validator) =
            (evaluate(&test)?, validation.as_ref().map(evaluate).transpose()?);
        let session = Session {
            gpu,
            config: config.clone(),
            dataset,
            normalization,
            train,
            test,
            validation,
            network,
            batch,
            step,
            metrics,
            optimizer,
            evaluator,
            validator,
            part_images,
            cut: None,
            steps_per_epoch,
            total_steps,
            schedule: Schedule::new(config, steps_per_epoch, total_steps),
            masking: masking_schedule,
            class_weights,
            teaching,
            teacher: teacher.cloned(),
            uncached,
        };
        // The staging buffer of checkpoints must fit too.
        Staging::try_room(gpu, session.state().iter().map(|&(_, _, bytes)| bytes).sum())?;
        Ok(session)
    }

    /// Sums of all steps of an epoch beside those of the metrics, where there is a teacher.
    pub fn distances(&self) -> Option<&Buffer> {
        self.teaching.as_ref().map(|teaching| &teaching.sums)
    }

    /// What sums of distances from the teacher add to those of the loss.
    pub fn weighted(&self, distances: Option<[f64; 2]>) -> f64 {
        match (&self.config.teaching, distances) {
            (Some(own), Some([predictions, maps])) => {
                f64::from(own.distill) * predictions + f64::from(own.align) * maps
            }
            _ => 0.0,
        }
    }

    /// The distances of predictions and of maps, as far as they have a weight.
    pub fn asked_for(&self, distances: Option<[f64; 2]>) -> [Option<f64>; 2] {
        let (Some(own), Some([predictions, maps])) = (&self.config.teaching, distances) else {
            return [None; 2];
        };
        [own.distills().then_some(predictions), own.aligns().then_some(maps)]
    }

    /// Number of parts that a full batch is cut into.
    pub fn parts(&self) -> u32 {
        self.config.batch_size.min(self.train.count).div_ceil(self.part_images)
    }

    /// The configuration for the model file.
    pub fn model_config(&self) -> ModelConfig {
        self.config.model_config(self.normalization, &self.dataset.class_names)
    }

    /// The settings that a checkpoint must agree with, and a digest of the images: everything that
    /// the numbers depend on, except the length of the run.
    pub fn settings(&self) -> Result<String> {
        let (train, validation, test) = splits(&self.config, self.dataset)?;
        let mut config = self.model_config();
        if let Some(training) = config.training.as_object_mut() {
            training.remove("steps");
            training.remove("epochs");
            training.insert("on-non-finite".into(), json!(self.config.on_non_finite));
            training.insert(
                "images".into(),
                digest([&train, &test].into_iter().chain(&validation)).into(),
            );
            if let Some(teacher) = &self.teacher {
                let parameters = bytemuck::cast_slice(&teacher.parameters);
                training.insert("teacher".into(), hex(&Sha256::digest(parameters)).into());
            }
        }
        Ok(config.to_metadata())
    }

    /// Number of values of the flat array of parameters, and of each of the optimiser's arrays.
    pub fn parameter_length(&self) -> usize {
        self.network.graph.layout.padded_length() as usize
    }

    /// Where a checkpoint's arrays are (buffer, offset, bytes): the parameters and the optimiser's.
    pub fn state(&self) -> Vec<(&Buffer, u64, u64)> {
        let bytes = self.parameter_length() as u64 * 4;
        let arrays = std::iter::once(self.network.parameters()).chain(&self.optimizer.states);
        arrays.map(|array| (array, 0, bytes)).collect()
    }

    /// The learning rate of step `step`.
    pub fn rate(&self, step: u64, skips: Skips) -> f64 {
        self.schedule.step(step).learning_rate * f64::from(skips.rate_factor)
    }

    /// The line of `step` from its sums: Σce, Σkl, Σcorrect, images.
    pub fn line(
        &self,
        step: u64,
        [ce, kl, correct, images]: [f64; 4],
        distances: Option<[f64; 2]>,
        skips: Skips,
    ) -> StepLine {
        let lambda = if self.config.sgt.enabled { f64::from(self.config.sgt.lambda) } else { 0.0 };
        let [distill, align] = self.asked_for(distances);
        StepLine {
            step,
            loss: (ce + lambda * kl + self.weighted(distances)) / images,
            ce: ce / images,
            kl: kl / images,
            distill: distill.map(|sum| sum / images),
            align: align.map(|sum| sum / images),
            accuracy: correct / images,
            lr: self.rate(step, skips),
            quantizers: QuantizerState::default(),
        }
    }

    /// The current parameters, flat.
    pub async fn parameters(&self) -> Result<Vec<f32>> {
        self.gpu.read(self.network.parameters(), 0, self.parameter_length() as u64).await
    }

    /// A message about the first step of `table` whose masked part is left out, if there is one.
    pub fn left_out(
        &self,
        table: &[StepRecord],
        progress: &MaskingProgress,
    ) -> Result<Option<String>> {
        let is_left_out = |record: &&StepRecord| {
            self.masking.step(u64::from(record.step), record.batch, progress).left_out
        };
        let Some(record) = table.iter().find(is_left_out) else { return Ok(None) };
        Ok(Some(format!(
            "step {}: of its batch of {} a single image would be masked, which has no variance for \
             batch norm {}; such steps mask no image and have no KL term; batches of at least 12 \
             images always mask at least two",
            record.step,
            record.batch,
            self.config.network.single_value_norm()?.unwrap_or_default()
        )))
    }

    /// The table entries of the epoch's steps from `first` (counted in the epoch, from 0) on.
    pub fn table(&self, epoch: u64, first: u64, progress: &MaskingProgress) -> Vec<StepRecord> {
        let batch_size = u64::from(self.config.batch_size.min(self.train.count));
        let images = u64::from(self.train.epoch_images());
        let mut records = Vec::new();
        for in_epoch in first..self.steps_per_epoch {
            let step = epoch * self.steps_per_epoch + in_epoch + 1;
            if step > self.total_steps {
                break;
            }
            let start = in_epoch * batch_size;
            let size = batch_size.min(images - start);
            let scheduled = self.schedule.step(step);
            let masking = self.masking.step(step, size as u32, progress);
            let whole = StepRecord {
                epoch: epoch as u32,
                position: start as u32,
                batch: size as u32,
                epoch_images: self.train.epoch_images(),
                seed_low: self.config.seed as u32,
                seed_high: (self.config.seed >> 32) as u32,
                ..StepRecord::default()
            };
            let sum = |own: &ClassWeights| own.sum(&whole, self.config.shuffle);
            let class_weights = self.class_weights.as_ref().map_or(0.0, sum);
            for (part, offset) in (0..size).step_by(self.part_images as usize).enumerate() {
                let count = u64::from(self.part_images).min(size - offset) as u32;
                records.push(StepRecord {
                    step: step as u32,
                    position: (start + offset) as u32,
                    count,
                    part: part as u32,
                    log_slot: in_epoch as u32,
                    learning_rate: scheduled.learning_rate as f32,
                    momentum: scheduled.momentum as f32,
                    beta1_correction: scheduled.corrections[0] as f32,
                    beta2_correction: scheduled.corrections[1] as f32,
                    unmasked: masking.unmasked(offset as u32, count),
                    mask_highest: u32::from(masking.highest),
                    class_weights,
                    ..whole
                });
            }
        }
        records
    }
}

/// Keeps what the teacher says of `data`, where it fits; else says why not.
fn keep_answers(
    gpu: &Gpu,
    teaching: &mut Teaching,
    (data, gather): (&ResidentData, &GatherOptions),
    images: &Buffer,
) -> Result<Option<String>> {
    match teaching.keep_all(gpu, data, gather, images) {
        Err(Error::OutOfMemory(shortage)) => Ok(Some(format!(
            "the teacher's answers are not kept, it is asked in every step: {}",
            shortage.asked
        ))),
        other => other.map(|()| None),
    }
}
