//! Reads shader files within bounds.

use std::{fs, io::Read, path::Path};

/// Largest shader file in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 20;
/// Largest number of shader files in one run.
pub const MAX_FILES: usize = 10_000;
/// The name of what comes from standard input.
pub(super) const STANDARD_INPUT: &str = "stdin.wgsl";

/// Reads a regular UTF-8 file of bounded size; `Err` is the reason.
pub(super) fn read_bounded(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read this file: {error}");
    // Opening a pipe or device could wait forever.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("cannot read this file: it is not a regular file".to_owned());
    }
    let file = fs::File::open(path).map_err(cannot)?;
    read_text(file)
}

/// Reads UTF-8 text of bounded size; `Err` is the reason.
pub(super) fn read_text(source: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("cannot read this file: {error}"))?;
    text_of(bytes)
}

pub(super) fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "larger than {} MiB, which is the most that is read",
            MAX_FILE_BYTES >> 20
        ));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
}
