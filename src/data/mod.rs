//! Data sets: the named ones (MNIST, Fashion-MNIST and their embedded mini versions) and folders of
//! four IDX files.
//!
//! [`load`] finds and reads a set, [`list`] lists the available sets, and [`fetch()`] downloads.
//! Pixels stay bytes; the GPU normalises them with the constants of [`Dataset::normalization`].
//!
//! A name becomes a data set in separate steps: `locate` finds its files, `format` recognises their
//! format, `read` reads them with a bound, and `check` verifies that they fit each other and the
//! name.

pub mod catalog;
mod check;
mod dataset;
#[cfg(feature = "cli")]
mod fetch;
mod format;
mod gzip;
mod locate;
mod published;
mod read;

use std::path::Path;

pub use catalog::blank;
pub use dataset::{Dataset, Split, digest, tail_length};
#[cfg(feature = "cli")]
pub use fetch::{Progress, fetch};
pub use format::idx;
pub use locate::{DATA_DIR_VARIABLE, Listing, list};

use crate::Result;
use format::Part;
use locate::Places;

/// Loads the data set `name`: a known name (see [`catalog`]), else a folder with four IDX files.
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
    load_from(name, &Places::of_user(data_dir))
}

fn load_from(name: &str, places: &Places) -> Result<Dataset> {
    let located = places.locate(name)?;
    let known = located.entry.map(|entry| entry.class_names.len() as u32);
    let train = check::split(located.files.read(Part::Training)?, known)?;
    let test = check::split(located.files.read(Part::Test)?, known)?;
    let source = located.folder.as_ref().map(|folder| folder.display().to_string());
    let source = source.unwrap_or_else(|| "built-in".into());
    if let (Some(entry), Some(folder)) = (located.entry, &located.folder) {
        let said = check::sums(entry, folder, [&train, &test]);
        said.iter().for_each(|said| log::warn!("{said}"));
    }
    let shape = check::same_shape(&source, train.0, test.0)?;
    let (train, test) = (train.1, test.1);
    let classes = known.unwrap_or_else(|| check::classes(&train, &test));
    let class_names = match located.entry {
        Some(entry) => entry.class_names.iter().map(ToString::to_string).collect(),
        None => (0..classes).map(|class| class.to_string()).collect(),
    };
    let dataset = Dataset {
        name: located.name,
        shape,
        classes,
        class_names,
        train,
        test,
        published_normalization: located.entry.map(|entry| entry.normalization),
        source,
    };
    if let Some(said) = check::gaps(&dataset).filter(|_| known.is_none()) {
        log::warn!("{}: {said}", dataset.source);
    }
    Ok(dataset)
}

#[cfg(test)]
mod tests;
