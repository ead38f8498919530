//! The loop of a training run: epochs, steps, metrics, evaluation, checkpoints.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Checkpoint, EpochLine, Progressed, QuantizerState, RunFolder, Schedule, StepLine,
    calibration::{CalibrationStart, calibrate_activations},
    ranges::QuantizerHistory,
};
use crate::{
    Error, Result,
    batch::{Batch, GatherOptions, ResidentData, StepRecord},
    config::{Cadence, LayerConfig, ModelConfig, PixelNormalization, QuantizationOverrides, RunConfig},
    data::{Dataset, Split},
    gpu::Gpu,
    metrics::{Evaluation, Evaluator},
    model::Model,
    nn::{Network, NetworkOptions, Optimizer, Parameter, ParameterLayout, groups},
    pipelines,
    saliency::{DataOptions, ExplainedNetwork, Method, MethodOptions, Target, explain_data},
    sgt::{Masking, MaskingProgress, MaskingSchedule, Metrics, StepOptions, TrainingStep},
};

/// Metrics are read back at most this often while an epoch goes on.
const METRICS_INTERVAL: Duration = Duration::from_millis(500);
/// A mean cross entropy above this is the end of a run: e^−100,000 is no probability.
const EXPLODED: f64 = 1e5;
/// Images of a saliency snapshot.
const SNAPSHOT_IMAGES: usize = 8;

/// Who watches a run: progress bars, signals.
pub trait Observer {
    /// A step's metrics have arrived.
    fn step(&mut self, _line: &StepLine, _images_per_second: f64) {}
    /// An epoch is over.
    fn epoch(&mut self, _line: &EpochLine) {}
    /// Something worth saying.
    fn note(&mut self, _text: &str) {}
    /// The signal that asks the run to stop, if one came.
    fn interrupted(&self) -> Option<i32> {
        None
    }
}

/// How a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the beginning, in a folder without a run.
    New,
    /// From the beginning, replacing a run that is there.
    Replace,
    /// From the last checkpoint in the folder.
    Resume,
}

/// Saliency of a few fixed test images at one moment of training.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Steps taken before it.
    pub step: u64,
    /// Gradient maps, [image, channel, row, column].
    pub saliency: Vec<f32>,
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Test set at the end.
    pub evaluation: Evaluation,
    /// Steps whose lines were written by this process.
    pub steps: Vec<StepLine>,
    /// Epochs finished by this process.
    pub epochs: Vec<EpochLine>,
    /// Saliency while training, where snapshots were asked for.
    pub snapshots: Vec<Snapshot>,
    /// Indices of the snapshots' images in the test set.
    pub snapshot_images: Vec<usize>,
    /// α's at the end.
    pub alphas: BTreeMap<String, f32>,
    /// Training time in seconds, evaluation apart.
    pub seconds: f64,
    /// Whether there was nothing left to do.
    pub already_finished: bool,
}

/// A training run on one device.
pub struct Trainer<'a> {
    gpu: &'a Gpu,
    config: RunConfig,
    dataset: &'a Dataset,
    normalization: (f32, f32),
    train: ResidentData,
    test: ResidentData,
    validation: Option<ResidentData>,
    network: Network,
    batch: Batch,
    step: TrainingStep,
    metrics: Metrics,
    optimizer: Optimizer,
    part_images: u32,
    steps_per_epoch: u64,
    total_steps: u64,
    schedule: Schedule,
    masking: MaskingSchedule,
}

/// What a run has done since its last checkpoint, beside the arrays on the GPU.
struct Running {
    folder: RunFolder,
    step: u64,
    epoch_sums: [f64; 4],
    masking: MaskingProgress,
    epoch_seconds: f64,
    seconds: f64,
    collected: u64,
    last_collection: Instant,
    last_checkpoint: Instant,
    images_since: u64,
    outcome_steps: Vec<StepLine>,
    quantizers: QuantizerHistory,
}

