//! The loop of a training run: epochs, steps, evaluation, and the times at which metrics are
//! fetched and checkpoints made.

use std::time::Duration;

use super::{
    collection::{request, settle, take_in},
    epoch::{epoch_line, quantizers},
    lines::Line,
    outcome::{Observer, Outcome, Record, Start},
    running::Running,
    session::Session,
    snapshots::{snapshot, snapshot_data, snapshot_images},
    standstill,
    start::begin,
};
use crate::{
    Error, Result,
    batch::ResidentData,
    config::Cadence,
    error::phrase,
    metrics::Evaluation,
    model::{Model, ModelFile},
};

/// Shortest time between two fetches of metrics during an epoch.
const METRICS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs to the end, or until `observer` reports a signal, or the device is lost.
pub(super) async fn attempt(
    session: &Session<'_>,
    init: Option<ModelFile>,
    start: Start,
    record: &mut Record,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    if let Some(said) = &session.cut {
        observer.note(said);
    }
    if let Some(said) = &session.uncached {
        observer.note(said);
    }
    let cadence = session.config.checkpoint_cadence()?;
    let class_names = &session.dataset.class_names;
    let snapshot_images = snapshot_images(&session.dataset.test, session.dataset.classes);
    let snapshot_data = (session.config.snapshot_every > 0)
        .then(|| snapshot_data(session, &snapshot_images))
        .transpose()?;
    let mut running = begin(session, init, start, record, observer).await?;
    let already_finished = running.step >= session.total_steps;
    let mut evaluation = None;
    if let Some(data) = &snapshot_data {
        let snapshot = snapshot(session, running.step, data).await?;
        running.record.snapshots.push(snapshot);
    }
    running.pause();
    while running.step < session.total_steps || running.epoch_is_open {
        let epoch = (running.step - u64::from(running.epoch_is_open)) / session.steps_per_epoch;
        let end = (epoch + 1) * session.steps_per_epoch;
        let last = session.total_steps.min(end);
        running.epoch_is_open = true;
        steps(session, &mut running, last, cadence, snapshot_data.as_ref(), observer).await?;
        if last < end {
            // The checkpoint is of the moment before the line. A run that continues later then
            // repeats the end of this epoch and writes its line.
            settle(session, &mut running, true, observer).await?;
        }
        let tested = session.evaluator.run(session.gpu, class_names, &mut |_| {}).await?;
        let validated = match &session.validator {
            Some(validator) => Some(validator.run(session.gpu, class_names, &mut |_| {}).await?),
            None => None,
        };
        let line = epoch_line(session, epoch, &mut running, &tested, validated.as_ref()).await?;
        if let Some(said) = standstill::warning(&line, running.record, last == session.total_steps)
        {
            observer.advise(&said);
        }
        running.folder.write(&Line::Epoch(&line))?;
        running.epoch_is_open = false;
        observer.epoch(&line);
        running.record.add_epoch(line);
        evaluation = Some(tested);
        if last == end {
            session.masking.end_epoch(epoch, &mut running.masking);
            request(session, &mut running, true, observer).await?;
        }
        running.pause();
    }
    let evaluation = match evaluation {
        Some(evaluation) => evaluation,
        None => session.evaluator.run(session.gpu, class_names, &mut |_| {}).await?,
    };
    finish(session, running, evaluation, snapshot_images, already_finished, observer).await
}

/// Runs the steps of the current epoch up to step `last`.
async fn steps(
    session: &Session<'_>,
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
        (running.step / session.steps_per_epoch, running.step % session.steps_per_epoch);
    let table = session.table(epoch, first, &running.masking);
    session.batch.write_table(session.gpu, &table);
    if let Some(said) = session
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
        running.quantizers.before_step(session.gpu, &session.network, running.step)?;
        session.step.submit(session.gpu, parts as u32)?;
        running.has_gradients = true;
        running.quantizers.after_step(session.gpu, &session.network, running.step)?;
        if running.harvest.as_ref().is_some_and(|harvest| harvest.is_ready()) {
            take_in(session, running, observer).await?;
        }
        if let Some(said) = running.writer.poll() {
            observer.note(&said);
        }
        if let Some(signal) = observer.interrupted() {
            settle(session, running, true, observer).await?;
            running.writer.finish_last().iter().for_each(|said| observer.advise(said));
            return Err(Error::Interrupted { signal });
        }
        if let Some(data) = snapshot_data
            .filter(|_| running.step.is_multiple_of(u64::from(session.config.snapshot_every)))
        {
            settle(session, running, false, observer).await?;
            let snapshot = snapshot(session, running.step, data).await?;
            running.record.snapshots.push(snapshot);
            running.pause();
        }
        let checkpoint_due = match cadence {
            _ if running.step == last => false,
            Some(Cadence::Steps(steps)) => running.step.is_multiple_of(steps),
            // Measured by the monotonic clock, not the wall clock.
            Some(Cadence::Time(interval)) => running.last_checkpoint.elapsed() >= interval,
            None => false,
        };
        let full = running.quantizers.is_full();
        if checkpoint_due
            || full
            || (running.harvest.is_none() && running.last_request.elapsed() >= METRICS_INTERVAL)
        {
            request(session, running, checkpoint_due, observer).await?;
        }
    }
    settle(session, running, false, observer).await
}

/// Writes the model and everything that is not written yet.
async fn finish(
    session: &Session<'_>,
    mut running: Running<'_>,
    evaluation: Evaluation,
    snapshot_images: Vec<usize>,
    already_finished: bool,
    observer: &mut dyn Observer,
) -> Result<Outcome> {
    take_in(session, &mut running, observer).await?;
    running.writer.finish_last().iter().for_each(|said| observer.advise(said));
    if !evaluation.loss.is_finite() {
        let step = running.step;
        return Err(Error::NonFinite(phrase!(
            "step {}: the loss on the test images is {}; begin again with a lower <lr>",
            step,
            evaluation.loss
        )));
    }
    let parameters = session.parameters().await?;
    Model::save(
        &running.folder.model()?,
        &session.model_config(),
        &session.network.graph.layout,
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
        alphas: quantizers(session, &parameters).await?.alpha,
        seconds: record.seconds,
        already_finished,
    })
}
