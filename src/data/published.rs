//! Checks whether a file is the published one.

use std::{
    io::{self, BufRead, Read},
    path::Path,
};

use sha2::Sha256;

use super::{
    catalog::PinnedFile,
    format::idx,
    read::{decompressed, open},
};
use crate::digest::hex_of;

/// Verifies that the file at `path`, raw or gzip, is the published one; returns the reason if it is
/// not.
pub(super) fn verify_file(path: &Path, file: &PinnedFile) -> Result<(), String> {
    let (input, _) = open(path, idx::WHAT).map_err(|error| error.to_string())?;
    verify(input, file)
}

pub(super) fn verify(input: impl BufRead, file: &PinnedFile) -> Result<(), String> {
    let damaged = |error: io::Error| format!("damaged or truncated: {error}");
    let (mut content, _) = decompressed(input).map_err(damaged)?;
    // One byte more than expected is enough to decide, whatever a hostile file would decompress to.
    let content = content.by_ref().take(file.bytes + 1);
    let (found, length) = hex_of::<Sha256>(content, 1 << 16).map_err(damaged)?;
    if length != file.bytes {
        let comparison =
            if length < file.bytes { format!("{length} bytes") } else { "more".into() };
        return Err(format!(
            "not the published file: {comparison} instead of {} bytes once decompressed",
            file.bytes
        ));
    }
    if found != file.sha256 {
        return Err(format!("not the published file: SHA-256 {found} instead of {}", file.sha256));
    }
    Ok(())
}