impl<'a> Trainer<'a> {
    /// Uploads the data, allocates the network and records the step.
    ///
    /// # Errors
    /// Everything that does not fit: the data set and the network, the batch and the adapter.
    pub fn new(gpu: &'a Gpu, config: &RunConfig, dataset: &'a Dataset) -> Result<Trainer<'a>> {
        Trainer::in_parts(gpu, config, dataset, u32::MAX)
    }

    /// As [`Self::new`], with batches cut into parts of at most `most_images` (at least 1): less memory for activations, the same
    /// result up to the order in which gradients are summed.
    pub fn in_parts(gpu: &'a Gpu, config: &RunConfig, dataset: &'a Dataset, most_images: u32) -> Result<Trainer<'a>> {
        let (train_split, validation_split, test_split) = splits(config, dataset)?;
        let normalization = dataset.normalization(&config.normalize);
        let train = ResidentData::new(gpu, &train_split, dataset.shape)?;
        let test = ResidentData::new(gpu, &test_split, dataset.shape)?;
        let validation = validation_split.map(|split| ResidentData::new(gpu, &split, dataset.shape)).transpose()?;
        let batch_size = config.batch_size.min(train.count);
        let twins = config.sgt.enabled;
        let part_images = part_size(gpu, config, batch_size, twins, most_images)?;
        check_batch_norm(config, train.count, batch_size, part_images)?;
        let slots = if twins { 2 * part_images } else { part_images };
        let options = NetworkOptions { slots, training: true, gradients: true, precision: config.precision };
        let network = Network::new(gpu, &config.network, &config.quantization, options)?;
        let steps_per_epoch = u64::from(train.count.div_ceil(batch_size));
        let total_steps = config.steps.unwrap_or(u64::from(config.epochs) * steps_per_epoch);
        let parts_per_epoch = (steps_per_epoch * u64::from(batch_size.div_ceil(part_images))).max(1);
        let batch = Batch::in_chunks(gpu, part_images, twins, parts_per_epoch, network.chunk())?;
        let metrics = Metrics::new(gpu, part_images, steps_per_epoch)?;
        let optimizer = Optimizer::new(gpu, &network, &config.optimizer, &config.quantization)?;
        let masking = twins
            .then(|| {
                let sgt = &config.sgt;
                Masking::new(gpu, dataset.shape, part_images, sgt.mask_ratio, sgt.mask_rank, sgt.mask_fill)
            })
            .transpose()?;
        let gather = GatherOptions {
            shuffle: config.shuffle,
            augment: config.augment.clone(),
            mean: normalization.0,
            deviation: normalization.1,
        };
        let options =
            StepOptions { freeze_after: config.freeze_bn_after, ..StepOptions::new(&config.sgt, gather, &config.network) };
        let step = TrainingStep::record(gpu, &network, &train, &batch, masking.as_ref(), &metrics, &optimizer, &options)?;
        pipelines::prepare(gpu, &step.recordings())?;
        Ok(Trainer {
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
            part_images,
            steps_per_epoch,
            total_steps,
            schedule: Schedule::new(config, steps_per_epoch, total_steps),
            masking: MaskingSchedule::new(&config.sgt, steps_per_epoch),
        })
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// The recorded step.
    pub fn step(&self) -> &TrainingStep {
        &self.step
    }

    /// The network being trained.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Bytes of the images and labels on the GPU.
    pub fn data_bytes(&self) -> u64 {
        let sets = [Some(&self.train), Some(&self.test), self.validation.as_ref()];
        sets.into_iter().flatten().map(|data| data.images.size() + data.labels.size()).sum()
    }

    /// Fresh random parameters, and the first step next: for [`Self::submit_step`].
    pub fn begin_benchmark(&self) {
        let parameters = self.network.layout.initialize(self.config.seed, self.config.weight_init);
        self.gpu.write(&self.network.parameters, 0, &parameters);
        self.rewind();
    }

    /// Makes the first step the next one again. A step beyond the table's end would have no images and take no time.
    pub fn rewind(&self) {
        let epoch = self.table(0, 0, &MaskingProgress::default());
        self.batch.write_table(self.gpu, &epoch[..self.parts() as usize]);
    }

    /// Parts that a full batch is cut into.
    pub fn parts(&self) -> u32 {
        self.config.batch_size.min(self.train.count).div_ceil(self.part_images)
    }

    /// Submits the next full step of the table.
    pub fn submit_step(&self) -> Result<()> {
        self.step.submit(self.gpu, self.parts())
    }

    /// What the model file will say.
    pub fn model_config(&self) -> ModelConfig {
        let (mean, deviation) = self.normalization;
        self.config.model_config(PixelNormalization { mean, deviation }, &self.dataset.class_names)
    }

    /// The settings that a checkpoint must agree with: all that the numbers depend on but the length of the run.
    fn settings(&self) -> String {
        let mut config = self.model_config();
        if let Some(training) = config.training.as_object_mut() {
            training.remove("steps");
            training.remove("epochs");
        }
        config.to_metadata()
    }

    /// Initial parameters: of `--init`, or random; α's from the file, `--alpha-init`, or calibration.
    async fn initialize(&self) -> Result<()> {
        let layout = &self.network.layout;
        let quantization = &self.config.quantization;
        let mut parameters = layout.initialize(self.config.seed, self.config.weight_init);
        let mut has_alphas = false;
        if let Some(path) = &self.config.init {
            let model = Model::load(path, &QuantizationOverrides::default())?;
            let file = crate::model::tensors_of(&model)?;
            (parameters, has_alphas) = crate::model::fill(&file, layout, &model.layout, &model.path)?;
        }
        if layout.calibrated().next().is_some() && !has_alphas {
            let calibrated = match quantization.alpha_init {
                Some(alpha) => layout.alphas().map(|parameter| (parameter.name.clone(), alpha)).collect(),
                None => {
                    let start =
                        CalibrationStart { layout, parameters: &parameters, live: self.config.freeze_bn_after != Some(0) };
                    calibrate_activations(self.gpu, &self.config.network, quantization, &start, &self.train, self.normalization)
                        .await?
                }
            };
            for (name, alpha) in calibrated {
                if let Some(parameter) = layout.find(&name) {
                    parameters[parameter.offset as usize] = alpha;
                }
            }
        }
        self.gpu.write(&self.network.parameters, 0, &parameters);
        Ok(())
    }

    /// Parameters as they are now, flat.
    pub async fn parameters(&self) -> Result<Vec<f32>> {
        self.gpu.read(&self.network.parameters, 0, u64::from(self.network.layout.padded_length())).await
    }

    /// The quantizers with `parameters`, and the ranges of weights that the last forward pass had.
    async fn quantizers(&self, parameters: &[f32]) -> Result<QuantizerState> {
        let layout = &self.network.layout;
        let ranges = self.network.weight_ranges(self.gpu).await?;
        Ok(QuantizerState::new(layout, &parameters[layout.step_first as usize..], ranges.into_iter()))
    }

    /// The table entries of the epoch's steps from `first` (counted in the epoch, from 0) on.
    fn table(&self, epoch: u64, first: u64, progress: &MaskingProgress) -> Vec<StepRecord> {
        let batch_size = u64::from(self.config.batch_size.min(self.train.count));
        let images = u64::from(self.train.count);
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
            for (part, offset) in (0..size).step_by(self.part_images as usize).enumerate() {
                let count = u64::from(self.part_images).min(size - offset) as u32;
                records.push(StepRecord {
                    step: step as u32,
                    epoch: epoch as u32,
                    position: (start + offset) as u32,
                    count,
                    batch: size as u32,
                    part: part as u32,
                    log_slot: in_epoch as u32,
                    epoch_images: self.train.count,
                    seed_low: self.config.seed as u32,
                    seed_high: (self.config.seed >> 32) as u32,
                    learning_rate: scheduled.learning_rate as f32,
                    momentum: scheduled.momentum as f32,
                    beta1_correction: scheduled.corrections[0] as f32,
                    beta2_correction: scheduled.corrections[1] as f32,
                    unmasked: masking.unmasked(offset as u32, count),
                    mask_highest: u32::from(masking.highest),
                    ..StepRecord::default()
                });
            }
        }
        records
    }

    /// Runs to the end, or until `observer` says that a signal came.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after writing a checkpoint; [`Error::NonFinite`] naming step and layer; errors of files and the device.
    pub async fn run(&mut self, start: Start, observer: &mut dyn Observer) -> Result<Outcome> {
        let mut running = self.begin(start, observer).await?;
        let already_finished = running.step >= self.total_steps;
        let evaluator = self.evaluator(&self.test)?;
        let validator = self.validation.as_ref().map(|data| self.evaluator(data)).transpose()?;
        let snapshot_images = snapshot_images(&self.dataset.test, self.dataset.classes);
        let snapshot_data = (self.config.snapshot_every > 0).then(|| self.snapshot_data(&snapshot_images)).transpose()?;
        let mut snapshots = Vec::new();
        let mut epochs = Vec::new();
        let mut evaluation = None;
        self.snapshot(running.step, snapshot_data.as_ref(), &mut snapshots).await?;
        while running.step < self.total_steps {
            let epoch = running.step / self.steps_per_epoch;
            let first = running.step % self.steps_per_epoch;
            let table = self.table(epoch, first, &running.masking);
            self.batch.write_table(self.gpu, &table);
            running.collected = running.step;
            running.last_collection = Instant::now();
            let last = self.total_steps.min((epoch + 1) * self.steps_per_epoch);
            let mut remaining = &table[..];
            while running.step < last {
                let log_slot = remaining[0].log_slot;
                let parts = remaining.iter().take_while(|record| record.log_slot == log_slot).count();
                running.images_since += u64::from(remaining[0].batch);
                remaining = &remaining[parts..];
                running.step += 1;
                running.quantizers.before_step(self.gpu, &self.network, running.step)?;
                self.step.submit(self.gpu, parts as u32)?;
                running.quantizers.after_step(self.gpu, &self.network, running.step)?;
                if running.last_collection.elapsed() >= METRICS_INTERVAL || running.quantizers.is_full() {
                    self.collect(&mut running, observer).await?;
                }
                if let Some(signal) = observer.interrupted() {
                    self.collect(&mut running, observer).await?;
                    self.checkpoint(&mut running).await?;
                    return Err(Error::Interrupted { signal });
                }
                let snapshot_due =
                    self.config.snapshot_every > 0 && running.step.is_multiple_of(u64::from(self.config.snapshot_every));
                if snapshot_due {
                    // The snapshot works in the network's buffers and with its own table: the epoch's cursor is not touched.
                    self.collect(&mut running, observer).await?;
                    self.snapshot(running.step, snapshot_data.as_ref(), &mut snapshots).await?;
                    running.last_collection = Instant::now();
                }
                if running.step < last && self.checkpoint_due(&running)? {
                    self.collect(&mut running, observer).await?;
                    self.checkpoint(&mut running).await?;
                    running.last_collection = Instant::now();
                }
            }
            self.collect(&mut running, observer).await?;
            if last == (epoch + 1) * self.steps_per_epoch || last == self.total_steps {
                let tested = evaluator.run(self.gpu, &self.dataset.class_names, &mut |_| {}).await?;
                let validated = match &validator {
                    Some(validator) => Some(validator.run(self.gpu, &self.dataset.class_names, &mut |_| {}).await?),
                    None => None,
                };
                let line = self.epoch_line(epoch, &mut running, &tested, validated.as_ref()).await?;
                running.folder.write_epoch(&line)?;
                observer.epoch(&line);
                epochs.push(line);
                evaluation = Some(tested);
            }
            if last == (epoch + 1) * self.steps_per_epoch {
                self.masking.end_epoch(epoch, &mut running.masking);
            }
            self.checkpoint(&mut running).await?;
        }
        let evaluation = match evaluation {
            Some(evaluation) => evaluation,
            None => evaluator.run(self.gpu, &self.dataset.class_names, &mut |_| {}).await?,
        };
        let parameters = self.parameters().await?;
        Model::save(&running.folder.model(), &self.model_config(), &self.network.layout, &parameters)?;
        running.folder.flush()?;
        Ok(Outcome {
            evaluation,
            steps: running.outcome_steps,
            epochs,
            snapshots,
            snapshot_images,
            alphas: self.quantizers(&parameters).await?.alpha,
            seconds: running.seconds,
            already_finished,
        })
    }

    async fn begin(&mut self, start: Start, observer: &mut dyn Observer) -> Result<Running> {
        let quantizers = QuantizerHistory::new(self.gpu, &self.network, self.config.log_every)?;
        let fresh = |folder, step| Running {
            folder,
            step,
            epoch_sums: [0.0; 4],
            masking: MaskingProgress::default(),
            epoch_seconds: 0.0,
            seconds: 0.0,
            collected: step,
            last_collection: Instant::now(),
            last_checkpoint: Instant::now(),
            images_since: 0,
            outcome_steps: Vec::new(),
            quantizers,
        };
        let mut replace = start == Start::Replace;
        if start == Start::Resume {
            match self.resume_point() {
                Ok(checkpoint) => {
                    self.restore(&checkpoint);
                    let folder = RunFolder::reopen(&self.config, checkpoint.progress.metrics_bytes)?;
                    let mut running = fresh(folder, checkpoint.progress.step);
                    running.epoch_sums = checkpoint.progress.epoch_sums;
                    running.masking = checkpoint.progress.masking;
                    running.epoch_seconds = checkpoint.progress.epoch_seconds;
                    return Ok(running);
                }
                Err(error @ Error::Usage(_)) => return Err(error),
                Err(error) => {
                    observer.note(&format!("no usable checkpoint, starting over: {error}"));
                    replace = true;
                }
            }
        }
        self.initialize().await?;
        let folder = RunFolder::create(&self.config, replace)?;
        Ok(fresh(folder, 0))
    }

    fn resume_point(&self) -> Result<Checkpoint> {
        let path = RunFolder::checkpoint_of(&self.config.out);
        let length = self.network.layout.padded_length() as usize;
        let checkpoint = Checkpoint::load(&path, length, self.optimizer.states.len())?;
        for parameter in &self.network.layout.parameters {
            ParameterLayout::check(parameter, &checkpoint.parameters[parameter.range()])
                .map_err(|reason| Error::format(&path, format!("not a usable checkpoint: {reason}")))?;
        }
        if checkpoint.progress.settings != self.settings() {
            return Err(Error::Usage(format!(
                "--resume: {} was made with other settings; only --epochs, --steps and logging options may change",
                path.display()
            )));
        }
        let (expected, found) = (checkpoint.progress.metrics_bytes, RunFolder::metrics_length(&self.config.out));
        if found < expected {
            return Err(Error::format(&path, format!("belongs to {expected} bytes of metrics, of which {found} are there")));
        }
        Ok(checkpoint)
    }

    fn restore(&self, checkpoint: &Checkpoint) {
        self.gpu.write(&self.network.parameters, 0, &checkpoint.parameters);
        for (buffer, state) in self.optimizer.states.iter().zip(&checkpoint.states) {
            self.gpu.write(buffer, 0, state);
        }
    }

    fn evaluator(&self, data: &ResidentData) -> Result<Evaluator> {
        Evaluator::record(self.gpu, &self.network, data, self.normalization, self.part_images)
    }

    /// Reads the metrics of all steps submitted since the last time.
    async fn collect(&self, running: &mut Running, observer: &mut dyn Observer) -> Result<()> {
        let count = running.step - running.collected;
        if count == 0 {
            return Ok(());
        }
        let first_slot = running.collected % self.steps_per_epoch;
        let sums: Vec<[f32; 4]> = self.gpu.read(&self.metrics.sums, first_slot, count).await?;
        let flags: Vec<u32> = self.gpu.read(&self.metrics.flags, first_slot, count).await?;
        let damage: Vec<u32> = self.gpu.read(&self.optimizer.flag, 0, 1).await?;
        let mut quantizers = running.quantizers.take(self.gpu, &self.network).await?;
        let elapsed = running.last_collection.elapsed().as_secs_f64();
        let rate = running.images_since as f64 / elapsed.max(1e-9);
        for (offset, [ce, kl, correct, images]) in sums.into_iter().enumerate() {
            let step = running.collected + offset as u64 + 1;
            let images = f64::from(images);
            let (ce, kl, correct) = (f64::from(ce), f64::from(kl), f64::from(correct));
            if flags[offset] != 0 {
                return Err(self.non_finite(step, "the loss is not a finite number").await);
            }
            // Infinities inside can end in a ReLU and leave a finite loss behind; no classifier is that wrong otherwise.
            if ce > EXPLODED * images {
                return Err(self.non_finite(step, &format!("the loss has exploded to {:.3e}", ce / images)).await);
            }
            let lambda = if self.config.sgt.enabled { f64::from(self.config.sgt.lambda) } else { 0.0 };
            for (sum, value) in running.epoch_sums.iter_mut().zip([ce, kl, correct, images]) {
                *sum += value;
            }
            running.masking.add(ce, images);
            let line = StepLine {
                step,
                loss: (ce + lambda * kl) / images,
                ce: ce / images,
                kl: kl / images,
                accuracy: correct / images,
                lr: self.schedule.step(step).learning_rate,
                quantizers: quantizers.remove(&step).unwrap_or_default(),
            };
            observer.step(&line, rate);
            if self.config.log_every > 0 && step.is_multiple_of(u64::from(self.config.log_every)) {
                running.folder.write_step(&line)?;
            }
            running.outcome_steps.push(line);
        }
        if damage[0] != 0 {
            return Err(self.non_finite(running.step, "the update is not a finite number").await);
        }
        running.folder.flush()?;
        running.epoch_seconds += elapsed;
        running.seconds += elapsed;
        running.collected = running.step;
        running.images_since = 0;
        running.last_collection = Instant::now();
        Ok(())
    }

    /// The error for a number that is none: names the first parameter or activation that is not finite, else the largest parameter.
    async fn non_finite(&self, step: u64, what: &str) -> Error {
        let mut place = None;
        let parameters = self.parameters().await.unwrap_or_default();
        let named = |parameter: &Parameter| parameters.get(parameter.range()).unwrap_or_default();
        let layout = &self.network.layout.parameters;
        if let Some(bad) = layout.iter().find(|parameter| named(parameter).iter().any(|value| !value.is_finite())) {
            place = Some(format!("first in {}", bad.name));
        }
        for (name, ..) in self.network.activations() {
            if place.is_none()
                && let Ok(values) = self.network.read_activation(self.gpu, name, self.part_images).await
                && values.iter().any(|value| !value.is_finite())
            {
                place = Some(format!("first in the output of {name}"));
            }
        }
        let place = place.unwrap_or_else(|| {
            let magnitude = |parameter: &Parameter| named(parameter).iter().fold(0.0f32, |most, value| most.max(value.abs()));
            let largest = layout.iter().max_by(|a, b| magnitude(a).total_cmp(&magnitude(b)));
            largest.map_or(String::new(), |largest| format!("largest values in {}: {:.3e}", largest.name, magnitude(largest)))
        });
        let checkpoint = RunFolder::checkpoint_of(&self.config.out);
        let kept = if checkpoint.exists() { format!("; {} is from before", checkpoint.display()) } else { String::new() };
        Error::NonFinite(format!("step {step}: {what}, {place}; lower --lr or raise --warmup-steps{kept}"))
    }

    fn checkpoint_due(&self, running: &Running) -> Result<bool> {
        Ok(match self.config.checkpoint_cadence()? {
            Some(Cadence::Steps(steps)) => running.step.is_multiple_of(steps),
            Some(Cadence::Time(interval)) => running.last_checkpoint.elapsed() >= interval,
            None => false,
        })
    }

    /// Writes the state between two steps; the metrics of all steps so far have been collected.
    async fn checkpoint(&self, running: &mut Running) -> Result<()> {
        let mut states = Vec::new();
        for buffer in &self.optimizer.states {
            states.push(self.gpu.read(buffer, 0, u64::from(self.network.layout.padded_length())).await?);
        }
        let progress = Progressed {
            step: running.step,
            epoch_sums: running.epoch_sums,
            masking: running.masking,
            epoch_seconds: running.epoch_seconds,
            metrics_bytes: running.folder.flush()?,
            settings: self.settings(),
        };
        running.last_checkpoint = Instant::now();
        Checkpoint { progress, parameters: self.parameters().await?, states }.save(&running.folder.checkpoint())
    }

    async fn epoch_line(
        &self,
        epoch: u64,
        running: &mut Running,
        test: &Evaluation,
        validation: Option<&Evaluation>,
    ) -> Result<EpochLine> {
        let [ce, kl, correct, images] = std::mem::take(&mut running.epoch_sums);
        let seconds = std::mem::take(&mut running.epoch_seconds);
        let mean = |sum: f64| sum / images.max(1.0);
        let lambda = if self.config.sgt.enabled { f64::from(self.config.sgt.lambda) } else { 0.0 };
        let QuantizerState { alpha, step_size, weight_range } = self.quantizers(&self.parameters().await?).await?;
        Ok(EpochLine {
            epoch: epoch + 1,
            step: running.step,
            train_loss: mean(ce + lambda * kl),
            train_ce: mean(ce),
            train_kl: mean(kl),
            train_accuracy: mean(correct),
            test_accuracy: test.accuracy,
            test_loss: test.loss,
            validation_accuracy: validation.map(|evaluation| evaluation.accuracy),
            validation_loss: validation.map(|evaluation| evaluation.loss),
            masked_share: self.masking.adapted_share(epoch, &running.masking),
            alpha,
            step_size,
            weight_range,
            seconds,
            images_per_second: images / seconds.max(1e-9),
        })
    }

    fn snapshot_data(&self, images: &[usize]) -> Result<ResidentData> {
        let split = self.dataset.test.select(images, self.dataset.shape);
        ResidentData::new(self.gpu, &split, self.dataset.shape)
    }

    async fn snapshot(&self, step: u64, data: Option<&ResidentData>, snapshots: &mut Vec<Snapshot>) -> Result<()> {
        let Some(data) = data else { return Ok(()) };
        let options = DataOptions {
            methods: vec![Method::Gradient],
            target: Target::Label,
            normalization: self.normalization,
            rank: self.config.sgt.mask_rank,
            settings: MethodOptions { seed: self.config.seed, ..MethodOptions::default() },
            ..DataOptions::default()
        };
        let network = ExplainedNetwork {
            config: &self.config.network,
            quantization: &self.config.quantization,
            parameters: &self.network.parameters,
        };
        let mut attributions = explain_data(self.gpu, network, data, &options, &mut |_| {}).await?;
        snapshots.push(Snapshot { step, saliency: attributions.maps.swap_remove(0) });
        Ok(())
    }
}

