//! Copies metrics and state from the device to the run folder while the next steps run.

use std::time::Instant;

use super::{
    harvest::Harvest,
    health::take_in_bad_step,
    lines::{Line, StepLine},
    outcome::Observer,
    running::Running,
    session::Session,
};
use crate::{Result, gpu::Staging, quant::QuantizerState, sgt::Cause};

/// Requests a copy of the metrics of all steps so far. `with_state` also copies the run's state and
/// writes a checkpoint when it arrives. The call waits only for an earlier harvest that has not
/// been read yet.
pub(super) async fn request(
    session: &Session<'_>,
    running: &mut Running<'_>,
    with_state: bool,
    observer: &mut dyn Observer,
) -> Result<()> {
    take_in(session, running, observer).await?;
    let (first, count) =
        (running.collected % session.steps_per_epoch, running.step - running.collected);
    let mut ranges = Vec::new();
    if count > 0 {
        ranges.push((&session.metrics.sums, first * 16, count * 16));
        ranges.push((&session.metrics.verdicts, first * 8, count * 8));
        ranges.extend(session.distances().map(|sums| (sums, first * 16, count * 16)));
    }
    let (sampled, samples) = running.quantizers.take();
    ranges.extend(samples.iter().map(|(buffer, bytes)| (buffer, 0, *bytes)));
    if with_state {
        ranges.extend(session.state());
        running.last_checkpoint = Instant::now();
    }
    running.last_request = Instant::now();
    if ranges.is_empty() {
        return Ok(());
    }
    running.harvest = Some(Harvest {
        staging: Staging::gather(session.gpu, &ranges)?,
        step: running.step,
        with_state,
        sampled,
    });
    Ok(())
}

/// Waits until all metrics so far are read, and with `with_state` until a checkpoint of the current
/// state is being written.
pub(super) async fn settle(
    session: &Session<'_>,
    running: &mut Running<'_>,
    with_state: bool,
    observer: &mut dyn Observer,
) -> Result<()> {
    request(session, running, with_state, observer).await?;
    take_in(session, running, observer).await
}

/// Reads the harvest in flight, if there is one: lines, sums, a checkpoint.
pub(super) async fn take_in(
    session: &Session<'_>,
    running: &mut Running<'_>,
    observer: &mut dyn Observer,
) -> Result<()> {
    let Some(harvest) = running.harvest.take() else { return Ok(()) };
    let words: Vec<u32> = harvest.staging.finish(session.gpu).await?;
    let count = (harvest.step - running.collected) as usize;
    let (sums, words) = words.split_at(4 * count);
    let (verdicts, words) = words.split_at(2 * count);
    let (distances, words) = words.split_at(if session.teaching.is_some() { 4 * count } else { 0 });
    let (samples, state) = words.split_at(running.quantizers.values(harvest.sampled.len()));
    let mut quantizers = running.quantizers.states(
        &session.network,
        &harvest.sampled,
        bytemuck::cast_slice(samples),
    );
    let (sums, verdicts): (&[[f32; 4]], &[[u32; 2]]) =
        (bytemuck::cast_slice(sums), bytemuck::cast_slice(verdicts));
    let images: f32 = sums.iter().map(|[.., images]| images).sum();
    let rate = f64::from(images) / running.lap().max(1e-9);
    let distances: &[[f32; 4]] = bytemuck::cast_slice(distances);
    let distances = distances
        .iter()
        .map(|&[predictions, maps, ..]| Some([f64::from(predictions), f64::from(maps)]));
    let distances = distances.chain(std::iter::repeat(None));
    for ((sums, &verdict), distances) in sums.iter().zip(verdicts).zip(distances) {
        let sums = sums.map(f64::from);
        match Cause::of(verdict) {
            None => {
                let quantizers = quantizers.remove(&(running.collected + 1)).unwrap_or_default();
                take_in_step(session, running, (sums, distances), quantizers, rate, observer)?
            }
            Some(cause) => {
                take_in_bad_step(session, running, cause, verdict[1], sums[0] / sums[3], observer)
                    .await?
            }
        }
    }
    running.write_lines(observer);
    if harvest.with_state {
        running.write_checkpoint(session.parameter_length(), bytemuck::cast_slice(state), observer);
    }
    Ok(())
}

fn take_in_step(
    session: &Session<'_>,
    running: &mut Running<'_>,
    (sums, distances): ([f64; 4], Option<[f64; 2]>),
    quantizers: QuantizerState,
    rate: f64,
    observer: &mut dyn Observer,
) -> Result<()> {
    let step = running.collected + 1;
    let [ce, .., images] = sums;
    running.skips.in_a_row = 0;
    running.collected = step;
    for (sum, value) in running.epoch_sums.iter_mut().zip(sums) {
        *sum += value;
    }
    if let Some(own) = distances {
        let sums = running.distances.get_or_insert_default();
        sums.iter_mut().zip(own).for_each(|(sum, value)| *sum += value);
    }
    running.masking.add(ce, images);
    let line = StepLine { quantizers, ..session.line(step, sums, distances, running.skips) };
    observer.step(&line, rate);
    if session.config.log_every > 0 && step.is_multiple_of(u64::from(session.config.log_every)) {
        running.folder.write(&Line::Step(&line))?;
    }
    running.record.add_step(line);
    Ok(())
}
