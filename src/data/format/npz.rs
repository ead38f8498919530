//! `.npz` files: zip archives of NumPy's arrays, as `numpy.savez`, Keras and MedMNIST write them.
//!
//! No member is unpacked to a file. Of each, no more bytes are decompressed than its array
//! declares.

use std::{
    io::{BufReader, Cursor, Read, Seek},
    path::Path,
};

use zip::{CompressionMethod, ZipArchive, result::ZipError};

use super::{array::Array, named_arrays, names, npy};
use crate::{
    Error, Result,
    data::{
        content::Content,
        gzip::{BOMB, is_bomb},
        read::open,
    },
    files::DEFLATE_BEST_RATIO,
};

/// Largest number of members.
const MAX_MEMBERS: usize = 4096;

/// Reads the data set in the file `path`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for anything that is not a data set.
pub(super) fn read(path: &Path) -> Result<Content> {
    let (input, _) = open(path, "an .npz file")?;
    read_from(path, input)
}

/// [`read`] on bytes in memory; `path` only names them in errors.
pub(in crate::data) fn parse(path: &Path, bytes: &[u8]) -> Result<Content> {
    read_from(path, Cursor::new(bytes))
}

fn read_from(path: &Path, input: impl Read + Seek) -> Result<Content> {
    let wrong = |reason: String| Error::format(path, reason);
    let damaged = |error: ZipError| {
        Error::format(path, format!("damaged or truncated zip archive ({error}); get it again"))
    };
    let mut archive = ZipArchive::new(BufReader::new(input)).map_err(damaged)?;
    if archive.len() > MAX_MEMBERS {
        return Err(wrong(format!("{} members; at most {MAX_MEMBERS} are read", archive.len())));
    }
    let members: Vec<String> = archive.file_names().map(Into::into).collect();
    if members.iter().any(|name| name.ends_with("data.pkl")) {
        return Err(wrong(names::PICKLE.into()));
    }
    let names: Vec<String> =
        members.iter().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_string()).collect();
    let read = |name: &str| -> Result<Array> {
        let index = names.iter().position(|known| known == name);
        let member = index.map_or(name, |index| members[index].as_str());
        let index = archive.index_for_name(member).unwrap_or(0);
        let raw = archive.by_index_raw(index).map_err(damaged)?;
        if raw.encrypted() {
            return Err(wrong(format!("{member} is encrypted; save it without a password")));
        }
        let method = raw.compression();
        let (packed, size) = (raw.compressed_size(), raw.size());
        drop(raw);
        if is_bomb(packed, size) {
            return Err(wrong(format!("{member} {BOMB}")));
        }
        let length = match method {
            CompressionMethod::Stored => size.min(packed),
            CompressionMethod::Deflated => size.min(packed.saturating_mul(DEFLATE_BEST_RATIO)),
            #[expect(deprecated, reason = "the only way to the number of a method")]
            other => {
                return Err(wrong(format!(
                    "{member} is compressed by zip method {}; numpy.savez_compressed writes \
                     deflate, which is read",
                    other.to_u16()
                )));
            }
        };
        let input = archive.by_index(index).map_err(|error| {
            wrong(format!("{member}: damaged or not readable ({error}); get the file again"))
        })?;
        npy::parse(name, input, length).map_err(wrong)
    };
    named_arrays::content(&names, "", read, wrong)
}