/// Training, validation and test images, as the configuration limits them.
fn splits(config: &RunConfig, dataset: &Dataset) -> Result<(Split, Option<Split>, Split)> {
    let (mut train, mut test) = (dataset.train.clone(), dataset.test.clone());
    if let Some(limit) = config.train_limit {
        train.truncate(limit as usize, dataset.shape);
    }
    if let Some(limit) = config.test_limit {
        test.truncate(limit as usize, dataset.shape);
    }
    let validation = (config.validation_share > 0.0).then(|| train.split_off_tail(config.validation_share, dataset.shape));
    if train.is_empty() || test.is_empty() {
        return Err(Error::Data(format!("{}: no images are left to train on or to test with; raise the limits", dataset.name)));
    }
    Ok((train, validation.filter(|split| !split.is_empty()), test))
}

/// Images of a part: the whole batch, or as many as keep every buffer within what the adapter binds at once; never more than `most`.
fn part_size(gpu: &Gpu, config: &RunConfig, batch_size: u32, twins: bool, most: u32) -> Result<u32> {
    let limits = gpu.limits();
    let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let shapes = config.network.shapes()?;
    let largest =
        shapes.iter().chain([&config.network.input]).map(|shape| u64::from(shape.pixels() * groups(shape.channels)) * 16).max();
    let slots = (limit / largest.unwrap_or(16)).max(1);
    let images = if twins { slots / 2 } else { slots };
    if images == 0 {
        return Err(Error::OutOfMemory(format!(
            "one image's activations need {} bytes twice and {} binds at most {limit}; make the network smaller",
            largest.unwrap_or(0),
            gpu.adapter_name()
        )));
    }
    let parts = u64::from(batch_size).div_ceil(images.min(u64::from(most.max(1))));
    Ok(u64::from(batch_size).div_ceil(parts) as u32)
}

