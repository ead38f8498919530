//! Data sets: the named ones (MNIST, Fashion-MNIST and their embedded mini versions) and a user's
//! own: folders of pictures, CIFAR, IDX, NumPy's arrays, CSV, safetensors.
//!
//! [`load`] finds and reads a set, [`list`] lists the available sets, and [`fetch()`] downloads.
//! Pixels stay bytes; the GPU normalises them with the constants of [`Dataset::normalization`].
//!
//! A name becomes a data set in separate steps: `locate` finds its files, `format` recognises their
//! format, `read` reads them with a bound, and `check` verifies that they fit each other and the
//! name.

mod arrays;
pub mod catalog;
mod check;
mod content;
mod dataset;
#[cfg(feature = "cli")]
mod fetch;
#[cfg(feature = "cli")]
mod fetch_remote;
mod format;
mod gzip;
mod locate;
mod parallel;
mod parse;
mod pixels;
mod published;
mod read;
mod remote;
mod spread;

use std::path::Path;

pub use arrays::{ArrayValues, ImageArray, read_images, read_labels};
pub use catalog::{blank, is_named};
pub use dataset::{Dataset, Details, Skipped, Split, digest, tail_length};
#[cfg(feature = "cli")]
pub use fetch::Progress;
pub use format::{
    idx,
    masks::{Masks, masks},
};
pub use locate::{DATA_DIR_VARIABLE, Listing, list};
pub use parse::{FileFormat, parse};
pub use pixels::luminance;
#[cfg(feature = "cli")]
pub(crate) use {format::png, pixels::swaps_sides};

use crate::{Result, config::ReadOptions};
use content::{Content, Part};
use format::{Files, idx_content, in_memory};
use locate::{Located, Places};
pub use parallel::Progress as ReadProgress;

/// Loads the data set `name`: a known name (see [`catalog`]), else a folder or file in one of the
/// formats.
///
/// Full named sets are looked up in `data_dir` (in a folder with the set's name, in torchvision's,
/// or directly), in `SALIQ_DATA_DIR` in the same way, in the user's
/// [`cache_dir`](crate::files::cache_dir) and in `/usr/share/datasets`. A copy that differs from
/// the published set is used with a warning in the log.
///
/// # Errors
/// [`crate::Error::Data`] if the set does not exist or is not found; [`crate::Error::Io`] and
/// [`crate::Error::Format`] if a file is unreadable or its content does not match.
pub fn load(name: &str, data_dir: Option<&Path>) -> Result<Dataset> {
    load_with(name, data_dir, &ReadOptions::default(), &mut |_, _| {})
}

/// As [`load`], with options, and with reports of progress where there are many files. What is odd
/// goes to the log as warnings; [`Details`] has it too.
///
/// # Errors
/// As for [`load`]; [`crate::Error::Settings`] also for data without test images, if the options
/// have no share.
pub fn load_with(
    name: &str,
    data_dir: Option<&Path>,
    options: &ReadOptions,
    progress: &mut ReadProgress<'_>,
) -> Result<Dataset> {
    load_from(name, &Places::of_user(data_dir), options, progress)
}

fn load_from(
    name: &str,
    places: &Places,
    options: &ReadOptions,
    progress: &mut ReadProgress<'_>,
) -> Result<Dataset> {
    let located = places.locate(name)?;
    let source = located.folder.as_ref().map(|folder| folder.display().to_string());
    let source = source.unwrap_or_else(|| "built-in".into());
    let known = located.entry.map(|entry| entry.class_names.len() as u32);
    let mut content = located.files.read(known, options, progress)?;
    if let (Some(entry), Some(folder), Some(test)) = (located.entry, &located.folder, &content.test)
    {
        let parts = [&content.train, test].map(|part| (part.shape, &part.split));
        let said = check::sums(entry, folder, parts);
        said.iter().for_each(|said| log::warn!("{said}"));
    }
    if !located.files.converts() {
        content.convert(options)?;
    }
    let dataset = assemble(located, source, content, options)?;
    for said in &dataset.details.warnings {
        log::warn!("{}: {said}", dataset.source);
    }
    let skipped = &dataset.details.skipped;
    const MOST: usize = 5;
    for skipped in skipped.iter().take(MOST) {
        log::warn!("{}: left out {}: {}", dataset.source, skipped.file, skipped.reason);
    }
    if skipped.len() > MOST {
        log::warn!(
            "{}: left out {} more files; `saliq data info` lists them",
            dataset.source,
            skipped.len() - MOST
        );
    }
    Ok(dataset)
}

