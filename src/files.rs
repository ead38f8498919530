//! Files written whole or not at all.

use std::{io::Write, path::Path};

use crate::{Error, Result};

/// DEFLATE cannot shrink data further than 1 : 1032: a compressed file cannot hold more than this many times its length.
pub(crate) const DEFLATE_BEST_RATIO: u64 = 1032;

/// Writes `bytes` to a temporary file beside `path`, syncs it, and renames it to `path`. Missing folders are created.
///
/// # Errors
/// [`Error::Io`] naming `path`; an older file there is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(Error::io("its folder cannot be created", path))?;
    let mut file = tempfile::Builder::new().prefix(".saliq-").tempfile_in(folder).map_err(Error::io("cannot write", path))?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io("cannot write", path))?;
    // Temporary files are private; what a user asked for is as readable as any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(permissions).map_err(Error::io("cannot write", path))?;
    }
    file.persist(path).map_err(|error| Error::io("cannot write", path)(error.error))?;
    Ok(())
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
