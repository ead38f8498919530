//! The loop of a training run: epochs, steps, evaluation; when metrics are fetched and checkpoints
//! made.

use std::time::Duration;

use super::{
    Observer, Outcome, Start, Trainer, lines::Line, outcome::Record, running::Running,
    snapshots::snapshot_images, standstill,
};
use crate::{
    Error, Result, batch::ResidentData, config::Cadence, metrics::Evaluation, model::Model,
};

/// Metrics are fetched at most this often while an epoch goes on.
const METRICS_INTERVAL: Duration = Duration::from_millis(500);

impl Trainer<'_> {
    /// Runs to the end, or until `observer` says that a signal came, or the device is lost.
    pub(super) async fn attempt(
        &self,
        start: Start,
        record: &mut Record,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        if let Some(said) = &self.cut {
            observer.note(said);
        }
        let cadence = self.config.checkpoint_cadence()?;
        let class_names = &self.dataset.class_names;
        let snapshot_images = snapshot_images(&self.dataset.test, self.dataset.classes);
        let snapshot_data = (self.config.snapshot_every > 0)
            .then(|| self.snapshot_data(&snapshot_images))
            .transpose()?;
        let mut running = self.begin(start, record, observer).await?;
        let already_finished = running.step >= self.total_steps;
        let mut evaluation = None;
        if let Some(data) = &snapshot_data {
            let snapshot = self.snapshot(running.step, data).await?;
            running.record.snapshots.push(snapshot);
        }
        running.pause();
        while running.step < self.total_steps || running.epoch_is_open {
            let epoch = (running.step - u64::from(running.epoch_is_open)) / self.steps_per_epoch;
            let end = (epoch + 1) * self.steps_per_epoch;
            let last = self.total_steps.min(end);
            running.epoch_is_open = true;
            self.steps(&mut running, last, cadence, snapshot_data.as_ref(), observer).await?;
            if last < end {
                // Of before the line: a run that is asked to go on later has this epoch before it,
                // and writes its line at its end.
                self.settle(&mut running, true, observer).await?;
            }
            let tested = self.evaluator.run(self.gpu, class_names, &mut |_| {}).await?;
            let validated = match &self.validator {
                Some(validator) => Some(validator.run(self.gpu, class_names, &mut |_| {}).await?),
                None => None,
            };
            let line = self.epoch_line(epoch, &mut running, &tested, validated.as_ref()).await?;
            if let Some(said) = standstill::warning(&line, running.record, last == self.total_steps)
            {
                observer.note(&said);
            }
            running.folder.write(&Line::Epoch(&line))?;
            running.epoch_is_open = false;
            observer.epoch(&line);
            running.record.add_epoch(line);
            evaluation = Some(tested);
            if last == end {
                self.masking.end_epoch(epoch, &mut running.masking);
                self.request(&mut running, true, observer).await?;
            }
            running.pause();
        }
        let evaluation = match evaluation {
            Some(evaluation) => evaluation,
            None => self.evaluator.run(self.gpu, class_names, &mut |_| {}).await?,
        };
        self.finish(running, evaluation, snapshot_images, already_finished, observer).await
    }

    /// The steps up to step `last` of the epoch that the next one is in.
    async fn steps(
        &self,
        running: &mut Running<'_>,
        last: u64,
        cadence: Option<Cadence>,
        snapshot_data: Option<&ResidentData>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if running.step >= last {
            return Ok(());
        }
        let (epoch, first) =
            (running.step / self.steps_per_epoch, running.step % self.steps_per_epoch);
        let table = self.table(epoch, first, &running.masking);
        self.batch.write_table(self.gpu, &table);
        if let Some(said) = self
            .left_out(&table, &running.masking)?
            .filter(|_| running.record.say_once("masked part"))
        {
            observer.note(&said);
        }
        let mut remaining = &table[..];
        while running.step < last {
            let log_slot = remaining[0].log_slot;
            let parts = remaining.iter().take_while(|record| record.log_slot == log_slot).count();
            remaining = &remaining[parts..];
            running.step += 1;
            running.quantizers.before_step(self.gpu, &self.network, running.step)?;
            self.step.submit(self.gpu, parts as u32)?;
            running.has_gradients = true;
            running.quantizers.after_step(self.gpu, &self.network, running.step)?;
            if running.harvest.as_ref().is_some_and(|harvest| harvest.is_ready()) {
                self.take_in(running, observer).await?;
            }
            if let Some(said) = running.writer.poll() {
                observer.note(&said);
            }
            if let Some(signal) = observer.interrupted() {
                self.settle(running, true, observer).await?;
                running.writer.finish_last().iter().for_each(|said| observer.note(said));
                return Err(Error::Interrupted { signal });
            }
            if let Some(data) = snapshot_data
                .filter(|_| running.step.is_multiple_of(u64::from(self.config.snapshot_every)))
            {
                self.settle(running, false, observer).await?;
                let snapshot = self.snapshot(running.step, data).await?;
                running.record.snapshots.push(snapshot);
                running.pause();
            }
            let checkpoint_due = match cadence {
                _ if running.step == last => false,
                Some(Cadence::Steps(steps)) => running.step.is_multiple_of(steps),
                // Time as it passes, not as the clock on the wall has it.
                Some(Cadence::Time(interval)) => running.last_checkpoint.elapsed() >= interval,
                None => false,
            };
            let full = running.quantizers.is_full();
            if checkpoint_due
                || full
                || (running.harvest.is_none() && running.last_request.elapsed() >= METRICS_INTERVAL)
            {
                self.request(running, checkpoint_due, observer).await?;
            }
        }
        self.settle(running, false, observer).await
    }

    /// Writes the model and what has not been written yet.
    async fn finish(
        &self,
        mut running: Running<'_>,
        evaluation: Evaluation,
        snapshot_images: Vec<usize>,
        already_finished: bool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.take_in(&mut running, observer).await?;
        running.writer.finish_last().iter().for_each(|said| observer.note(said));
        if !evaluation.loss.is_finite() {
            let step = running.step;
            return Err(Error::NonFinite(format!(
                "step {step}: the loss on the test images is {}; begin again with a lower --lr",
                evaluation.loss
            )));
        }
        let parameters = self.parameters().await?;
        Model::save(
            &running.folder.model()?,
            &self.model_config(),
            &self.network.graph.layout,
            &parameters,
        )?;
        running.folder.flush()?;
        let record = std::mem::take(running.record);
        Ok(Outcome {
            evaluation,
            steps: record.steps,
            epochs: record.epochs,
            snapshots: record.snapshots,
            snapshot_images,
            alphas: self.quantizers(&parameters).await?.alpha,
            seconds: record.seconds,
            already_finished,
        })
    }
}
