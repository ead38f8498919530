//! Finds the files of a data set by its name. A named set is looked up in `--data-dir`, in
//! `SALIQ_DATA_DIR`, in the user's cache folder and in the system's folder.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    catalog::{self, CATALOG, Entry},
    format::Files,
    published::verify_file,
    remote::{self, RemoteSet},
};
use crate::{Error, Result, config::Shape, files::cache_dir};

/// Environment variable with a folder to look in.
pub const DATA_DIR_VARIABLE: &str = "SALIQ_DATA_DIR";

/// Where distributions install data sets (Debian's `dataset-fashion-mnist`).
const SYSTEM_FOLDER: &str = "/usr/share/datasets";

/// A row of `saliq data list`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listing {
    /// The name for `--dataset`.
    pub name: String,
    /// Channels, height, width.
    pub shape: Shape,
    /// Number of classes.
    pub classes: u32,
    /// Number of training images.
    pub train: u32,
    /// Number of test images.
    pub test: u32,
    /// The folder that would be used; `None` if the set is embedded or was not found.
    pub found: Option<PathBuf>,
    /// Licence and holder.
    pub licence: String,
    /// Whether it is embedded in the program and always available.
    pub embedded: bool,
}

/// Every named data set with the folder it would be loaded from.
pub fn list(data_dir: Option<&Path>) -> Vec<Listing> {
    Places::of_user(data_dir).list()
}

/// A data set that was found.
pub(super) struct Located {
    /// Its catalog entry, if it is a named set.
    pub entry: Option<&'static Entry>,
    /// The known name, or the name of the folder.
    pub name: String,
    /// The folder as given or found; `None` for an embedded set.
    pub folder: Option<PathBuf>,
    /// Its files.
    pub files: Files,
    /// Names of the classes, for files that have none; may be empty.
    pub class_names: &'static [&'static str],
}

/// The folders to look in, in order of precedence.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
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

    /// Folders that may contain `entry`'s files. A folder with the set's name comes before the
    /// place itself, which may contain another set.
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

    /// Finds the data set `name`: a named set in the places above, else the folder with that path.
    ///
    /// # Errors
    /// [`Error::Data`] that lists the places, the files that a folder lacks, or names similar to
    /// `name`.
    pub fn locate(&self, name: &str) -> Result<Located> {
        let Some(entry) = catalog::find(name) else {
            // A folder of that name here is the user's own.
            let remote = remote::find(name).filter(|_| !Path::new(name).exists());
            return remote.map_or_else(|| at_path(name), |set| self.fetched(set));
        };
        let (folder, files) = match Files::built_in(entry) {
            Some(files) => (None, files),
            None => self.find(entry).map(|(folder, files)| (Some(folder), files))?,
        };
        Ok(Located { entry: Some(entry), name: entry.name.into(), folder, files, class_names: &[] })
    }

    /// The set that `saliq data fetch` stored in one of the places.
    fn fetched(&self, set: &RemoteSet) -> Result<Located> {
        let places = [&self.data_dir, &self.environment, &self.cache, &self.system];
        let mut looked = Vec::new();
        for folder in places.into_iter().flatten().map(|place| place.join(set.name)) {
            if set.is_in(&folder) {
                let located = at_path(&folder.display().to_string())?;
                return Ok(Located { name: set.name.into(), ..located });
            }
            looked.push(folder.display().to_string());
        }
        Err(not_found(set.name, &looked, ""))
    }

    /// The first folder with all four files of `entry`, or an error that lists the folders that
    /// were tried.
    fn find(&self, entry: &Entry) -> Result<(PathBuf, Files)> {
        let mut looked = Vec::new();
        for folder in self.candidates(entry) {
            match Files::in_folder(&folder) {
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
        let mini = CATALOG
            .iter()
            .find(|other| other.embedded.is_some() && other.class_names == entry.class_names);
        let instead =
            mini.map(|mini| format!(", or use the built-in {}", mini.name)).unwrap_or_default();
        Err(not_found(entry.name, &looked, &instead))
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
                self.find(entry).ok().map(|(folder, _)| folder)
            },
            licence: entry.licence.into(),
            embedded: entry.embedded.is_some(),
        };
        let remote = |set: &RemoteSet| Listing {
            name: set.name.into(),
            shape: set.shape,
            classes: set.classes,
            train: set.train,
            test: set.test,
            found: self.fetched(set).ok().and_then(|located| located.folder),
            licence: set.licence.into(),
            embedded: false,
        };
        CATALOG.iter().map(row).chain(remote::SETS.iter().map(remote)).collect()
    }
}

/// The name of another named set with these test labels: a folder given with `--data-dir` may
/// contain another set.
fn other_set(entry: &Entry, files: &Files) -> Option<&'static str> {
    let Files::Idx([.., test_labels]) = files else { return None };
    let others = CATALOG.iter().filter(|other| other.name != entry.name);
    others
        .into_iter()
        .find(|other| verify_file(&test_labels.path, &other.files[3]).is_ok())
        .map(|other| other.name)
}

/// The data set at the path `name`, a folder or a file.
fn at_path(name: &str) -> Result<Located> {
    let path = Path::new(name);
    if !path.exists() {
        return Err(unknown(name));
    }
    let files = Files::recognise(path)?;
    // `.` and `..` have a name only when resolved.
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let own = resolved.file_name().map(|own| own.to_string_lossy().into_owned());
    let name = own.unwrap_or_else(|| name.into());
    // A set that was fetched is the same under its path.
    let fetched = remote::find(&name).filter(|set| set.is_in(path));
    let class_names = fetched.map_or(&[][..], |set| set.class_names);
    Ok(Located { entry: None, name, folder: Some(path.into()), files, class_names })
}

/// The error for the named set `name` that is in none of the places `looked`; `instead` follows.
fn not_found(name: &str, looked: &[String], instead: &str) -> Error {
    Error::Data(format!(
        "data set {name} not found; looked in {}. Get it with `saliq data fetch {name}`{instead}",
        looked.join(", ")
    ))
}

/// The error for a `name` that is neither a named set nor a path; it suggests similar names.
fn unknown(name: &str) -> Error {
    let path = Path::new(name);
    if path.components().count() > 1 || path.is_absolute() {
        return Error::Data(format!("{name}: no such folder or file{}", catalog::hint(name)));
    }
    Error::Data(format!(
        "unknown data set '{name}'{}, or a folder or file of your own",
        catalog::hint(name)
    ))
}
