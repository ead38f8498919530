//! Headless shader validation: parse, validate and translate WGSL with naga, with no GPU and no
//! driver.
//!
//! A shader passes when naga parses it, finds it valid, and can write it as SPIR-V (Vulkan), MSL
//! (Metal) and HLSL (Direct3D 12), each after validation with what *that* backend supports.
//! Validation with every capability switched on proves nothing about portability; it is only used
//! to tell a wrong shader from an unportable one.
//!
//! - Pipeline constants (`override`) are resolved for every entry point first. An `override`
//!   without a value is not guessed: validation still runs, translation is [`Outcome::Skipped`]
//!   with that reason.
//! - GLSL (ES 3.10, the OpenGL fallback) is tried where possible: what GLSL cannot express is
//!   skipped with the reason and never fails a shader.
//! - WebGPU's default limits are a requirement for saliq's own kernels and a warning for other
//!   shaders.
//!
//! Hostile input is expected: sizes and nesting are bounded before a parser sees them, work runs on
//! threads with a large stack, and a panic inside naga or wesl is reported as a failure of the
//! shader.

mod files;
mod guard;
mod limits;
mod own;
mod render;
mod translate;

pub use files::{MAX_FILE_BYTES, MAX_FILES, check_bytes, check_paths, write_spirv_of_paths};
pub use own::{create_own_pipelines, own_kernels};
pub use render::{render_github, render_table, to_json};

use crate::{Error, Result};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// One shader to check.
#[derive(Debug, Clone, PartialEq)]
pub struct ShaderSource {
    /// Kernel name (with the specialisation, e.g. `conv2d_forward[tile=8]`) or the path of a file.
    pub name: String,
    /// WGSL without imports.
    pub wgsl: String,
    /// Values of pipeline-overridable constants, by name or by the decimal text of their `@id`.
    pub constants: Vec<(String, f64)>,
    /// Someone else's shader: beyond WebGPU's default limits is then a warning, not a failure.
    pub user: bool,
}

/// What one stage of the check came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing to complain about.
    Pass,
    /// Works, but not everywhere; does not fail the shader.
    Warn {
        /// What is not portable.
        message: String,
        /// 1-based line in the source, if it is known.
        line: Option<u32>,
        /// 1-based column in characters, if it is known.
        column: Option<u32>,
    },
    /// Not checked; does not fail the shader.
    Skipped {
        /// Why not.
        reason: String,
    },
    /// Wrong.
    Fail {
        /// The parser's, validator's or translator's words.
        message: String,
        /// 1-based line in the source, if it is known.
        line: Option<u32>,
        /// 1-based column in characters, if it is known.
        column: Option<u32>,
    },
}

impl Outcome {
    /// Whether this outcome fails the shader.
    pub fn is_fail(&self) -> bool {
        matches!(self, Outcome::Fail { .. })
    }

    /// A failure without a place.
    pub(crate) fn fail(message: impl Into<String>) -> Self {
        Outcome::Fail { message: message.into(), line: None, column: None }
    }

    /// A stage that did not run.
    pub(crate) fn skipped(reason: impl Into<String>) -> Self {
        Outcome::Skipped { reason: reason.into() }
    }

    /// The worse of the two, the first of equals: fail, warn, skipped, pass.
    pub(crate) fn worse(self, other: Outcome) -> Outcome {
        let rank = |outcome: &Outcome| match outcome {
            Outcome::Pass => 0,
            Outcome::Skipped { .. } => 1,
            Outcome::Warn { .. } => 2,
            Outcome::Fail { .. } => 3,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }
}

/// The outcome of every stage for one shader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShaderReport {
    /// Name or path, as in [`ShaderSource::name`].
    pub name: String,
    /// Whether this is a file given by the user rather than one of saliq's kernels.
    pub user: bool,
    /// Entry points found, in the order of the source.
    pub entry_points: Vec<String>,
    /// Reading, linking and parsing.
    pub parse: Outcome,
    /// Validity as WGSL, whatever the backend.
    pub validate: Outcome,
    /// Validation with Vulkan's capabilities and translation to SPIR-V 1.3.
    pub spirv: Outcome,
    /// Validation with Metal's capabilities and translation to MSL 3.1.
    pub msl: Outcome,
    /// Validation with Direct3D's capabilities and translation to HLSL, shader model 6.6.
    pub hlsl: Outcome,
    /// Translation to GLSL ES 3.10; never a failure for what GLSL lacks.
    pub glsl: Outcome,
    /// WebGPU's default limits: 8 storage buffers, 256 invocations and 16 KiB of workgroup memory a
    /// workgroup, …
    pub webgpu_limits: Outcome,
}

