//! A training run as the rest of the program has it: one device after another, if it must be.

use super::{
    outcome::{Observer, Outcome, Start},
    recovery,
    session::Session,
};
use crate::{
    Result,
    config::{ModelConfig, RunConfig},
    data::Dataset,
    gpu::Gpu,
    model::ModelFile,
    nn::Network,
    sgt::{MaskingProgress, TrainingStep},
};

/// A training run.
pub struct Trainer<'a> {
    session: Session<'a>,
    /// The model to start from, where it has been read already.
    init: Option<ModelFile>,
}

impl<'a> Trainer<'a> {
    /// Uploads the data, allocates the network and records the step.
    ///
    /// A batch for which there is not enough memory is cut into parts, half as large until there
    /// is.
    ///
    /// # Errors
    /// Everything that does not fit: the data set and the network, the batch and the adapter;
    /// [`crate::Error::OutOfMemory`] where not even one image at a time does.
    pub fn new(gpu: &'a Gpu, config: &RunConfig, dataset: &'a Dataset) -> Result<Trainer<'a>> {
        Ok(Trainer { session: Session::fitting(gpu, config, dataset, u32::MAX)?, init: None })
    }

    /// As [`Self::new`], with batches cut into parts of at most `most_images` (at least 1): less
    /// memory for activations, the same result up to the order in which gradients are summed.
    pub fn in_parts(
        gpu: &'a Gpu,
        config: &RunConfig,
        dataset: &'a Dataset,
        most_images: u32,
    ) -> Result<Trainer<'a>> {
        Ok(Trainer { session: Session::in_parts(gpu, config, dataset, most_images)?, init: None })
    }

    /// Takes the model that the configuration says to start from, which then is not read again.
    pub fn start_from(&mut self, init: ModelFile) {
        self.init = Some(init);
    }

    /// Runs to the end, or until `observer` says that a signal came. Where the device is lost, the
    /// run goes on from its last checkpoint on another one that is opened in the same way; what the
    /// caller has on the old one is lost then.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] after writing a checkpoint; [`crate::Error::NonFinite`] naming
    /// step and layer; [`crate::Error::Locked`] for a folder that another run is writing to;
    /// [`crate::Error::DeviceLost`] where that happens again and again; errors of files and the
    /// device.
    pub async fn run(&mut self, start: Start, observer: &mut dyn Observer) -> Result<Outcome> {
        recovery::run(&self.session, self.init.take(), start, observer).await
    }

    /// Steps of the whole run.
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

    /// Fresh random parameters, and the first step next: for [`Self::submit_step`].
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

    /// Images of a part at most.
    pub fn part_images(&self) -> u32 {
        self.session.part_images
    }

    /// Parts that a full batch is cut into.
    pub fn parts(&self) -> u32 {
        self.session.parts()
    }

    /// Submits the next full step of the table.
    pub fn submit_step(&self) -> Result<()> {
        self.session.step.submit(self.session.gpu, self.parts())
    }

    /// What the model file will say.
    pub fn model_config(&self) -> ModelConfig {
        self.session.model_config()
    }

    /// Parameters as they are now, flat.
    pub async fn parameters(&self) -> Result<Vec<f32>> {
        self.session.parameters().await
    }
}
