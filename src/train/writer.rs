//! Writes checkpoints while the next steps run.

use std::{
    fs::File,
    path::PathBuf,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use super::{checkpoint::Checkpoint, lock::RunLock, names::METRICS_FILE};
use crate::{Error, Phrase, Result, error::phrase};

/// Writes one checkpoint at a time on its own thread. A failed write does not stop training: it is
/// reported once, and the next checkpoint is the next attempt.
pub(super) struct Writer {
    folder: PathBuf,
    lock: Arc<RunLock>,
    /// The thread with the step of its checkpoint.
    running: Option<(JoinHandle<Result<()>>, u64)>,
    failing: bool,
    written: Option<u64>,
}

impl Writer {
    /// A writer for the run in `folder`, which `lock` holds. `written` is the step of the existing
    /// checkpoint, if there is one.
    pub fn new(folder: PathBuf, lock: Arc<RunLock>, written: Option<u64>) -> Writer {
        Writer { folder, lock, running: None, failing: false, written }
    }

    /// The step of the last checkpoint that was written.
    pub fn written(&self) -> Option<u64> {
        self.written
    }

    /// Starts to write `checkpoint`, after the lines in `metrics` that belong to it. It first waits
    /// for the previous checkpoint and returns the message about that one.
    pub fn begin(&mut self, checkpoint: Checkpoint, metrics: Result<File>) -> Option<String> {
        let before = self.finish();
        let (folder, lock, step) =
            (self.folder.clone(), Arc::clone(&self.lock), checkpoint.progress.step);
        let write = move || -> Result<()> {
            lock.check(&folder)?;
            metrics?.sync_data().map_err(Error::io("cannot write", folder.join(METRICS_FILE)))?;
            // If the folder was moved away meanwhile, the error says so.
            checkpoint.save(&folder).map_err(|error| lock.check(&folder).err().unwrap_or(error))
        };
        match Builder::new().name("checkpoint".into()).spawn(write) {
            Ok(thread) => self.running = Some((thread, step)),
            Err(error) => {
                let error = Error::io("cannot start a thread to write it", &self.folder)(error);
                return before.or(self.done(Err(error)));
            }
        }
        before
    }

    /// The message about a checkpoint that was written or failed, if there is one.
    pub fn poll(&mut self) -> Option<String> {
        if self.running.as_ref().is_some_and(|(thread, _)| thread.is_finished()) {
            self.finish()
        } else {
            None
        }
    }

    /// Waits until no checkpoint is being written; returns as [`Self::poll`].
    pub fn finish(&mut self) -> Option<String> {
        let result = self.join()?;
        self.done(result)
    }

    /// As [`Self::finish`], for the last checkpoint: the message says whether it was written,
    /// whatever happened to those before.
    pub fn finish_last(&mut self) -> Option<Phrase> {
        let left = |written: Option<u64>| match written {
            Some(step) => phrase!("<resume> goes on from step {}", step),
            None => "there is none from before".into(),
        };
        match self.join()? {
            Err(error) => {
                Some(phrase!("no checkpoint was written: {}; ", error).then(left(self.written)))
            }
            written => self.done(written).map(Phrase::from),
        }
    }

    fn join(&mut self) -> Option<Result<()>> {
        let (thread, step) = self.running.take()?;
        let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if result.is_ok() {
            self.written = Some(step);
        }
        Some(result)
    }

    /// Records the result of a checkpoint; returns a message if it differs from that of the
    /// previous one.
    fn done(&mut self, result: Result<()>) -> Option<String> {
        let failed = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Err(error) if !failed => Some(format!(
                "no checkpoint was written: {error}; training continues and will try the next one"
            )),
            Ok(()) if failed => Some("checkpoints are written again".into()),
            _ => None,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.running.take().map(|(thread, _)| thread.join());
    }
}
