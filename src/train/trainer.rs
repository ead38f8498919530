//! The public interface of a training run, which hides that the device may change.

use super::{
    outcome::{Observer, Outcome, Start},
    recovery,
    session::Session,
    teacher::teacher,
};
use crate::{
    Result,
    config::{ModelConfig, RunConfig},
    data::Dataset,
    gpu::Gpu,
    model::ModelFile,
    nn::Network,
    sgt::{MaskingProgress, TeacherModel, TrainingStep},
};

/// A training run.
pub struct Trainer<'a> {
    session: Session<'a>,
    /// The model to start from, if it is read already.
    init: Option<ModelFile>,
}

impl<'a> Trainer<'a> {
    /// Uploads the data, allocates the network and records the step.
    ///
    /// If memory is not enough for a batch, the batch is cut into parts, which are halved until
    /// they fit.
    ///
    /// # Errors
    /// Errors for settings that do not fit: the data set and the network, or the batch and the
    /// adapter; [`crate::Error::OutOfMemory`] if not even one image at a time fits.
    pub fn new(gpu: &'a Gpu, config: &RunConfig, dataset: &'a Dataset) -> Result<Trainer<'a>> {
        let teacher = teacher(config, dataset)?;
        let data = (dataset, teacher.as_ref());
        Ok(Trainer { session: Session::fitting(gpu, config, data, u32::MAX)?, init: None })
    }

    /// As [`Self::new`], with batches cut into parts of at most `most_images` (at least 1). This
    /// needs less memory for activations and gives the same result up to the order in which
    /// gradients are summed.
    pub fn in_parts(
        gpu: &'a Gpu,
        config: &RunConfig,
        dataset: &'a Dataset,
        most_images: u32,
    ) -> Result<Trainer<'a>> {
        let teacher = teacher(config, dataset)?;
        let data = (dataset, teacher.as_ref());
        Ok(Trainer { session: Session::in_parts(gpu, config, data, most_images)?, init: None })
    }

    /// As [`Self::new`], with the `teacher` in memory; the file that the configuration names is not
    /// read.
    ///
    /// # Errors
    /// As [`Self::new`]; [`crate::Error::Model`] for a teacher of other images or classes.
    pub fn taught(
        gpu: &'a Gpu,
        config: &RunConfig,
        dataset: &'a Dataset,
        teacher: &TeacherModel,
    ) -> Result<Trainer<'a>> {
        teacher.check(dataset.shape, dataset.classes)?;
        let data = (dataset, Some(teacher));
        Ok(Trainer { session: Session::fitting(gpu, config, data, u32::MAX)?, init: None })
    }

    /// Uses the model that the configuration starts from; it is then not read again.
    pub fn start_from(&mut self, init: ModelFile) {
        self.init = Some(init);
    }

    /// Runs to the end, or until `observer` reports a signal. If the device is lost, the run
    /// continues from its last checkpoint on another device that is opened in the same way. Objects
    /// of the caller on the old device are lost then.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] after writing a checkpoint; [`crate::Error::NonFinite`] naming
    /// step and layer; [`crate::Error::Locked`] for a folder that another run is writing to;
    /// [`crate::Error::DeviceLost`] if devices are lost repeatedly; errors of files and the device.
    pub async fn run(&mut self, start: Start, observer: &mut dyn Observer) -> Result<Outcome> {
        recovery::run(&self.session, self.init.take(), start, observer).await
    }

    /// Number of steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.session.total_steps
    }

    /// The recorded step.
    pub fn step(&self) -> &TrainingStep {
        &self.session.step
    }

    /// The network being trained.
    pub fn network(&self) -> &Network {
        &self.session.network
    }

    /// Bytes of the images and labels on the GPU.
    pub fn data_bytes(&self) -> u64 {
        let Session { train, test, validation, .. } = &self.session;
        let sets = [Some(train), Some(test), validation.as_ref()];
        sets.into_iter().flatten().map(|data| data.images.size() + data.labels.size()).sum()
    }

    /// Sets random parameters and makes the first step the next one, for [`Self::submit_step`].
    pub fn begin_benchmark(&self) {
        let Session { gpu, config, network, optimizer, .. } = &self.session;
        let parameters = network.graph.layout.initialize(config.seed, config.weight_init);
        optimizer.begin(gpu, network, &parameters, 1.0);
        self.rewind();
    }

    /// Makes the first step the next one again. A step beyond the table's end would have no images
    /// and take no time.
    pub fn rewind(&self) {
        let epoch = self.session.table(0, 0, &MaskingProgress::default());
        self.session.batch.write_table(self.session.gpu, &epoch[..self.parts() as usize]);
    }

    /// Largest number of images per part.
    pub fn part_images(&self) -> u32 {
        self.session.part_images
    }

    /// Number of parts that a full batch is cut into.
    pub fn parts(&self) -> u32 {
        self.session.parts()
    }

    /// Submits the next full step of the table.
    pub fn submit_step(&self) -> Result<()> {
        self.session.step.submit(self.session.gpu, self.parts())
    }

    /// The configuration for the model file.
    pub fn model_config(&self) -> ModelConfig {
        self.session.model_config()
    }

    /// The current parameters, flat.
    pub async fn parameters(&self) -> Result<Vec<f32>> {
        self.session.parameters().await
    }
}
