//! Where data sets are looked up: `--data-dir`, `SALIQ_DATA_DIR`, the user's cache folder, the
//! system's folder.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    catalog::{self, CATALOG, Entry},
    published::verify_file,
};
use crate::{Error, Result, config::Shape, files::cache_dir};

/// The environment variable naming a folder to look in.
pub const DATA_DIR_VARIABLE: &str = "SALIQ_DATA_DIR";

/// Where distributions install data sets (Debian's `dataset-fashion-mnist`).
const SYSTEM_FOLDER: &str = "/usr/share/datasets";

/// Spellings of the four files in use: file names of MNIST, dotted names of some copies, rank 4 for
/// several channels.
const SPELLINGS: [&[&str]; 4] = [
    &[
        "train-images-idx3-ubyte",
        "train-images.idx3-ubyte",
        "train-images-idx4-ubyte",
        "train-images.idx4-ubyte",
    ],
    &["train-labels-idx1-ubyte", "train-labels.idx1-ubyte"],
    &[
        "t10k-images-idx3-ubyte",
        "t10k-images.idx3-ubyte",
        "t10k-images-idx4-ubyte",
        "t10k-images.idx4-ubyte",
    ],
    &["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"],
];

/// A row of `saliq data list`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// What `--dataset` takes.
    pub name: String,
    /// Channels, height, width.
    pub shape: Shape,
    /// Number of classes.
    pub classes: u32,
    /// Number of training images.
    pub train: u32,
    /// Number of test images.
    pub test: u32,
    /// The folder that would be used; none if the set is embedded or was not found.
    pub found: Option<PathBuf>,
    /// Licence and holder.
    pub licence: String,
    /// Part of the program: always available.
    pub embedded: bool,
}

/// Every named data set and where it would be loaded from.
pub fn list(data_dir: Option<&Path>) -> Vec<Listing> {
    Places::of_user(data_dir).list()
}

/// The folders to look in, in order of precedence.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `SALIQ_DATA_DIR`.
    pub environment: Option<PathBuf>,
    /// The user's cache folder.
    pub cache: Option<PathBuf>,
    /// The system's folder.
    pub system: Option<PathBuf>,
}

impl Places {
    pub fn of_user(data_dir: Option<&Path>) -> Self {
        Places {
            data_dir: data_dir.map(Path::to_path_buf),
            environment: std::env::var_os(DATA_DIR_VARIABLE)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from),
            cache: cache_dir(),
            system: cfg!(unix).then(|| PathBuf::from(SYSTEM_FOLDER)),
        }
    }

    /// Folders that may hold `entry`'s files. A folder of the set's name comes before the place
    /// itself, which may as well hold another set.
    fn candidates(&self, entry: &Entry) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for place in [&self.data_dir, &self.environment].into_iter().flatten() {
            folders.push(place.join(entry.name));
            folders.extend(entry.torchvision.map(|folder| place.join(folder)));
            folders.push(place.clone());
        }
        folders.extend(
            [&self.cache, &self.system].into_iter().flatten().map(|place| place.join(entry.name)),
        );
        let mut seen = std::collections::HashSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }

    /// The first folder with all four files of `entry`, or an error that says where they were
    /// looked for.
    pub fn locate(&self, entry: &Entry) -> Result<(PathBuf, [PathBuf; 4])> {
        let mut looked = Vec::new();
        for folder in self.candidates(entry) {
            match find_files(&folder) {
                Ok(files) => match other_set(entry, &files) {
                    None => return Ok((folder, files)),
                    Some(other) => looked.push(format!("{} (holds {other})", folder.display())),
                },
                Err(missing) if missing.len() < 4 => {
                    looked.push(format!("{} (lacks {})", folder.display(), missing.join(", ")));
                }
                Err(_) => looked.push(folder.display().to_string()),
            }
        }
        let name = entry.name;
        let mini = CATALOG
            .iter()
            .find(|other| other.embedded.is_some() && other.class_names == entry.class_names);
        let instead =
            mini.map(|mini| format!(", or use the built-in {}", mini.name)).unwrap_or_default();
        Err(Error::Data(format!(
            "data set {name} not found; looked in {}. Get it with `saliq data fetch {name}`{instead}",
            looked.join(", ")
        )))
    }

    pub fn list(&self) -> Vec<Listing> {
        let row = |entry: &Entry| Listing {
            name: entry.name.into(),
            shape: entry.shape,
            classes: entry.class_names.len() as u32,
            train: entry.train,
            test: entry.test,
            found: if entry.embedded.is_some() {
                None
            } else {
                self.locate(entry).ok().map(|(folder, _)| folder)
            },
            licence: entry.licence.into(),
            embedded: entry.embedded.is_some(),
        };
        CATALOG.iter().map(row).collect()
    }
}

/// Training images, training labels, test images, test labels in `folder`, or the names of those
/// that are missing.
pub(crate) fn find_files(folder: &Path) -> Result<[PathBuf; 4], Vec<&'static str>> {
    let found = [0, 1, 2, 3].map(|role| find_file(folder, role));
    match found {
        [Some(a), Some(b), Some(c), Some(d)] => Ok([a, b, c, d]),
        _ => Err(found
            .iter()
            .zip(SPELLINGS)
            .filter(|(file, _)| file.is_none())
            .map(|(_, names)| names[0])
            .collect()),
    }
}

/// The file of that role (0 to 3, in the order of [`find_files`]) in `folder`, whatever its
/// spelling; raw before gzip.
pub(crate) fn find_file(folder: &Path, role: usize) -> Option<PathBuf> {
    let names = SPELLINGS.get(role)?.iter();
    names
        .flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))])
        .find(|path| path.is_file())
}

/// The name of another known set whose test labels these files hold: a folder given with
/// `--data-dir` may be another set's.
fn other_set(entry: &Entry, files: &[PathBuf; 4]) -> Option<&'static str> {
    let others = CATALOG.iter().filter(|other| other.name != entry.name);
    others
        .into_iter()
        .find(|other| verify_file(&files[3], &other.files[3]).is_ok())
        .map(|other| other.name)
}

/// The four files of the set in folder `dir`, or an error that says which are missing.
pub(crate) fn folder_files(dir: &Path) -> Result<[PathBuf; 4]> {
    find_files(dir).map_err(|missing| {
        Error::Data(format!(
            "{}: not a folder with a data set: lacks {} (each raw or with .gz)",
            dir.display(),
            missing.join(", ")
        ))
    })
}

/// `name` is neither a known set nor a folder: says what it could have been.
pub(crate) fn unknown(name: &str) -> Error {
    let path = Path::new(name);
    if path.is_file() {
        return Error::Data(format!(
            "{name}: is a file; --dataset takes a name or a folder with the four IDX files"
        ));
    }
    if path.components().count() > 1 || path.is_absolute() {
        return Error::Data(format!("{name}: no such folder{}", catalog::hint(name)));
    }
    Error::Data(format!(
        "unknown data set '{name}'{}, or a folder with four IDX files",
        catalog::hint(name)
    ))
}
