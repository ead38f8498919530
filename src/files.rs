//! Files that are written atomically, files that are read with a bound, and the user's cache
//! folder.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// DEFLATE cannot compress better than 1 : 1032, so a compressed file cannot contain more than this
/// many times its length.
pub(crate) const DEFLATE_BEST_RATIO: u64 = 1032;

/// Prefix of the names of temporary files.
pub const TEMPORARY_PREFIX: &str = ".saliq-";

/// The user's cache folder, with data sets (each in a folder of its name), pipelines and tile
/// sizes. `None` if the user has no home folder.
#[cfg(feature = "models")]
pub fn cache_dir() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "saliq").map(|folders| folders.cache_dir().to_path_buf())
}

/// Largest length of a chain of symbolic links.
const MAX_LINKS: usize = 40;

/// The whole content of a file, on disk under a temporary name. If it is dropped without
/// [`Self::commit`], it is deleted.
pub struct Staged {
    content: Content,
    path: PathBuf,
}

enum Content {
    /// A temporary file next to the file that it will replace.
    Beside(tempfile::NamedTempFile),
    /// Content for a device or a pipe, which cannot be replaced.
    Through(Vec<u8>),
}

/// Writes `bytes` to a temporary file next to `path`, in a folder that exists, and syncs it. A
/// symbolic link is kept, and its target is written. For a device or a pipe, `bytes` wait in
/// memory.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub fn stage(path: &Path, bytes: &[u8]) -> Result<Staged> {
    if is_special(path) {
        return Ok(Staged { content: Content::Through(bytes.into()), path: path.into() });
    }
    let path = &behind_links(path)?;
    stage_with(path, |file| file.write_all(bytes).map_err(Error::io("cannot write", path)))
}

/// As [`stage`], with content that `write` writes, for a path that is neither a link nor a device:
/// whatever is there is replaced.
pub(crate) fn stage_with(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Staged> {
    let mut builder = tempfile::Builder::new();
    let mut file = builder
        .prefix(TEMPORARY_PREFIX)
        .tempfile_in(folder_of(path))
        .map_err(Error::io("cannot write", path))?;
    write(&mut file)?;
    file.as_file().sync_all().map_err(Error::io("cannot write", path))?;
    // Temporary files are private, but the user's output must be as readable as any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(permissions).map_err(Error::io("cannot write", path))?;
    }
    Ok(Staged { content: Content::Beside(file), path: path.into() })
}

impl Staged {
    /// Renames the file, replacing an existing one, and syncs the folder: after a power cut one of
    /// the two is there.
    ///
    /// # Errors
    /// [`Error::Io`] with the file's name; an older file is then unchanged.
    pub fn commit(self) -> Result<()> {
        let Staged { content, path } = self;
        match content {
            Content::Beside(file) => {
                file.persist(&path)
                    .map_err(|error| Error::io("cannot write", &path)(error.error))?;
                sync_folder(&path)
            }
            Content::Through(bytes) => {
                write_through(&path, &bytes).map_err(Error::io("cannot write", &path))
            }
        }
    }
}

/// Whether `path` is a device, a pipe or standard output, which is written to and not replaced.
fn is_special(path: &Path) -> bool {
    is_standard_output(path)
        || std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn is_standard_output(path: &Path) -> bool {
    cfg!(unix)
        && ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
            .iter()
            .any(|name| path == Path::new(name))
}

fn write_through(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if is_standard_output(path) {
        // Uses the open handle: if the output is redirected to a file, opening it again would write
        // from its beginning.
        let mut output = std::io::stdout().lock();
        return output.write_all(bytes).and_then(|()| output.flush());
    }
    // Waits for the reader of a pipe, as a shell does.
    std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes)
}

/// The target of a symbolic link, whether or not it exists; `path` itself if it is not a link.
fn behind_links(path: &Path) -> Result<PathBuf> {
    let mut at = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&at) {
            Ok(target) => at = folder_of(&at).join(target),
            Err(_) => return Ok(at),
        }
    }
    Err(Error::io("cannot write", path)(std::io::Error::other(
        "too many symbolic links, one behind the other",
    )))
}

/// Writes `bytes` to a temporary file next to `path`, syncs it, and renames it to `path`. Missing
/// folders are created. As with [`stage`], a symbolic link is followed, and a device or a pipe is
/// written to.
///
/// # Errors
/// [`Error::Io`] with `path`; an older file there is then unchanged.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    create_folder_of(path)?;
    stage(path, bytes)?.commit()
}

/// Creates the missing folders above the file `path`.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub fn create_folder_of(path: &Path) -> Result<()> {
    if is_special(path) {
        return Ok(());
    }
    let path = &behind_links(path)?;
    std::fs::create_dir_all(folder_of(path))
        .map_err(Error::io("its folder cannot be created", path))
}

/// Removes a file, if it exists, to make room for another.
///
/// # Errors
/// [`Error::Io`] with `path`.
pub fn remove_old(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("cannot replace", path)(error))
        }
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Syncs the folder of `path`, so that renames survive a power cut. On systems other than Unix the
/// file system does this.
fn sync_folder(path: &Path) -> Result<()> {
    if cfg!(unix) {
        let folder = std::fs::File::open(folder_of(path))
            .map_err(Error::io("cannot sync its folder", path))?;
        match folder.sync_all() {
            // Some network file systems cannot sync folders.
            Err(error)
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported
                ) =>
            {
                return Err(Error::io("cannot sync its folder", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes the temporary files that a killed process left in `folder`. Only for a folder that no
/// other process writes to.
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
/// [`Error::Io`] if it cannot be read; [`Error::Format`] if it is larger, or not a regular file.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    use std::io::Read;
    // Checked before opening, because opening a pipe without a writer would wait forever.
    if !std::fs::metadata(path).map_err(Error::io("cannot read", path))?.is_file() {
        return Err(Error::format(path, "is not a regular file; one is needed here"));
    }
    let file = std::fs::File::open(path).map_err(Error::io("cannot read", path))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("cannot read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::format(
            path,
            format!("larger than the {limit} bytes that such a file can have"),
        ));
    }
    Ok(bytes)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{FileTypeExt, symlink},
    };

    use super::*;

    #[test]
    fn a_symbolic_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("there")).unwrap();
        fs::write(at("there/old"), "old").unwrap();
        symlink("there/old", at("first")).unwrap();
        symlink(at("first"), at("second")).unwrap();
        write_atomically(&at("second"), b"new").unwrap();
        assert_eq!(fs::read(at("there/old")).unwrap(), b"new");
        assert!(at("first").is_symlink() && at("second").is_symlink());
        assert_eq!(fs::read_dir(at("there")).unwrap().count(), 1, "no temporary file is left");

        symlink("there/not-yet", at("dangling")).unwrap();
        write_atomically(&at("dangling"), b"made").unwrap();
        assert_eq!(fs::read(at("there/not-yet")).unwrap(), b"made");

        symlink("round", at("round")).unwrap();
        let error = write_atomically(&at("round"), b"never").unwrap_err().to_string();
        assert!(error.contains("symbolic links") && at("round").is_symlink(), "{error}");
    }

    #[test]
    fn a_pipe_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink(&pipe, folder.path().join("link")).unwrap();
        for path in [pipe.clone(), folder.path().join("link")] {
            let (source, content) = (pipe.clone(), vec![7; 100_000]);
            let reader = std::thread::spawn(move || fs::read(source).unwrap());
            write_atomically(&path, &content).unwrap();
            assert!(reader.join().unwrap() == content);
            assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());
        }
        assert!(folder.path().join("link").is_symlink());
    }
}
