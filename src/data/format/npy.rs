//! NumPy's arrays: single `.npy` files, and the pairs of them in a folder
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use super::{
    array::{self, Array, Kind},
    named_arrays, names,
};
use crate::{
    Error, Result,
    data::{content::Content, read::open},
};

/// Longest header that is read.
const MAX_HEADER: u32 = 1 << 16;

/// The `.npy` files of `folder` as a data set.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for a file that is not such an array; [`Error::Data`] if files
/// are missing.
pub(super) fn read_folder(folder: &Path) -> Result<Content> {
    let files = files(folder)?;
    let stems: Vec<String> = files.iter().map(|file| stem(file)).collect();
    let read = |name: &str| {
        let path = files.iter().find(|file| stem(file) == name).cloned().unwrap_or_default();
        let (input, length) = open(&path, "a NumPy array")?;
        parse(name, input, length).map_err(|reason| Error::format(&path, reason))
    };
    let wrong = |reason: String| Error::Data(format!("{}: {reason}", folder.display()));
    named_arrays::content(&stems, ".npy", read, wrong)
}

/// The `.npy` files of `folder`.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_npy = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
    };
    let items = names::list(folder)?.into_iter().filter(|item| !item.is_folder);
    Ok(items.map(|item| item.path).filter(is_npy).collect())
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// An array from `input`, which has at most `length` bytes, and no more than the header declares.
///
/// # Errors
/// What is wrong, or not read.
pub(in crate::data) fn parse(
    name: &str,
    mut input: impl Read,
    length: u64,
) -> Result<Array, String> {
    let mut take = |bytes: usize| {
        let mut buffer = Vec::new();
        let read = input.by_ref().take(bytes as u64).read_to_end(&mut buffer);
        read.map_err(|error| format!("{name}: damaged: {error}"))?;
        if buffer.len() < bytes {
            return Err(format!("{name}: ends within its header; get the file again"));
        }
        Ok(buffer)
    };
    let start = take(8)?;
    let version = match start[..] {
        [0x93, b'N', b'U', b'M', b'P', b'Y', version @ 1..=3, _] => version,
        _ => return Err(format!("{name}: is not a NumPy array (.npy)")),
    };
    let header_length = if version == 1 {
        let bytes = take(2)?;
        u32::from(u16::from_le_bytes([bytes[0], bytes[1]]))
    } else {
        let bytes = take(4)?;
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    if header_length > MAX_HEADER {
        return Err(format!("{name}: a header of {header_length} bytes; at most 65536 are read"));
    }
    let header = take(header_length as usize)?;
    let header = String::from_utf8_lossy(&header);
    let unreadable = |what: &str| format!("{name}: its header has no {what} that is read");
    let (kind, is_big_endian) = kind(name, &header)?;
    let is_fortran = match value_of(&header, "fortran_order") {
        Some(text) if text.starts_with("True") => true,
        Some(text) if text.starts_with("False") => false,
        _ => return Err(unreadable("fortran_order")),
    };
    let sizes = value_of(&header, "shape")
        .and_then(|text| text.strip_prefix('(')?.split(')').next())
        .ok_or_else(|| unreadable("shape"))?;
    let sizes = sizes
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| {
            size.parse().map_err(|_| format!("{name}: its header declares a size of {size}"))
        })
        .collect::<Result<Vec<usize>, String>>()?;
    if sizes.len() > 8 {
        return Err(format!("{name}: {} axes; at most 4 are read", sizes.len()));
    }
    let declared =
        array::checked_bytes(&sizes, kind).map_err(|reason| format!("{name}: {reason}"))?;
    if declared > length {
        return Err(format!(
            "{name}: truncated: its header declares {sizes:?} numbers ({declared} bytes), more \
             than the file can hold; get the file again"
        ));
    }
    let mut bytes = Vec::new();
    input
        .by_ref()
        .take(declared + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{name}: damaged: {error}"))?;
    match bytes.len() as u64 {
        found if found < declared => Err(format!(
            "{name}: truncated: its header declares {declared} bytes, the file has {found}; get \
             the file again"
        )),
        found if found > declared => {
            Err(format!("{name}: has data behind the {declared} bytes that its header declares"))
        }
        _ => {
            let name = name.into();
            let is_channels_first = false;
            Ok(Array { name, kind, is_big_endian, is_fortran, is_channels_first, sizes, bytes })
        }
    }
}

/// The text behind `key` in the Python dictionary of a header.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = ['\'', '"'].iter().find_map(|quote| {
        let quoted = format!("{quote}{key}{quote}");
        Some(header.find(&quoted)? + quoted.len())
    })?;
    header[at..].trim_start().strip_prefix(':').map(str::trim_start)
}

/// The type of the numbers, and whether they are big-endian.
fn kind(name: &str, header: &str) -> Result<(Kind, bool), String> {
    let text = value_of(header, "descr").unwrap_or_default();
    let descr = text
        .strip_prefix(['\'', '"'])
        .and_then(|text| text.split(['\'', '"']).next())
        .unwrap_or("a structure");
    let (order, letters) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), letters)) => (order, letters),
        _ => ("", descr),
    };
    let kind = match letters {
        "b1" | "?" => Kind::Bool,
        "u1" => Kind::U8,
        "i1" => Kind::I8,
        "u2" => Kind::U16,
        "i2" => Kind::I16,
        "u4" => Kind::U32,
        "i4" => Kind::I32,
        "u8" => Kind::U64,
        "i8" => Kind::I64,
        "f2" => Kind::F16,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        "O" => {
            return Err(format!(
                "{name}: holds Python objects (pickles), which can run code when read; save it \
                 with a number type"
            ));
        }
        text if text.starts_with(['U', 'S']) => {
            return Err(format!(
                "{name}: holds text; class numbers are needed, in NumPy \
                 numpy.unique({name}, return_inverse=True)[1]"
            ));
        }
        other => return Err(format!("{name}: numbers of type {other} are not read")),
    };
    Ok((kind, order == ">"))
}
