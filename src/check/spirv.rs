//! Shaders as SPIR-V, in memory or as one file each.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    guard,
    options::CheckOptions,
    report::{ShaderReport, ShaderSource},
    translate::{check_all_keeping, spirv_words},
};
use crate::{Error, Result};

/// SPIR-V 1.3 words of a shader with all its entry points, for `spirv-val`.
///
/// # Errors
/// [`Error::Shader`] if the shader cannot be parsed or validated, has no entry point, needs a
/// constant without a value, or crashes naga.
pub fn to_spirv(source: &ShaderSource) -> Result<Vec<u32>> {
    let mut results = guard::parallel(std::slice::from_ref(source), spirv_words, |_, reason| {
        Err(reason.to_owned())
    });
    let result = results.pop().unwrap_or_else(|| Err("not translated".to_owned()));
    result.map_err(|reason| Error::Shader { kernel: source.name.clone(), reason })
}

/// Checks sources of one entry point each as [`super::check_all_for`] and writes the SPIR-V that is
/// judged, as `<name>.spv` for every source, into `dir` (created if missing), each atomically.
/// Returns the reports and the paths; a source that fails for Vulkan has no file.
///
/// # Errors
/// [`Error::Io`].
pub fn check_all_writing(
    sources: &[ShaderSource],
    options: &CheckOptions,
    dir: &Path,
) -> Result<(Vec<ShaderReport>, Vec<PathBuf>)> {
    std::fs::create_dir_all(dir).map_err(Error::io("cannot create", dir))?;
    let written = Mutex::new(BTreeMap::new());
    let write = |index: usize, words: &[u32]| {
        let path = write_words(words, dir, &sources[index].name, index);
        written.lock().unwrap_or_else(PoisonError::into_inner).insert(index, path);
    };
    let reports = check_all_keeping(sources, options, Some(&write));
    let written = written.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((reports, written.into_values().collect::<Result<_>>()?))
}

/// Little-endian words in a file whose name is valid on any file system. The index distinguishes
/// names that become equal.
pub(super) fn write_words(words: &[u32], dir: &Path, name: &str, index: usize) -> Result<PathBuf> {
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
