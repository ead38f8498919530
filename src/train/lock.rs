//! One process a run folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
};

use crate::{Error, Result};

/// Holds the number of the process that has the folder; left there when the run is over, empty then.
const LOCK_FILE: &str = ".lock";

/// The right to write to a run folder. The operating system takes it back when the process ends, however it ends: a file that a killed
/// process has left locks nothing.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Whether `folder` is still the folder that was taken: not moved away, deleted, or replaced by another one.
    ///
    /// # Errors
    /// [`Error::Locked`] where it is not.
    pub fn check(&self, folder: &Path) -> Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let held = self.file.metadata().map(identity).ok();
            if std::fs::metadata(folder.join(LOCK_FILE)).map(identity).ok() != held {
                return Err(Error::Locked(format!(
                    "{}: the folder was moved or deleted while the run wrote to it, and is not written to any more",
                    folder.display()
                )));
            }
        }
        Ok(())
    }

    /// Takes the folder, which must exist.
    ///
    /// # Errors
    /// [`Error::Locked`] if another run has it, [`Error::Io`] where the file cannot be written.
    pub fn take(folder: &Path) -> Result<RunLock> {
        let path = folder.join(LOCK_FILE);
        let problem = |error| Error::io("cannot write", &path)(error);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).read(true).write(true).open(&path).map_err(problem)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Where locks are mandatory (Windows) the number cannot be read.
                let _ = (&file).take(20).read_to_string(&mut owner);
                let owner = owner.trim().parse::<u32>().map_or(String::new(), |number| format!(" (process {number})"));
                return Err(Error::Locked(format!(
                    "{}: another run{owner} is writing to this folder; wait for it, or give this one another --out",
                    folder.display()
                )));
            }
            // A file system without locks: the number alone does not tell whether that process still runs.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => return Ok(RunLock { file }),
            Err(TryLockError::Error(error)) => return Err(problem(error)),
        }
        // The number is for people; a full disk must not keep a run from going on.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(RunLock { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_no_stale_locks() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path()).unwrap();
        let refused = RunLock::take(folder.path()).unwrap_err().to_string();
        let own = format!("process {}", std::process::id());
        assert!(refused.contains("another run") && (cfg!(windows) || refused.contains(&own)), "{refused}");
        drop(first);
        // What a killed process leaves: its number, with nobody holding the lock, be it of a process that is alive or not.
        for number in ["1", "4294967295", "no number"] {
            std::fs::write(folder.path().join(LOCK_FILE), number).unwrap();
            RunLock::take(folder.path()).unwrap();
        }
    }
}
