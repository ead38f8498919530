//! A run without a folder, for a caller that decides when steps are made and keeps the state
//! itself: a page in a browser.

use std::path::Path;

use super::{
    checkpoint::{Checkpoint, Progressed},
    lines::StepLine,
    outcome::{Observer, Snapshot},
    session::Session,
    setup::fewer_images,
    skips::Skips,
    snapshots::{snapshot, snapshot_data, snapshot_images},
    start::{has_arrays_of, initialize, restore},
};
use crate::{
    Error, Result,
    batch::ResidentData,
    config::RunConfig,
    data::Dataset,
    error::phrase,
    gpu::{Gpu, Staging},
    layout::StepRecord,
    metrics::Evaluation,
    model::{Model, ModelFile},
    pipelines,
    sgt::{Cause, MaskingProgress},
};

/// A run whose steps are made on request. It makes the steps of [`super::Trainer::run`], and waits
/// for the device without blocking its thread, where the device allows that.
pub struct Stepper<'a> {
    session: Session<'a>,
    /// The test images whose maps show the progress, with their numbers.
    shown: ResidentData,
    shown_images: Vec<usize>,
    step: u64,
    /// The records of the epoch that are on the device and not submitted.
    table: std::vec::IntoIter<StepRecord>,
    masking: MaskingProgress,
    /// The settings that checkpoints must agree with: [`Session::settings`].
    settings: String,
}

struct Silent;

impl Observer for Silent {}