impl ShaderReport {
    /// Every stage with the name shown to people.
    pub fn stages(&self) -> [(&'static str, &Outcome); 7] {
        [
            ("parse", &self.parse),
            ("validate", &self.validate),
            ("SPIR-V", &self.spirv),
            ("MSL", &self.msl),
            ("HLSL", &self.hlsl),
            ("GLSL", &self.glsl),
            ("limits", &self.webgpu_limits),
        ]
    }

    /// Whether any stage failed.
    pub fn failed(&self) -> bool {
        self.stages().iter().any(|(_, outcome)| outcome.is_fail())
    }

    /// A report of a shader that got no further than reading or parsing.
    pub(crate) fn unparsed(name: &str, user: bool, parse: Outcome) -> Self {
        let skipped = || Outcome::skipped("not parsed");
        ShaderReport {
            name: name.to_owned(),
            user,
            entry_points: Vec::new(),
            parse,
            validate: skipped(),
            spirv: skipped(),
            msl: skipped(),
            hlsl: skipped(),
            glsl: skipped(),
            webgpu_limits: skipped(),
        }
    }
}

/// Checks one shader. Never fails and never panics: whatever goes wrong is in the report.
pub fn check(source: &ShaderSource) -> ShaderReport {
    let mut reports = check_all(std::slice::from_ref(source));
    reports.pop().unwrap_or_else(|| {
        ShaderReport::unparsed(&source.name, source.user, Outcome::fail("not checked"))
    })
}

/// Checks many shaders on all cores; reports come in the order of `sources`.
pub fn check_all(sources: &[ShaderSource]) -> Vec<ShaderReport> {
    guard::parallel(
        sources,
        |source| translate::check_source(source, None),
        |source, reason| ShaderReport::unparsed(&source.name, source.user, Outcome::fail(reason)),
    )
}

/// `Err(`[`Error::CheckFailed`]`)` if any shader failed, naming the first few: `2 of 31 shaders
/// failed: a, b`.
pub fn verdict(reports: &[ShaderReport]) -> Result<()> {
    const NAMED: usize = 8;
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| report.failed())
        .map(|report| render::plain(&report.name))
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut names = failed[..failed.len().min(NAMED)].join(", ");
    if failed.len() > NAMED {
        names += &format!(" and {} more", failed.len() - NAMED);
    }
    let noun = if reports.len() == 1 { "shader" } else { "shaders" };
    Err(Error::CheckFailed(format!("{} of {} {noun} failed: {names}", failed.len(), reports.len())))
}

/// SPIR-V 1.3 words of a shader with all its entry points, for `spirv-val`.
///
/// # Errors
/// [`Error::Shader`] if the shader does not parse or validate, has no entry point, needs a constant
/// it was not given, or crashes naga.
pub fn to_spirv(source: &ShaderSource) -> Result<Vec<u32>> {
    let mut results =
        guard::parallel(std::slice::from_ref(source), translate::spirv_words, |_, reason| {
            Err(reason.to_owned())
        });
    let result = results.pop().unwrap_or_else(|| Err("not translated".to_owned()));
    result.map_err(|reason| Error::Shader { kernel: source.name.clone(), reason })
}

/// Writes `<name>.spv` for every source into `dir` (created if missing), each whole or not at all;
/// returns the paths.
///
/// # Errors
/// As [`to_spirv`], and [`Error::Io`].
pub fn write_spirv(sources: &[ShaderSource], dir: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).map_err(Error::io("cannot create", dir))?;
    let words =
        guard::parallel(sources, translate::spirv_words, |_, reason| Err(reason.to_owned()));
    let mut paths = Vec::with_capacity(sources.len());
    for (index, (source, words)) in sources.iter().zip(words).enumerate() {
        let words =
            words.map_err(|reason| Error::Shader { kernel: source.name.clone(), reason })?;
        paths.push(write_words(&words, dir, &source.name, index)?);
    }
    Ok(paths)
}

/// Little-endian words under a name that any file system takes; the index keeps names apart that
/// become equal.
fn write_words(words: &[u32], dir: &Path, name: &str, index: usize) -> Result<PathBuf> {
    use std::io::Write;
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let tail: String =
        name.chars().rev().take(100).collect::<Vec<_>>().into_iter().rev().map(keep).collect();
    let path = dir.join(format!("{index:03}-{tail}.spv"));
    let mut file =
        tempfile::NamedTempFile::new_in(dir).map_err(Error::io("cannot write", &path))?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    file.write_all(&bytes).map_err(Error::io("cannot write", &path))?;
    file.persist(&path).map_err(|error| error.error).map_err(Error::io("cannot write", &path))?;
    Ok(path)
}
