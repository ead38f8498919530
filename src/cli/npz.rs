//! Writes NumPy's archives (`.npz`): a zip file with an `.npy` array for each tensor.

use std::{
    borrow::Cow,
    io::{Cursor, Write},
    path::Path,
};

use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    Error, Result,
    files::write_atomically,
    model::{Tensor, TensorValues},
};

/// An array to write.
pub(super) struct Member<'a> {
    /// Its name, without `.npy`.
    pub name: &'a str,
    /// Its sizes.
    pub sizes: &'a [usize],
    /// The type of its numbers, such as `<f4`.
    pub kind: String,
    /// Its numbers.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> Member<'a> {
    /// The values of `tensor`.
    pub fn of(tensor: &'a Tensor) -> Member<'a> {
        let kind = match tensor.values() {
            TensorValues::F32(_) => "<f4",
            TensorValues::I64(_) => "<i8",
            TensorValues::U32(_) => "<u4",
            TensorValues::U8(_) => "|u1",
        };
        let (name, sizes, bytes) = (tensor.name(), tensor.shape(), tensor.values().bytes());
        Member { name, sizes, kind: kind.into(), bytes: bytes.into() }
    }

    /// Texts, as many as `sizes` say.
    pub fn texts(name: &'a str, sizes: &'a [usize], texts: &[String]) -> Member<'a> {
        let longest = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        let word = |text: &String| {
            let mut letters: Vec<u32> = text.chars().map(u32::from).collect();
            letters.resize(longest, 0);
            letters.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
        };
        let bytes = texts.iter().flat_map(word).collect::<Vec<u8>>().into();
        Member { name, sizes, kind: format!("<U{longest}"), bytes }
    }

    /// The header of an `.npy` file, padded to whole lines of 64 bytes.
    fn header(&self) -> Vec<u8> {
        let sizes: String = self.sizes.iter().map(|size| format!("{size}, ")).collect();
        let mut text = format!(
            "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
            self.kind,
            sizes.trim_end()
        );
        // Ten bytes stand in front, a line break at the end.
        let length = (text.len() + 11).next_multiple_of(64) - 11;
        text.push_str(&" ".repeat(length - text.len()));
        text.push('\n');
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((text.len() as u16).to_le_bytes());
        header.extend(text.into_bytes());
        header
    }
}

/// Writes `members` to `path`.
///
/// # Errors
/// [`Error::Io`]
pub(super) fn write(path: &Path, members: &[Member<'_>]) -> Result<()> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let failed = |error: std::io::Error| Error::io("cannot write", path)(error);
    for member in members {
        // Archives of more than 4 GiB need 64-bit sizes.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(member.bytes.len() as u64 >= u64::from(u32::MAX));
        archive
            .start_file(format!("{}.npy", member.name), options)
            .map_err(|error| failed(error.into()))?;
        archive.write_all(&member.header()).map_err(failed)?;
        archive.write_all(&member.bytes).map_err(failed)?;
    }
    let bytes = archive.finish().map_err(|error| failed(error.into()))?.into_inner();
    write_atomically(path, &bytes)
}
