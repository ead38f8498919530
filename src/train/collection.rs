//! Metrics and state on their way from the device to the run folder, while the next steps run.

use std::time::Instant;

use super::{Checkpoint, Observer, StepLine, Trainer, lines::Line, running::Running};
use crate::{Result, gpu::Staging, quant::QuantizerState, sgt::Cause};

/// Copies in flight: the metrics of the steps since the last harvest, and the state after them
/// where it is for a checkpoint.
pub(super) struct Harvest {
    staging: Staging,
    step: u64,
    with_state: bool,
    /// Steps whose quantizers are in it.
    sampled: Vec<u64>,
}

impl Harvest {
    /// Whether it can be taken in without waiting.
    pub fn is_ready(&self) -> bool {
        self.staging.is_ready()
    }
}

impl Trainer<'_> {
    /// Has the metrics of all steps so far copied, and with `with_state` the run's state, of which
    /// a checkpoint is made when it arrives. Nothing waits for the device, but for a harvest that
    /// is still on its way.
    pub(super) async fn request(
        &self,
        running: &mut Running<'_>,
        with_state: bool,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.take_in(running, observer).await?;
        let (first, count) =
            (running.collected % self.steps_per_epoch, running.step - running.collected);
        let mut ranges = Vec::new();
        if count > 0 {
            ranges.push((&self.metrics.sums, first * 16, count * 16));
            ranges.push((&self.metrics.verdicts, first * 8, count * 8));
        }
        let (sampled, samples) = running.quantizers.take();
        ranges.extend(samples.iter().map(|(buffer, bytes)| (buffer, 0, *bytes)));
        if with_state {
            let bytes = u64::from(self.network.graph.layout.padded_length()) * 4;
            ranges.push((self.network.parameters(), 0, bytes));
            ranges.extend(self.optimizer.states.iter().map(|state| (state, 0, bytes)));
            running.last_checkpoint = Instant::now();
        }
        running.last_request = Instant::now();
        if ranges.is_empty() {
            return Ok(());
        }
        running.harvest = Some(Harvest {
            staging: Staging::gather(self.gpu, &ranges)?,
            step: running.step,
            with_state,
            sampled,
        });
        Ok(())
    }

    /// Waits until all metrics so far have been taken in, and with `with_state` until a checkpoint
    /// of this moment is being written.
    pub(super) async fn settle(
        &self,
        running: &mut Running<'_>,
        with_state: bool,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.request(running, with_state, observer).await?;
        self.take_in(running, observer).await
    }

    /// Takes in the harvest that is on its way, if one is: lines, sums, a checkpoint.
    pub(super) async fn take_in(
        &self,
        running: &mut Running<'_>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let Some(harvest) = running.harvest.take() else { return Ok(()) };
        let words: Vec<u32> = harvest.staging.finish(self.gpu).await?;
        let count = (harvest.step - running.collected) as usize;
        let (sums, words) = words.split_at(4 * count);
        let (verdicts, words) = words.split_at(2 * count);
        let (samples, state) = words.split_at(running.quantizers.values(harvest.sampled.len()));
        let mut quantizers = running.quantizers.states(
            &self.network,
            &harvest.sampled,
            bytemuck::cast_slice(samples),
        );
        let (sums, verdicts): (&[[f32; 4]], &[[u32; 2]]) =
            (bytemuck::cast_slice(sums), bytemuck::cast_slice(verdicts));
        let images: f32 = sums.iter().map(|[.., images]| images).sum();
        let rate = f64::from(images) / running.lap().max(1e-9);
        for (sums, &verdict) in sums.iter().zip(verdicts) {
            let sums = sums.map(f64::from);
            match Cause::of(verdict) {
                None => {
                    let quantizers =
                        quantizers.remove(&(running.collected + 1)).unwrap_or_default();
                    self.take_in_step(running, sums, quantizers, rate, observer)?
                }
                Some(cause) => {
                    self.take_in_bad_step(running, cause, verdict[1], sums[0] / sums[3], observer)
                        .await?
                }
            }
        }
        self.write_lines(running, observer);
        if harvest.with_state {
            self.write_checkpoint(running, bytemuck::cast_slice(state), observer);
        }
        Ok(())
    }

    fn take_in_step(
        &self,
        running: &mut Running<'_>,
        sums: [f64; 4],
        quantizers: QuantizerState,
        rate: f64,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let step = running.collected + 1;
        let [ce, kl, correct, images] = sums;
        running.skips.in_a_row = 0;
        running.collected = step;
        for (sum, value) in running.epoch_sums.iter_mut().zip(sums) {
            *sum += value;
        }
        running.masking.add(ce, images);
        let lambda = if self.config.sgt.enabled { f64::from(self.config.sgt.lambda) } else { 0.0 };
        let line = StepLine {
            step,
            loss: (ce + lambda * kl) / images,
            ce: ce / images,
            kl: kl / images,
            accuracy: correct / images,
            lr: self.rate(step, running.skips),
            quantizers,
        };
        observer.step(&line, rate);
        if self.config.log_every > 0 && step.is_multiple_of(u64::from(self.config.log_every)) {
            running.folder.write(&Line::Step(&line))?;
        }
        running.record.add_step(line);
        Ok(())
    }

    /// Hands the lines so far to the file. A full disk is said once; the lines wait for the next
    /// time.
    pub(super) fn write_lines(&self, running: &mut Running<'_>, observer: &mut dyn Observer) {
        let result = running.folder.flush();
        let failed = std::mem::replace(&mut running.metrics_fail, result.is_err());
        match result {
            Err(error) if !failed => observer
                .note(&format!("{error}; training goes on, the lines are kept and tried again")),
            Ok(_) if failed => observer.note("metrics.jsonl is written again, no line is lost"),
            _ => {}
        }
    }

    /// Has the state after the last step taken in written, in the background: parameters and the
    /// optimiser's arrays, one behind the other.
    pub(super) fn write_checkpoint(
        &self,
        running: &mut Running<'_>,
        state: &[f32],
        observer: &mut dyn Observer,
    ) {
        let metrics = running.folder.flush();
        let progress = running.progress(*metrics.as_ref().unwrap_or(&0));
        let mut arrays = state
            .chunks_exact(self.network.graph.layout.padded_length() as usize)
            .map(<[f32]>::to_vec);
        let parameters = arrays.next().unwrap_or_default();
        let checkpoint = Checkpoint { progress, parameters, states: arrays.collect() };
        let metrics = metrics.and_then(|_| running.folder.metrics_handle());
        if let Some(said) = running.writer.begin(checkpoint, metrics) {
            observer.note(&said);
        }
    }
}
