//! A run folder: `config.toml`, `metrics.jsonl`, `model.safetensors`, `checkpoint.safetensors`.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Seek, Write},
    path::{Path, PathBuf},
};

use super::lines::{EpochLine, Line, StepLine};
use crate::{Error, Result, config::RunConfig, files::write_atomically, model::MODEL_FILE};

/// Resolved configuration, enough to repeat the run.
pub const CONFIG_FILE: &str = "config.toml";
const METRICS_FILE: &str = "metrics.jsonl";
const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

/// A run folder being written.
pub struct RunFolder {
    path: PathBuf,
    metrics: BufWriter<File>,
}

impl RunFolder {
    /// Makes the folder for a new run; one that holds a run already is replaced only if `force` says so.
    ///
    /// # Errors
    /// [`Error::Usage`] for an existing run, [`Error::Io`] for a folder that cannot be written.
    pub fn create(config: &RunConfig, force: bool) -> Result<RunFolder> {
        let path = &config.out;
        let names = [CONFIG_FILE, METRICS_FILE, MODEL_FILE, CHECKPOINT_FILE];
        if names.iter().any(|name| path.join(name).exists()) {
            if !force {
                return Err(Error::Usage(format!(
                    "{}: a run is there already; --resume goes on with it, --force replaces it, --out names another folder",
                    path.display()
                )));
            }
            for name in names {
                match fs::remove_file(path.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io("cannot replace", path.join(name))(error));
                    }
                    _ => {}
                }
            }
        }
        fs::create_dir_all(path).map_err(Error::io("cannot create", path))?;
        write_atomically(&path.join(CONFIG_FILE), config.to_toml().as_bytes())?;
        RunFolder::open(path, 0)
    }

    /// Length of the metrics in `folder` in bytes; 0 where there are none.
    pub fn metrics_length(folder: &Path) -> u64 {
        fs::metadata(folder.join(METRICS_FILE)).map_or(0, |metadata| metadata.len())
    }

    /// Opens the folder of a run that goes on: `metrics.jsonl` is cut back to the `metrics_bytes` it had at the checkpoint.
    pub fn reopen(config: &RunConfig, metrics_bytes: u64) -> Result<RunFolder> {
        write_atomically(&config.out.join(CONFIG_FILE), config.to_toml().as_bytes())?;
        RunFolder::open(&config.out, metrics_bytes)
    }

    fn open(path: &Path, metrics_bytes: u64) -> Result<RunFolder> {
        let file = path.join(METRICS_FILE);
        let problem = || Error::io("cannot write", &file);
        let mut metrics = OpenOptions::new().create(true).truncate(false).write(true).open(&file).map_err(problem())?;
        metrics.set_len(metrics_bytes).map_err(problem())?;
        metrics.seek(std::io::SeekFrom::End(0)).map_err(problem())?;
        Ok(RunFolder { path: path.into(), metrics: BufWriter::new(metrics) })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the model goes.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL_FILE)
    }

    /// Where the checkpoint goes.
    pub fn checkpoint(&self) -> PathBuf {
        RunFolder::checkpoint_of(&self.path)
    }

    /// The checkpoint of the run in `folder`.
    pub fn checkpoint_of(folder: &Path) -> PathBuf {
        folder.join(CHECKPOINT_FILE)
    }

    /// The configuration file of the run in `folder`.
    pub fn config_of(folder: &Path) -> PathBuf {
        folder.join(CONFIG_FILE)
    }

    /// Appends a step line.
    pub fn write_step(&mut self, line: &StepLine) -> Result<()> {
        self.write(&Line::Step(line))
    }

    /// Appends an epoch line.
    pub fn write_epoch(&mut self, line: &EpochLine) -> Result<()> {
        self.write(&Line::Epoch(line))
    }

    fn write(&mut self, line: &Line<'_>) -> Result<()> {
        let problem = Error::io("cannot write", self.path.join(METRICS_FILE));
        let mut text = serde_json::to_string(line).map_err(|error| Error::Model(error.to_string()))?;
        text.push('\n');
        self.metrics.write_all(text.as_bytes()).map_err(problem)
    }

    /// Writes out what is buffered; the number of bytes of `metrics.jsonl` is returned.
    pub fn flush(&mut self) -> Result<u64> {
        let file = self.path.join(METRICS_FILE);
        self.metrics.flush().and_then(|()| self.metrics.stream_position()).map_err(Error::io("cannot write", file))
    }

    /// Reads back the lines of a run's `metrics.jsonl`: its steps and epochs.
    pub fn read_metrics(folder: &Path) -> Result<(Vec<StepLine>, Vec<EpochLine>)> {
        let path = folder.join(METRICS_FILE);
        let text = fs::read_to_string(&path).map_err(Error::io("cannot read", &path))?;
        let (mut steps, mut epochs) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let bad = |error: serde_json::Error| Error::format(&path, format!("line {}: {error}", number + 1));
            let value: serde_json::Value = serde_json::from_str(line).map_err(bad)?;
            match value["kind"].as_str() {
                Some("step") => steps.push(serde_json::from_value(value).map_err(bad)?),
                Some("epoch") => epochs.push(serde_json::from_value(value).map_err(bad)?),
                _ => {}
            }
        }
        Ok((steps, epochs))
    }
}