/// Refuses batches that batch norms have no statistics for: those cut into parts, and those of a single value a channel.
fn check_batch_norm(config: &RunConfig, images: u32, batch_size: u32, part_images: u32) -> Result<()> {
    if !config.network.has_batch_norm() {
        return Ok(());
    }
    if part_images < batch_size {
        return Err(Error::Usage(format!(
            "--batch-size {batch_size}: batch norm needs a whole batch at once, but this adapter's buffers hold {part_images} images of it; \
             lower --batch-size to {part_images}"
        )));
    }
    let shapes = config.network.shapes()?;
    let is_norm = |layer: &LayerConfig| matches!(layer, LayerConfig::BatchNorm { .. });
    let layers = config.network.layers.iter().zip(shapes).filter(|(layer, _)| is_norm(layer));
    let pixels = layers.map(|(_, shape)| shape.pixels()).min().unwrap_or(1);
    let last = (images - 1) % batch_size + 1;
    if last == 1 && pixels == 1 {
        return Err(Error::Usage(format!(
            "--batch-size {batch_size}: the last batch of {images} images is a single one, which has no variance for batch norm; \
             choose another --batch-size or --train-limit"
        )));
    }
    Ok(())
}

/// The first test image of each class, at most [`SNAPSHOT_IMAGES`].
fn snapshot_images(test: &Split, classes: u32) -> Vec<usize> {
    let first = |class: u32| test.labels.iter().position(|&label| u32::from(label) == class);
    (0..classes).filter_map(first).take(SNAPSHOT_IMAGES).collect()
}
