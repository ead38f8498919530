//! Reads files with a bound, raw or gzip.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use super::gzip::GzipReader;
use crate::{Error, Result};

/// Opens a regular file and returns its length; a pipe would block, and a device may never end.
/// `what` is the expected kind of file.
pub(super) fn open(path: &Path, what: &str) -> Result<(BufReader<File>, u64)> {
    // Checked before opening, because opening a pipe without a writer would wait forever.
    let metadata = std::fs::metadata(path).map_err(Error::io("cannot read", path))?;
    if !metadata.is_file() {
        let reason = format!("is not a regular file; {what} is needed here");
        return Err(Error::format(path, reason));
    }
    let file = File::open(path).map_err(Error::io("cannot read", path))?;
    Ok((BufReader::with_capacity(1 << 16, file), metadata.len()))
}

/// The content of `input`, decompressed if it begins with gzip's magic number, and whether it does.
pub(super) fn decompressed<'a>(
    mut input: impl BufRead + 'a,
) -> io::Result<(Box<dyn Read + 'a>, bool)> {
    let mut head = Vec::with_capacity(2);
    input.by_ref().take(2).read_to_end(&mut head)?;
    let gzip = head == [0x1f, 0x8b];
    let whole = Cursor::new(head).chain(input);
    Ok(if gzip { (Box::new(GzipReader::new(whole)), true) } else { (Box::new(whole), false) })
}
