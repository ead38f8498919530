//! One typed error for the whole crate; each message is one line that says what, where and what to
//! do.

mod phrase;
mod remedy;

use std::path::{Path, PathBuf};

pub use phrase::{Phrase, Piece, Setting};
pub(crate) use phrase::{phrase, takes};
pub use remedy::{KnownNormalization, Remedy};

/// Result with saliq's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in saliq.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A flag, key or value that cannot be used; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A setting, or its value, that cannot be used; exit code 2.
    #[error("{0}")]
    Settings(Phrase),
    /// A rule of attribution that needs batch norms folded into their layers; exit code 2.
    #[error(
        "{norm}: LRP's z-plus and gamma rules need batch norms right behind a layer with weights, \
         its only reader, to fold them into it"
    )]
    Unfolded {
        /// The first batch norm that cannot be folded, or is not.
        norm: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {what}: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, e.g. `cannot read`.
        what: &'static str,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file's content is not what its format or the program requires.
    #[error("{path}: {reason}", path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// A model leaves open what has to be known; exit code 2.
    #[error("{file}: {what}", file = .file.display())]
    Unsaid {
        /// The file that should say it.
        file: PathBuf,
        /// What it does not say.
        what: String,
        /// What its user can say.
        remedy: Remedy,
    },
    /// A model file that holds something else than is asked for.
    #[error("{file}: {what}", file = .file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// What it holds, or lacks.
        what: String,
        /// What its user can do.
        remedy: Remedy,
    },
    /// A data set that is not known or not found.
    #[error("{0}")]
    Data(String),
    /// A network or model that cannot be built or does not fit.
    #[error("{0}")]
    Model(String),
    /// A written file that does not compute what its model does, or could not be tried.
    #[error("{0}")]
    Verification(Phrase),
    /// No adapter to run on.
    #[error("{0}")]
    NoAdapter(String),
    /// The GPU refused something.
    #[error("GPU error: {0}")]
    Gpu(String),
    /// A dispatch of more workgroups than the device takes.
    #[error("{label}: {workgroups:?} workgroups exceed {limit} a dimension")]
    Workgroups {
        /// The dispatch.
        label: String,
        /// Workgroups in x, y, z.
        workgroups: [u32; 3],
        /// The most of each.
        limit: u32,
    },
    /// A dispatch whose loops the driver would end before they are done.
    #[error("{label}: {iterations} iterations of a loop, of which the driver does {limit}")]
    Iterations {
        /// The dispatch.
        label: String,
        /// Iterations of all loops of an invocation.
        iterations: u64,
        /// The most.
        limit: u64,
    },
    /// Out of device memory.
    #[error("out of GPU memory: {0}")]
    OutOfMemory(Shortage),
    /// The device disappeared (driver reset, unplugged, watchdog).
    #[error("the GPU device was lost: {0}")]
    DeviceLost(Loss),
    /// A shader that does not link, parse or validate.
    #[error("shader {kernel}: {reason}")]
    Shader {
        /// Kernel or file name.
        kernel: String,
        /// The linker's or validator's words.
        reason: String,
    },
    /// A launcher that binds other buffers than its kernel declares.
    #[error(
        "shader {kernel} declares {}, its launcher binds {}",
        .declared.join(", "),
        .given.join(", ")
    )]
    Bindings {
        /// The kernel.
        kernel: &'static str,
        /// Names that the launcher binds.
        given: Vec<String>,
        /// Names that the shader declares.
        declared: Vec<String>,
    },
    /// A loss, gradient or α that is no longer a number.
    #[error("{0}")]
    NonFinite(Phrase),
    /// `saliq check` found shaders that do not validate.
    #[error("{0}")]
    CheckFailed(String),
    /// A download failed.
    #[error("{0}")]
    Download(String),
    /// A run folder that another run is writing to.
    #[error("{0}")]
    Locked(Phrase),
    /// Stopped by a signal; the exit code is 128 + the signal's number.
    #[error("interrupted")]
    Interrupted {
        /// 2 for Ctrl-C, 15 for SIGTERM.
        signal: i32,
    },
}

/// A request that device memory had no room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked}; {advice}")]
pub struct Shortage {
    /// What was asked for, and what there is, as far as that is known.
    pub asked: String,
    /// What to lower. Who knows more about the work says it anew.
    pub advice: Phrase,
}

impl Shortage {
    /// `asked` with `advice`.
    pub fn new(asked: impl Into<String>, advice: impl Into<Phrase>) -> Shortage {
        Shortage { asked: asked.into(), advice: advice.into() }
    }
}

/// Why a device is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Loss {
    /// The driver's words, on one line.
    pub reason: String,
    /// Whether memory had run out: less work at a time may do on the next device.
    pub out_of_memory: bool,
}

impl Loss {
    /// A loss for any other reason than memory.
    pub fn new(reason: impl Into<String>) -> Loss {
        Loss { reason: reason.into(), out_of_memory: false }
    }
}

/// `text` with spaces for what names and texts from files may hold but a terminal, an XML file or a
/// line of text must not.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_hostile(c) { ' ' } else { c }).collect()
}

/// As [`plain`], of text that has lines and tabs of its own.
pub(crate) fn plain_lines(text: &str) -> String {
    text.chars().map(|c| if is_hostile(c) && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// Control characters (escape sequences, newlines), non-characters, and what turns the direction of
/// the text behind it.
pub(crate) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Error {
    /// A failed read or write of `path`; use as `.map_err(Error::io("cannot read", path))`.
    pub fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { path, what, source }
    }

    /// Content of `path` that its format does not allow; the reason may quote the file.
    pub fn format(path: impl AsRef<Path>, reason: impl Into<String>) -> Error {
        Error::Format { path: path.as_ref().to_path_buf(), reason: plain(&reason.into()) }
    }

    /// A model in `file` that leaves something open; what it is may quote the file.
    pub(crate) fn unsaid(file: &Path, what: &str, remedy: Remedy) -> Error {
        Error::Unsaid { file: file.into(), what: plain(what), remedy }
    }

    /// A model in `file` that is something else; what it is may quote the file.
    pub(crate) fn unfit(file: &Path, what: &str, remedy: Remedy) -> Error {
        Error::Unfit { file: file.into(), what: plain(what), remedy }
    }

    /// The process exit code for this error (interface: 2 usage, 130/143 signals, 1 otherwise).
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_)
            | Error::Settings(_)
            | Error::Unfolded { .. }
            | Error::Unsaid { .. } => 2,
            Error::Interrupted { signal } => 128u8.saturating_add(*signal as u8),
            _ => 1,
        }
    }
}
