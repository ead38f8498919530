//! Files written whole or not at all, files read with a bound, and the user's cache folder.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// DEFLATE cannot shrink data further than 1 : 1032: a compressed file cannot hold more than this many times its length.
pub(crate) const DEFLATE_BEST_RATIO: u64 = 1032;

/// What the names of temporary files begin with.
pub const TEMPORARY_PREFIX: &str = ".saliq-";

/// The user's cache folder: data sets, each in a folder of its name, and what is kept of pipelines and tile sizes. None if the user has no home
/// folder.
pub fn cache_dir() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "saliq").map(|folders| folders.cache_dir().to_path_buf())
}

/// A file's whole content, on disk under a temporary name. Dropped without [`Self::commit`] it goes away.
pub struct Staged {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

/// Writes `bytes` to a temporary file beside `path` and syncs it. Missing folders are created.
///
/// # Errors
/// [`Error::Io`] naming `path`.
pub fn stage(path: &Path, bytes: &[u8]) -> Result<Staged> {
    let folder = folder_of(path);
    std::fs::create_dir_all(folder).map_err(Error::io("its folder cannot be created", path))?;
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(TEMPORARY_PREFIX).tempfile_in(folder).map_err(Error::io("cannot write", path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io("cannot write", path))?;
    // Temporary files are private; what a user asked for is as readable as any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(permissions).map_err(Error::io("cannot write", path))?;
    }
    Ok(Staged { file, path: path.into() })
}

impl Staged {
    /// Gives the file its name, in the place of one that has it, and syncs the folder: a power cut then leaves the one or the other.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file; an older one is then untouched.
    pub fn commit(self) -> Result<()> {
        let Staged { file, path } = self;
        file.persist(&path).map_err(|error| Error::io("cannot write", &path)(error.error))?;
        sync_folder(&path)
    }
}

/// Writes `bytes` to a temporary file beside `path`, syncs it, and renames it to `path`. Missing folders are created.
///
/// # Errors
/// [`Error::Io`] naming `path`; an older file there is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    stage(path, bytes)?.commit()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the names in the folder of `path` last; elsewhere than on Unix the file system sees to it.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder = std::fs::File::open(folder_of(path)).map_err(Error::io("cannot sync its folder", path))?;
        match folder.sync_all() {
            // Some network file systems know no syncing of folders.
            Err(error) if !matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported) => {
                return Err(Error::io("cannot sync its folder", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the temporary files that a process killed while writing has left in `folder`. Only for one that no other process writes to.
pub fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is larger or no regular file.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    // Asked before opening: opening a pipe without a writer would wait for ever.
    if !std::fs::metadata(path).map_err(Error::io("cannot read", path))?.is_file() {
        return Err(Error::format(path, "is not a regular file; one is needed here"));
    }
    let file = std::fs::File::open(path).map_err(Error::io("cannot read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("cannot read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::format(path, format!("larger than the {limit} bytes that such a file can have")));
    }
    Ok(bytes)
}
