//! A lock that allows only one process per run folder.

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

use crate::{Error, Result, error::phrase};

/// Contains the number of the process that holds the folder. The file stays after the run and is
/// empty then.
const LOCK_FILE: &str = ".lock";
/// Longest content of such a file in bytes; a process number has at most ten digits.
const LONGEST: u64 = 20;

/// The right to write to a run folder. The operating system releases it when the process ends in
/// any way, so a file that a killed process left does not lock anything.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    /// Whether the file is locked; false if the file system has no locks.
    locked: bool,
}

impl RunLock {
    /// Checks that `folder` is still the folder that was locked: not moved, deleted, or replaced.
    ///
    /// # Errors
    /// [`Error::Locked`] if it is not.
    #[cfg_attr(not(unix), expect(unused_variables, reason = "files have no identity there"))]
    pub fn check(&self, folder: &Path) -> Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let held = self.file.metadata().map(identity).ok();
            if std::fs::metadata(folder.join(LOCK_FILE)).map(identity).ok() != held {
                return Err(Error::Locked(phrase!(
                    "{}: the folder was moved or deleted while the run wrote to it, and is not \
                     written to any more",
                    folder.display()
                )));
            }
        }
        Ok(())
    }

    /// Locks the folder, which must exist.
    ///
    /// # Errors
    /// [`Error::Locked`] if another run holds it; [`Error::Format`] if the name of the lock belongs
    /// to something else; [`Error::Io`] if the file cannot be written.
    pub fn take(folder: &Path) -> Result<RunLock> {
        let path = folder.join(LOCK_FILE);
        let problem = |error| Error::io("cannot write", &path)(error);
        let other = || {
            Error::format(&path, "is not the lock of a run; move it away and run the command again")
        };
        // Checked before opening: opening would follow a link and create or change its target, and
        // would wait for a pipe.
        if path.symlink_metadata().is_ok_and(|found| !is_lock(&found)) {
            return Err(other());
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(problem)?;
        // Checked again after opening, because the file may have been replaced meanwhile.
        let found = path.symlink_metadata().map_err(problem)?;
        if !is_lock(&found) || !is_same(&found, &file.metadata().map_err(problem)?) {
            return Err(other());
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                // Where locks are mandatory (Windows), the number cannot be read.
                let _ = (&file).take(LONGEST).read_to_string(&mut owner);
                let owner = owner
                    .trim()
                    .parse::<u32>()
                    .map_or(String::new(), |number| format!(" (process {number})"));
                return Err(Error::Locked(phrase!(
                    "{}: another run{} is writing to this folder; wait for it, or give this one \
                     another <out>",
                    folder.display(),
                    owner
                )));
            }
            // The number alone would not show whether that process still runs.
            Err(TryLockError::Error(error)) if means_no_locks(&error) => {
                log::warn!(
                    "{}: this file system has no locks; make sure that no other run writes there",
                    folder.display()
                );
                return Ok(RunLock { file, locked: false });
            }
            Err(TryLockError::Error(error)) => return Err(problem(error)),
        }
        // The number only informs people; a full disk must not stop the run.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(RunLock { file, locked: true })
    }
}

/// Whether a file with this `metadata` can be a lock; another program wrote a longer file.
fn is_lock(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.len() <= LONGEST
}

/// Whether both belong to the same file.
#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// On other systems files have no numbers to compare; links there need privileges.
#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// Whether the error means that the file system has no locks; NFS without its lock service returns
/// `ENOLCK`.
fn means_no_locks(error: &io::Error) -> bool {
    const ENOLCK: i32 = if cfg!(target_os = "linux") { 37 } else { 77 };
    error.kind() == io::ErrorKind::Unsupported
        || (cfg!(unix) && error.raw_os_error() == Some(ENOLCK))
}

impl Drop for RunLock {
    fn drop(&mut self) {
        if self.locked {
            let _ = self.file.set_len(0);
            let _ = self.file.unlock();
        }
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
        assert!(
            refused.contains("another run") && (cfg!(windows) || refused.contains(&own)),
            "{refused}"
        );
        drop(first);
        // A killed process leaves its number, and nobody holds the lock, whether or not a process
        // with that number runs.
        for number in ["1", "4294967295", "no number"] {
            std::fs::write(folder.path().join(LOCK_FILE), number).unwrap();
            RunLock::take(folder.path()).unwrap();
        }
    }

    /// A file of another program with that name, or a link to one, is not changed.
    #[cfg(unix)]
    #[test]
    fn what_is_no_lock_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let (folder, victim) = (root.path().join("run"), root.path().join("victim"));
        std::fs::create_dir(&folder).unwrap();
        let lock = folder.join(LOCK_FILE);
        let content = "somebody's own content";
        let refused = |what: &str| {
            let error = RunLock::take(&folder).unwrap_err().to_string();
            assert!(
                error.contains(".lock") && error.contains("not the lock of a run"),
                "{what}: {error}"
            );
            std::fs::remove_file(&lock).unwrap();
        };
        for short in ["7", content] {
            std::fs::write(&victim, short).unwrap();
            std::os::unix::fs::symlink(&victim, &lock).unwrap();
            refused("a link");
            assert_eq!(std::fs::read_to_string(&victim).unwrap(), short);
        }
        std::fs::hard_link(&victim, &lock).unwrap();
        refused("a second name of a file");
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), content);
        std::os::unix::fs::symlink(root.path().join("new"), &lock).unwrap();
        refused("a link to nothing");
        assert!(!root.path().join("new").exists());
        let pipe = std::process::Command::new("mkfifo").arg(&lock).status().unwrap();
        assert!(pipe.success());
        refused("a pipe");
        RunLock::take(&folder).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn errors_of_file_systems_without_locks() {
        // ENOLCK, EOPNOTSUPP, ENOSYS; EIO and EBADF are errors.
        let known = |number| means_no_locks(&io::Error::from_raw_os_error(number));
        assert_eq!([37, 95, 38, 5, 9].map(known), [true, true, true, false, false]);
    }
}
