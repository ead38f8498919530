//! Checkpoints written while the next steps run.

use std::{
    fs::File,
    path::PathBuf,
    thread::{Builder, JoinHandle},
};

use super::Checkpoint;
use crate::{Error, Result};

/// Writes one checkpoint at a time on a thread of its own. A disk that takes none is no reason to stop training: it is said once, and the
/// next checkpoint is the next try.
pub(super) struct Writer {
    folder: PathBuf,
    running: Option<JoinHandle<Result<()>>>,
    failing: bool,
}

impl Writer {
    /// A writer for the run in `folder`.
    pub fn new(folder: PathBuf) -> Writer {
        Writer { folder, running: None, failing: false }
    }

    /// Begins to write `checkpoint`, after the lines in `metrics` that belong to it; waits first for the one before to be written.
    /// What there is to say about that one is returned.
    pub fn begin(&mut self, checkpoint: Checkpoint, metrics: Result<File>) -> Option<String> {
        let before = self.finish();
        let folder = self.folder.clone();
        let write = move || -> Result<()> {
            metrics?.sync_data().map_err(Error::io("cannot write", folder.join("metrics.jsonl")))?;
            checkpoint.save(&folder)
        };
        match Builder::new().name("checkpoint".into()).spawn(write) {
            Ok(thread) => self.running = Some(thread),
            Err(error) => return before.or(self.done(Err(Error::io("cannot start a thread to write it", &self.folder)(error)))),
        }
        before
    }

    /// What there is to say about a checkpoint that has been written, or could not be.
    pub fn poll(&mut self) -> Option<String> {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) { self.finish() } else { None }
    }

    /// Waits until nothing is being written any more; as [`Self::poll`].
    pub fn finish(&mut self) -> Option<String> {
        let result = self.running.take()?.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.done(result)
    }

    /// Takes note of a checkpoint's fate; a line where it is another than that of the one before.
    pub fn done(&mut self, result: Result<()>) -> Option<String> {
        let failed = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Err(error) if !failed => {
                Some(format!("no checkpoint was written: {error}; training goes on, the next one will be tried"))
            }
            Ok(()) if failed => Some("checkpoints are written again".into()),
            _ => None,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.running.take().map(JoinHandle::join);
    }
}
