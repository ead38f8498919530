//! Writes `metrics.jsonl`.

use std::{
    fs::{File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::lines::Line;
use crate::{Error, Result};

/// Appends whole lines. Lines that do not fit on a full disk are written by a later attempt: no
/// line is lost, torn or duplicated.
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
    written: u64,
    waiting: Vec<u8>,
}

impl MetricsFile {
    /// Opens the file and cuts it to its first `length` bytes.
    pub fn open(path: &Path, length: u64) -> Result<MetricsFile> {
        let problem = |error| Error::io("cannot write", path)(error);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(problem)?;
        file.set_len(length).map_err(problem)?;
        Ok(MetricsFile { path: path.into(), file, written: length, waiting: Vec::new() })
    }

    /// Adds a line, which the next [`Self::flush`] writes.
    pub fn append(&mut self, line: &Line<'_>) -> Result<()> {
        serde_json::to_writer(&mut self.waiting, line)
            .map_err(|error| Error::Model(error.to_string()))?;
        self.waiting.push(b'\n');
        Ok(())
    }

    /// Writes the waiting lines and returns the file's length in bytes.
    pub fn flush(&mut self) -> Result<u64> {
        if !self.waiting.is_empty() {
            let start = SeekFrom::Start(self.written);
            if let Err(error) =
                self.file.seek(start).and_then(|_| self.file.write_all(&self.waiting))
            {
                // Part of a line may be in the file; readers should not see it.
                let _ = self.file.set_len(self.written);
                return Err(Error::io("cannot write", &self.path)(error));
            }
            self.written += self.waiting.len() as u64;
            self.waiting.clear();
        }
        Ok(self.written)
    }

    /// A second handle of the file, to sync it on another thread.
    pub fn handle(&self) -> Result<File> {
        self.file.try_clone().map_err(Error::io("cannot write", &self.path))
    }
}