/// The named set `name` from the contents of its four files, raw or gzip, in the order of
/// [`catalog::Entry::files`].
///
/// # Errors
/// [`crate::Error::Data`] for an unknown name; [`crate::Error::Format`] for a wrong file.
pub fn from_files(name: &str, contents: [Vec<u8>; 4]) -> Result<Dataset> {
    let entry = catalog::find(name)
        .ok_or_else(|| crate::Error::Data(format!("{name}{}", catalog::hint(name))))?;
    let files = in_memory(entry, contents.map(Into::into));
    // Of all formats, a program in a browser has this one alone.
    let content = idx_content(&files, Some(entry.class_names.len() as u32))?;
    let (name, files) = (name.into(), Files::Idx(files));
    let located = Located { entry: Some(entry), name, folder: None, files, class_names: &[] };
    assemble(located, "built-in".into(), content, &ReadOptions::default())
}

/// Downloads the data set `name` into the folder `into/name`, which is returned. Existing files are
/// verified and kept. Partial files of an interrupted download (`*.part`) are continued.
///
/// # Errors
/// [`crate::Error::Usage`] for an unknown or embedded set; [`crate::Error::Download`] if no mirror
/// delivers a file with the right checksum, or if another process downloads it;
/// [`crate::Error::Format`] if a different file has the name of one; [`crate::Error::Io`] if it
/// cannot be written.
#[cfg(feature = "cli")]
pub fn fetch(
    name: &str,
    into: &Path,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<std::path::PathBuf> {
    match remote::find(name) {
        Some(set) => fetch_remote::fetch(&fetch::Fetcher::new(), set, into, progress),
        None => fetch::fetch(name, into, progress),
    }
}

/// `dataset` as a `.safetensors` file that [`load`] reads, with both splits and the names of
/// classes and files.
///
/// # Errors
/// [`crate::Error::Data`] if the format cannot hold it.
pub fn to_file(dataset: &Dataset) -> Result<Vec<u8>> {
    let part = |split: &Split, files: &[String]| Part {
        shape: dataset.shape,
        split: split.clone(),
        files: files.to_vec(),
        name: String::new(),
    };
    let details = &dataset.details;
    let content = Content {
        train: part(&dataset.train, &details.train_files),
        test: Some(part(&dataset.test, &details.test_files)),
        validation: details.validation.as_ref().map(|split| part(split, &[])),
        class_names: Some(dataset.class_names.clone()),
        least_classes: dataset.classes,
        ..Content::default()
    };
    format::safetensors::to_bytes(&content)
        .map_err(|reason| crate::Error::Data(format!("{}: {reason}", dataset.source)))
}

/// The data set of what was found and read.
fn assemble(
    located: Located,
    source: String,
    mut content: Content,
    options: &ReadOptions,
) -> Result<Dataset> {
    let has_own_test = content.test.is_some();
    check::split(&source, &mut content, options)?;
    let shape = check::same_shape(&source, &content)?;
    let known = located.entry.map(|entry| entry.class_names.len() as u32);
    let classes = known.map_or_else(|| check::classes(&source, &content), Ok)?;
    let Content { train, test, validation, class_names, skipped, warnings, .. } = content;
    let class_names = match (located.entry, class_names) {
        (Some(entry), _) => entry.class_names.iter().map(ToString::to_string).collect(),
        (None, Some(names)) => names,
        (None, None) if located.class_names.len() == classes as usize => {
            located.class_names.iter().map(ToString::to_string).collect()
        }
        (None, None) => (0..classes).map(|class| class.to_string()).collect(),
    };
    let Part { split: train, files: train_files, .. } = train;
    let Part { split: test, files: test_files, .. } = test.unwrap_or_default();
    let validation = validation.map(|part| part.split);
    let details = Details { train_files, test_files, has_own_test, validation, skipped, warnings };
    let mut dataset = Dataset {
        name: located.name,
        shape,
        classes,
        class_names,
        train,
        test,
        published_normalization: located.entry.map(|entry| entry.normalization),
        source,
        details,
    };
    if known.is_none() {
        let said = check::oddities(&dataset);
        dataset.details.warnings.extend(said);
    }
    Ok(dataset)
}

#[cfg(test)]
mod tests;