impl<'a> Stepper<'a> {
    /// A run from its beginning: from `init`, or from random parameters.
    ///
    /// # Errors
    /// As [`super::Trainer::new`], and errors of `init`.
    pub async fn new(
        gpu: &'a Gpu,
        config: &RunConfig,
        dataset: &'a Dataset,
        init: Option<ModelFile>,
    ) -> Result<Stepper<'a>> {
        let mut config = config.clone();
        config.init = init.as_ref().map(|file| file.path().to_path_buf());
        let stepper = Stepper::at_step(gpu, &config, dataset, 0, MaskingProgress::default());
        let stepper = stepper.await?;
        initialize(&stepper.session, init, &mut Silent).await?;
        gpu.settled().await?;
        Ok(stepper)
    }

    /// The run of `checkpoint`, which [`Self::checkpoint`] made of a run with the same settings and
    /// images; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Settings`] for a checkpoint of another run; as [`super::Trainer::new`].
    pub async fn resume(
        gpu: &'a Gpu,
        config: &RunConfig,
        dataset: &'a Dataset,
        (name, checkpoint): (&Path, &Checkpoint),
    ) -> Result<Stepper<'a>> {
        let Progressed { step, masking, .. } = checkpoint.progress;
        let stepper = Stepper::at_step(gpu, config, dataset, step, masking).await?;
        let session = &stepper.session;
        let is_same = checkpoint.progress.settings == stepper.settings;
        if !is_same || !has_arrays_of(session, checkpoint) || step > session.total_steps {
            return Err(Error::Settings(phrase!(
                "<resume>: {} was made with other settings or data",
                name.display()
            )));
        }
        restore(session, checkpoint);
        Ok(stepper)
    }

    async fn at_step(
        gpu: &'a Gpu,
        config: &RunConfig,
        dataset: &'a Dataset,
        step: u64,
        masking: MaskingProgress,
    ) -> Result<Stepper<'a>> {
        let mut most_images = u32::MAX;
        let session = loop {
            let session = Session::fitting(gpu, config, (dataset, None), most_images)?;
            // Where a lack of memory is told later, it is told here.
            match gpu.settled().await {
                Ok(()) => break session,
                Err(Error::OutOfMemory(shortage)) => {
                    most_images = fewer_images(config, session.part_images, &shortage)?;
                }
                Err(other) => return Err(other),
            }
        };
        pipelines::prepare_in_turn(gpu, &session.step.recordings()).await?;
        let shown_images = snapshot_images(&dataset.test, dataset.classes);
        let shown = snapshot_data(&session, &shown_images)?;
        let (table, settings) = (Vec::new().into_iter(), session.settings()?);
        Ok(Stepper { session, shown, shown_images, step, table, masking, settings })
    }

    /// Number of steps made.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Number of steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.session.total_steps
    }

    /// Number of steps of an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.session.steps_per_epoch
    }

    /// Makes `count` steps, but none beyond the epoch or the run, and returns their lines. States
    /// of quantizers are not among them.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for a step whose numbers are not finite; errors of the device.
    pub async fn advance(&mut self, count: u64) -> Result<Vec<StepLine>> {
        let session = &self.session;
        let (epoch, first) =
            (self.step / session.steps_per_epoch, self.step % session.steps_per_epoch);
        if self.table.len() == 0 {
            let table = session.table(epoch, first, &self.masking);
            session.batch.write_table(session.gpu, &table);
            self.table = table.into_iter();
        }
        let mut submitted = 0;
        while let Some(next) = self.table.as_slice().first().filter(|_| submitted < count) {
            let rest = self.table.as_slice();
            let parts = rest.iter().take_while(|one| one.log_slot == next.log_slot).count();
            session.train.stage(session.gpu, &rest[..parts], session.config.shuffle);
            session.step.submit(session.gpu, parts as u32)?;
            self.table.nth(parts - 1);
            submitted += 1;
        }
        if submitted == 0 {
            return Ok(Vec::new());
        }
        let ranges = [
            (&session.metrics.sums, first * 16, submitted * 16),
            (&session.metrics.verdicts, first * 8, submitted * 8),
        ];
        let words: Vec<u32> = Staging::gather(session.gpu, &ranges)?.finish(session.gpu).await?;
        let (sums, verdicts) = words.split_at(4 * submitted as usize);
        let (sums, verdicts): (&[[f32; 4]], &[[u32; 2]]) =
            (bytemuck::cast_slice(sums), bytemuck::cast_slice(verdicts));
        let mut lines = Vec::new();
        for (sums, &verdict) in sums.iter().zip(verdicts) {
            let step = self.step + 1;
            if Cause::of(verdict).is_some() {
                let advice = phrase!("begin again with a lower <lr>");
                let said =
                    phrase!("step {}: the loss or a gradient is not a finite number; ", step);
                return Err(Error::NonFinite(said.then(advice)));
            }
            self.step = step;
            let sums = sums.map(f64::from);
            self.masking.add(sums[0], sums[3]);
            lines.push(self.session.line(step, sums, None, Skips::default()));
        }
        if self.step.is_multiple_of(self.session.steps_per_epoch) {
            self.session.masking.end_epoch(epoch, &mut self.masking);
        }
        Ok(lines)
    }

    /// The network's figures on the test images.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn evaluate(&self) -> Result<Evaluation> {
        let Session { evaluator, gpu, dataset, .. } = &self.session;
        evaluator.run(gpu, &dataset.class_names, &mut |_| {}).await
    }

    /// Numbers of the test images that [`Self::maps`] explains.
    pub fn shown_images(&self) -> &[usize] {
        &self.shown_images
    }

    /// Gradient maps of a few test images, each for its label.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn maps(&self) -> Result<Snapshot> {
        snapshot(&self.session, self.step, &self.shown).await
    }

    /// The model file of this moment.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn model(&self) -> Result<Vec<u8>> {
        let parameters = self.session.parameters().await?;
        let layout = &self.session.network.graph.layout;
        Model::to_bytes(&self.session.model_config(), layout, &parameters)
    }

    /// The state of this moment, for [`Self::resume`].
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn checkpoint(&self) -> Result<Checkpoint> {
        let session = &self.session;
        let state: Vec<f32> =
            Staging::gather(session.gpu, &session.state())?.finish(session.gpu).await?;
        let progress = Progressed {
            step: self.step,
            epoch_sums: [0.0; 4],
            distances: None,
            masking: self.masking,
            skips: Skips::default(),
            epoch_seconds: 0.0,
            metrics_bytes: 0,
            settings: self.settings.clone(),
        };
        Ok(Checkpoint::of_state(progress, session.parameter_length(), &state))
    }
}
