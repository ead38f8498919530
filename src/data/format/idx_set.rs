//! The IDX files of a set: images with their labels.

use std::{borrow::Cow, path::PathBuf};

use super::idx;
use crate::{
    Error, Result,
    data::{content::Part, dataset::Split},
};

/// A file of a data set.
#[derive(Clone, Debug)]
pub(in crate::data) struct SetFile {
    /// The path; for a file in memory, its name in messages.
    pub path: PathBuf,
    /// Its content, if it is in memory.
    content: Option<Cow<'static, [u8]>>,
}

impl SetFile {
    /// A file on disk.
    pub(super) fn at(path: PathBuf) -> SetFile {
        SetFile { path, content: None }
    }

    /// A file in memory.
    pub(super) fn in_memory(path: PathBuf, content: Cow<'static, [u8]>) -> SetFile {
        SetFile { path, content: Some(content) }
    }
}

/// Images and labels of the same number, with each label below `classes` if that is known.
pub(super) fn idx_part(images: &SetFile, labels: &SetFile, classes: Option<u32>) -> Result<Part> {
    let (images_path, labels_path) = (&images.path, &labels.path);
    let images = match &images.content {
        Some(bytes) => idx::parse_images(images_path, bytes)?,
        None => idx::read_images(images_path)?,
    };
    let labels = match &labels.content {
        Some(bytes) => idx::parse_labels(labels_path, bytes)?,
        None => idx::read_labels(labels_path)?,
    };
    if images.count() != labels.len() {
        let reason = format!(
            "has {} labels for the {} images of {}",
            labels.len(),
            images.count(),
            images_path.display()
        );
        return Err(Error::format(labels_path, reason));
    }
    let out_of_range =
        |classes: u32| labels.iter().position(|&label| label >= classes).zip(Some(classes));
    if let Some((at, classes)) = classes.and_then(out_of_range) {
        let reason = format!(
            "label {} of image {at} is not one of the {classes} classes (0 to {})",
            labels[at],
            classes - 1
        );
        return Err(Error::format(labels_path, reason));
    }
    Ok(Part {
        shape: images.shape,
        split: Split { images: images.pixels, labels },
        files: Vec::new(),
        name: images_path.display().to_string(),
    })
}
