//! Formats of data sets, one file each: the files by which a set in a folder is recognised, and
//! their contents.

pub mod idx;

use std::path::{Path, PathBuf};

use super::catalog::Entry;
use crate::Result;

/// A file of a data set.
#[derive(Clone, Debug)]
pub(super) struct SetFile {
    /// The path; for an embedded file, its name in messages.
    pub path: PathBuf,
    /// Its content, if it is embedded.
    built_in: Option<&'static [u8]>,
}

/// The files of a data set, by their format.
#[derive(Clone, Debug)]
pub(super) enum Files {
    /// Training images, training labels, test images, test labels.
    Idx([SetFile; 4]),
}

/// The two parts of a data set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Training,
    Test,
}

/// Images and labels of one part, as read from the files.
pub(super) struct PartContent {
    pub images: idx::Images,
    pub labels: Vec<u8>,
    /// The file of the images and the file of the labels.
    pub paths: [PathBuf; 2],
}

impl Files {
    /// The data set in `folder`, or the names of the missing files.
    pub fn in_folder(folder: &Path) -> Result<Files, Vec<&'static str>> {
        let files = idx::find_files(folder)?;
        Ok(Files::Idx(files.map(|path| SetFile { path, built_in: None })))
    }

    /// The embedded files of `entry`, if it has any.
    pub fn built_in(entry: &Entry) -> Option<Files> {
        let folder = Path::new("built-in").join(entry.name);
        let contents = entry.embedded?;
        Some(Files::Idx([0, 1, 2, 3].map(|role| SetFile {
            path: folder.join(entry.files[role].name),
            built_in: Some(contents[role]),
        })))
    }

    /// Reads one part.
    ///
    /// # Errors
    /// Errors of the format; see [`idx::read_images`].
    pub fn read(&self, part: Part) -> Result<PartContent> {
        let Files::Idx([train_images, train_labels, test_images, test_labels]) = self;
        let (images, labels) = match part {
            Part::Training => (train_images, train_labels),
            Part::Test => (test_images, test_labels),
        };
        let paths = [images.path.clone(), labels.path.clone()];
        let images = match images.built_in {
            Some(bytes) => idx::parse_images(&images.path, bytes)?,
            None => idx::read_images(&images.path)?,
        };
        let labels = match labels.built_in {
            Some(bytes) => idx::parse_labels(&labels.path, bytes)?,
            None => idx::read_labels(&labels.path)?,
        };
        Ok(PartContent { images, labels, paths })
    }
}
