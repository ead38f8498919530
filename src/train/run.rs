//! The loop of a training run: epochs, steps, evaluation, and the times at which metrics are
//! fetched and checkpoints made.

use std::time::Duration;

use super::{
    best::Best,
    collection::{request, settle, take_in},
    epoch::{epoch_line, quantizers},
    folder::RunFolder,
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
    let details = observer.wants_details();
    let snapshot_data = (session.config.snapshot_every > 0 || details)
        .then(|| snapshot_data(session, &snapshot_images))
        .transpose()?;
    let mut running = begin(session, init, start, record, observer).await?;
    observer.begin(running.step);
    let mut evaluation = None;
    // Without `snapshot-every`, maps are for the observer alone.
    let kept_data = snapshot_data.as_ref().filter(|_| session.config.snapshot_every > 0);
    if let Some(data) = &snapshot_data {
        let snapshot = snapshot(session, running.step, data).await?;
        observer.snapshot(&snapshot, &snapshot_images);
        if kept_data.is_some() {
            running.record.snapshots.push(snapshot);
        }
    }
    running.pause();
    let patience = session.config.early_stopping;
    let mut best = best_so_far(session, &running)?;
    let already_finished = running.step >= session.total_steps || best.is_over(patience);
    while (running.step < session.total_steps && !best.is_over(patience)) || running.epoch_is_open {
        let epoch = (running.step - u64::from(running.epoch_is_open)) / session.steps_per_epoch;
        let end = (epoch + 1) * session.steps_per_epoch;
        let last = session.total_steps.min(end);
        running.epoch_is_open = true;
        let kept = kept_data.map(|data| (data, snapshot_images.as_slice()));
        steps(session, &mut running, last, cadence, kept, observer).await?;
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
        if best.add(&line) {
            let parameters = session.parameters().await?;
            let (path, layout) = (running.folder.best()?, &session.network.graph.layout);
            Model::save(&path, &session.model_config(), layout, &parameters)?;
        }
        running.epoch_is_open = false;
        observer.epoch(&line);
        running.record.add_epoch(line);
        if details {
            let parameters = session.parameters().await?;
            observer.parameters(running.step, &session.network.graph.layout, &parameters);
            if let Some(data) = snapshot_data.as_ref().filter(|_| kept_data.is_none()) {
                let snapshot = snapshot(session, running.step, data).await?;
                observer.snapshot(&snapshot, &snapshot_images);
            }
        }
        evaluation = Some(tested);
        if best.is_over(patience) {
            observer.note(&format!(
                "stopped after epoch {}: no better accuracy on the validation images since epoch \
                 {}, whose model is best.safetensors",
                epoch + 1,
                epoch + 1 - u64::from(patience.unwrap_or(0))
            ));
        }
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

/// The best epoch in front of the step from which a run begins or continues.
fn best_so_far(session: &Session<'_>, running: &Running<'_>) -> Result<Best> {
    if session.validator.is_none() || running.step == 0 {
        return Ok(Best::default());
    }
    let (_, epochs) = RunFolder::read_metrics(running.folder.path())?;
    Ok(Best::of(epochs.iter().filter(|line| line.step <= running.step)))
}

/// Runs the steps of the current epoch up to step `last`.
async fn steps(
    session: &Session<'_>,
    running: &mut Running<'_>,
    last: u64,
    cadence: Option<Cadence>,
    snapshots: Option<(&ResidentData, &[usize])>,
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
        session.train.stage(session.gpu, &remaining[..parts], session.config.shuffle);
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
        if let Some((data, images)) = snapshots
            .filter(|_| running.step.is_multiple_of(u64::from(session.config.snapshot_every)))
        {
            settle(session, running, false, observer).await?;
            let snapshot = snapshot(session, running.step, data).await?;
            observer.snapshot(&snapshot, images);
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
