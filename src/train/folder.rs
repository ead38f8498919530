//! A run folder: `config.toml`, `metrics.jsonl`, `model.safetensors`, and the checkpoints.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    checkpoint::Checkpoint,
    lines::{EpochLine, Line, StepLine},
    lock::RunLock,
    metrics_file::MetricsFile,
    names::{BEST_FILE, CONFIG_FILE, DATA_FILE, METRICS_FILE},
};
use crate::{
    Error, Result,
    config::RunConfig,
    error::phrase,
    files::{remove_leftovers, remove_old, write_atomically},
    model::MODEL_FILE,
};

/// The open run folder of a run.
pub struct RunFolder {
    path: PathBuf,
    metrics: MetricsFile,
    lock: Arc<RunLock>,
}

impl RunFolder {
    /// Creates the folder for a new run. A folder that contains a run is replaced only with
    /// `force`.
    ///
    /// # Errors
    /// [`Error::Settings`] for an existing run, [`Error::Io`] for a folder that cannot be written.
    pub fn create(config: &RunConfig, force: bool, lock: RunLock) -> Result<RunFolder> {
        let path = &config.out;
        let mut files = [CONFIG_FILE, METRICS_FILE, MODEL_FILE, BEST_FILE, DATA_FILE]
            .map(|name| path.join(name))
            .to_vec();
        files.extend(Checkpoint::files(path));
        if files.iter().any(|file| file.exists()) {
            if !force {
                return Err(Error::Settings(phrase!(
                    "{}: a run is there already; <resume> goes on with it, <force> replaces it, \
                     <out> names another folder",
                    path.display()
                )));
            }
            files.iter().try_for_each(|file| remove_old(file))?;
        }
        write_atomically(&path.join(CONFIG_FILE), config.to_toml().as_bytes())?;
        RunFolder::open(path, 0, lock)
    }

    /// Length of the metrics in `folder` in bytes; 0 if there are none.
    pub fn metrics_length(folder: &Path) -> u64 {
        fs::metadata(folder.join(METRICS_FILE)).map_or(0, |metadata| metadata.len())
    }

    /// Opens the folder of a run that continues. `metrics.jsonl` is cut to the `metrics_bytes` that
    /// it had at the checkpoint.
    pub fn reopen(config: &RunConfig, metrics_bytes: u64, lock: RunLock) -> Result<RunFolder> {
        write_atomically(&config.out.join(CONFIG_FILE), config.to_toml().as_bytes())?;
        RunFolder::open(&config.out, metrics_bytes, lock)
    }

    fn open(path: &Path, metrics_bytes: u64, lock: RunLock) -> Result<RunFolder> {
        remove_leftovers(path);
        let metrics = MetricsFile::open(&path.join(METRICS_FILE), metrics_bytes)?;
        Ok(RunFolder { path: path.into(), metrics, lock: Arc::new(lock) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The lock on the folder, which is held as long as a reference to it exists.
    pub(super) fn lock(&self) -> Arc<RunLock> {
        Arc::clone(&self.lock)
    }

    /// The path of the model file.
    ///
    /// # Errors
    /// [`Error::Locked`] if the folder was replaced by another one.
    pub fn model(&self) -> Result<PathBuf> {
        self.lock.check(&self.path)?;
        Ok(self.path.join(MODEL_FILE))
    }

    /// The path of the model of the best epoch, by the validation images.
    ///
    /// # Errors
    /// As [`Self::model`].
    pub(super) fn best(&self) -> Result<PathBuf> {
        self.lock.check(&self.path)?;
        Ok(self.path.join(BEST_FILE))
    }

    /// The configuration file of the run in `folder`.
    pub fn config_of(folder: &Path) -> PathBuf {
        folder.join(CONFIG_FILE)
    }

    /// The metrics of the run in `folder`, a line for every logged step and every epoch.
    pub fn metrics_of(folder: &Path) -> PathBuf {
        folder.join(METRICS_FILE)
    }

    /// Appends a line.
    pub(super) fn write(&mut self, line: &Line<'_>) -> Result<()> {
        self.metrics.append(line)
    }

    /// Writes the buffered lines and returns the length of `metrics.jsonl` in bytes. Lines that
    /// could not be written stay in the buffer.
    pub fn flush(&mut self) -> Result<u64> {
        self.metrics.flush()
    }

    /// A second handle of `metrics.jsonl`, to sync it on another thread.
    pub(super) fn metrics_handle(&self) -> Result<File> {
        self.metrics.handle()
    }

    /// Reads back the lines of a run's `metrics.jsonl`: its steps and epochs.
    pub fn read_metrics(folder: &Path) -> Result<(Vec<StepLine>, Vec<EpochLine>)> {
        let path = folder.join(METRICS_FILE);
        let text = fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
        let (mut steps, mut epochs) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let bad = |error: serde_json::Error| {
                Error::format(&path, format!("line {}: {error}", number + 1))
            };
            RunFolder::read_line(line, &mut steps, &mut epochs).map_err(bad)?;
        }
        Ok((steps, epochs))
    }

    /// Adds what a line of `metrics.jsonl` holds to the steps or the epochs. Lines of other kinds
    /// are passed over.
    pub(crate) fn read_line(
        line: &str,
        steps: &mut Vec<StepLine>,
        epochs: &mut Vec<EpochLine>,
    ) -> serde_json::Result<()> {
        let value: serde_json::Value = serde_json::from_str(line)?;
        match value["kind"].as_str() {
            Some("step") => steps.push(serde_json::from_value(value)?),
            Some("epoch") => epochs.push(serde_json::from_value(value)?),
            _ => {}
        }
        Ok(())
    }
}
