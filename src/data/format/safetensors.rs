//! `.safetensors` files with images and labels: those of `saliq data convert`, of the cache, and of
//! others.

use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::{
    array::{self, Array, Kind},
    named_arrays,
};
use crate::{
    Error, Result,
    data::{
        content::{Content, Part},
        dataset::Skipped,
    },
    files::read_bounded,
};

/// Largest file, 16 GiB.
const MAX_FILE: u64 = 16 << 30;
/// Metadata key of what is not a tensor.
const KEY: &str = "saliq-data";
/// Names of the parts, in the order training, test, validation.
const PARTS: [&str; 3] = ["train", "test", "val"];

/// What a data set has besides images and labels.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Notes {
    class_names: Option<Vec<String>>,
    classes: u32,
    /// The file of each image, a list a part.
    files: [Vec<String>; 3],
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
}

/// Reads the data set in the file `path`.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] for anything that is not a data set.
pub(super) fn read(path: &Path) -> Result<Content> {
    parse(path, &read_bounded(path, MAX_FILE)?)
}

/// [`read`] on bytes in memory; `path` only names them in errors.
pub(in crate::data) fn parse(path: &Path, bytes: &[u8]) -> Result<Content> {
    let wrong = |reason: String| Error::format(path, reason);
    let damaged = |error| wrong(format!("damaged or truncated: {error}"));
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let notes = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
    // Files of our own have their channels first.
    let is_channels_first = notes.is_some();
    let notes: Notes = match notes {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| wrong(format!("its metadata {KEY} cannot be read: {error}")))?,
        None => Notes::default(),
    };
    let names: Vec<String> = tensors.names().into_iter().map(Into::into).collect();
    let read = |name: &str| {
        let view = tensors.tensor(name).map_err(damaged)?;
        let kind = kind(view.dtype()).ok_or_else(|| {
            wrong(format!("{name} is {:?}, which is not read; convert it", view.dtype()))
        })?;
        array::checked_bytes(view.shape(), kind)
            .map_err(|reason| wrong(format!("{name}: {reason}")))?;
        Ok(Array {
            name: name.into(),
            kind,
            is_big_endian: false,
            is_fortran: false,
            is_channels_first,
            sizes: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        })
    };
    let mut content = named_arrays::content(&names, "", read, wrong)?;
    let parts = std::iter::once(Some(&mut content.train))
        .chain([content.test.as_mut(), content.validation.as_mut()]);
    for (part, files) in parts.zip(notes.files) {
        if let Some(part) = part.filter(|part| part.split.len() == files.len()) {
            part.files = files;
        }
    }
    let highest = content.parts().flat_map(|part| &part.split.labels).max().copied();
    if let Some(names) = &notes.class_names
        && (names.len() > 1 << 16 || highest.is_some_and(|label| label as usize >= names.len()))
    {
        return Err(wrong(format!(
            "{} class names for labels up to {}",
            names.len(),
            highest.unwrap_or(0)
        )));
    }
    content.least_classes = notes.classes.min(1 << 16);
    content.class_names = notes.class_names;
    content.skipped = notes.skipped;
    content.warnings.extend(notes.warnings);
    Ok(content)
}

fn kind(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::U16 => Kind::U16,
        Dtype::I16 => Kind::I16,
        Dtype::U32 => Kind::U32,
        Dtype::I32 => Kind::I32,
        Dtype::U64 => Kind::U64,
        Dtype::I64 => Kind::I64,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::Bf16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        _ => return None,
    })
}

/// The content as a file that [`parse`] reads.
///
/// # Errors
/// What safetensors cannot hold.
pub(in crate::data) fn to_bytes(content: &Content) -> Result<Vec<u8>, String> {
    let parts = [Some(&content.train), content.test.as_ref(), content.validation.as_ref()];
    let notes = Notes {
        class_names: content.class_names.clone(),
        classes: content.least_classes,
        files: parts.map(|part| part.map_or_else(Vec::new, |part| part.files.clone())),
        skipped: content.skipped.clone(),
        warnings: content.warnings.clone(),
    };
    let notes = serde_json::to_string(&notes).map_err(|error| error.to_string())?;
    let mut tensors = Vec::new();
    let labels = parts.map(|part| {
        part.map_or_else(Vec::new, |part| {
            part.split.labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>()
        })
    });
    let is_whole = content.test.is_none();
    for ((name, part), labels) in PARTS.iter().zip(parts).zip(&labels) {
        let Some(Part { shape, split, .. }) = part else { continue };
        let prefix = if is_whole { String::new() } else { format!("{name}_") };
        let sizes: [u32; 3] = (*shape).into();
        let mut sizes = sizes.map(|size| size as usize).to_vec();
        sizes.insert(0, split.len());
        let view = |dtype, sizes, bytes| {
            TensorView::new(dtype, sizes, bytes).map_err(|error| error.to_string())
        };
        let count = vec![split.len()];
        tensors.push((format!("{prefix}images"), view(Dtype::U8, sizes, &split.images)?));
        tensors.push((format!("{prefix}labels"), view(Dtype::U32, count, labels)?));
    }
    let metadata = HashMap::from([(KEY.to_string(), notes)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|error| error.to_string())
}
