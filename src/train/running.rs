//! The state of a run between two of its steps on the host, apart from the arrays on the GPU.

use std::time::Instant;

use super::{
    checkpoint::{Checkpoint, Progressed},
    folder::RunFolder,
    harvest::Harvest,
    outcome::{Observer, Record},
    ranges::QuantizerHistory,
    skips::Skips,
    writer::Writer,
};
use crate::sgt::MaskingProgress;

/// The progress of a run.
pub(super) struct Running<'a> {
    pub writer: Writer,
    pub folder: RunFolder,
    pub record: &'a mut Record,
    /// Number of steps submitted to the device.
    pub step: u64,
    /// Number of steps whose metrics were read; the fields below describe the moment after that
    /// step.
    pub collected: u64,
    /// Σce, Σkl, Σcorrect, images of the unfinished epoch.
    pub epoch_sums: [f64; 4],
    /// Σ distances of predictions and of maps from a teacher's, where there is one.
    pub distances: Option<[f64; 2]>,
    pub masking: MaskingProgress,
    pub skips: Skips,
    pub epoch_seconds: f64,
    /// Whether the device has the gradients of the last step; false if the run continues and has
    /// made no step yet.
    pub has_gradients: bool,
    /// Whether the last step belongs to an epoch without a line.
    pub epoch_is_open: bool,
    pub quantizers: QuantizerHistory,
    /// The settings that checkpoints must agree with: [`Session::settings`].
    settings: String,
    /// Copies in flight from the device.
    pub harvest: Option<Harvest>,
    /// Whether the last lines could not be written.
    pub metrics_fail: bool,
    /// The time up to which training time was added up.
    pub clock: Instant,
    pub last_request: Instant,
    pub last_checkpoint: Instant,
}

impl<'a> Running<'a> {
    /// A run in `folder` with the given `progress`; at its beginning if there is none.
    pub fn new(
        folder: RunFolder,
        progress: Option<&Progressed>,
        quantizers: QuantizerHistory,
        settings: String,
        record: &'a mut Record,
    ) -> Running<'a> {
        let step = progress.map_or(0, |progress| progress.step);
        record.rewind(step);
        let now = Instant::now();
        Running {
            writer: Writer::new(
                folder.path().into(),
                folder.lock(),
                progress.map(|progress| progress.step),
            ),
            folder,
            record,
            step,
            collected: step,
            epoch_sums: progress.map_or([0.0; 4], |progress| progress.epoch_sums),
            distances: progress.and_then(|progress| progress.distances),
            masking: progress.map_or_else(MaskingProgress::default, |progress| progress.masking),
            skips: progress.map_or_else(Skips::default, |progress| progress.skips),
            epoch_seconds: progress.map_or(0.0, |progress| progress.epoch_seconds),
            has_gradients: false,
            // The sums are 0 after an epoch's line.
            epoch_is_open: progress.is_some_and(|progress| progress.epoch_sums != [0.0; 4]),
            quantizers,
            settings,
            harvest: None,
            metrics_fail: false,
            clock: now,
            last_request: now,
            last_checkpoint: now,
        }
    }

    /// The progress of the run, for a checkpoint.
    pub fn progress(&self, metrics_bytes: u64) -> Progressed {
        Progressed {
            step: self.collected,
            epoch_sums: self.epoch_sums,
            distances: self.distances,
            masking: self.masking,
            skips: self.skips,
            epoch_seconds: self.epoch_seconds,
            metrics_bytes,
            settings: self.settings.clone(),
        }
    }

    /// Seconds since the last call, which count as training time.
    pub fn lap(&mut self) -> f64 {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.epoch_seconds += seconds;
        self.record.seconds += seconds;
        seconds
    }

    /// Excludes the time since the last lap from the training time.
    pub fn pause(&mut self) {
        self.clock = Instant::now();
    }

    /// Writes the lines so far into the file. A full disk is reported once; the lines are kept for
    /// a later attempt.
    pub fn write_lines(&mut self, observer: &mut dyn Observer) {
        let result = self.folder.flush();
        let failed = std::mem::replace(&mut self.metrics_fail, result.is_err());
        match result {
            Err(error) if !failed => observer.note(&format!(
                "{error}; training continues, and the lines are kept for another attempt"
            )),
            Ok(_) if failed => observer.note("metrics.jsonl is written again, no line is lost"),
            _ => {}
        }
    }

    /// Writes the state after the last step read, in the background: parameters and the optimiser's
    /// arrays, each of `length` values, one after the other.
    pub fn write_checkpoint(&mut self, length: usize, state: &[f32], observer: &mut dyn Observer) {
        let metrics = self.folder.flush();
        let progress = self.progress(*metrics.as_ref().unwrap_or(&0));
        let checkpoint = Checkpoint::of_state(progress, length, state);
        let metrics = metrics.and_then(|_| self.folder.metrics_handle());
        if let Some(said) = self.writer.begin(checkpoint, metrics) {
            observer.note(&said);
        }
    }
}
