//! Stores the location of the data set of a model next to the model, because a model file contains
//! no paths.

use std::path::{Path, PathBuf};

use super::names::{CONFIG_FILE, DATA_FILE};
use crate::{
    Result,
    config::{PartialRunConfig, short_name},
    data::{Dataset, catalog},
    files::write_atomically,
    model::{MODEL_FILE, Model},
};

/// A data set as `--dataset` and `--data-dir` name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataLocation {
    /// A name, or the absolute path of a folder.
    pub dataset: Option<String>,
    /// Folder in which a named set is looked up first.
    pub data_dir: Option<PathBuf>,
}

impl DataLocation {
    /// The location stored next to a model: in `data.toml` in its folder, or in `config.toml` of
    /// its run. Empty for a single file, and for a file that belongs to another model or cannot be
    /// read.
    pub fn beside(model: &Model) -> DataLocation {
        let in_folder = model.path.file_name().is_some_and(|name| name == MODEL_FILE);
        let folder = model.path.parent().filter(|_| in_folder);
        let files = folder
            .into_iter()
            .flat_map(|folder| [DATA_FILE, CONFIG_FILE].map(|name| folder.join(name)));
        let found = files.filter_map(|file| PartialRunConfig::from_file(&file).ok());
        let own = |settings: &PartialRunConfig| {
            short_name(settings.dataset_name()) == model.config.dataset
        };
        found.into_iter().find(own).map_or_else(DataLocation::default, |settings| DataLocation {
            dataset: settings.dataset,
            data_dir: settings.data_dir,
        })
    }

    /// The location that `dataset` was read from.
    pub fn of(dataset: &Dataset) -> DataLocation {
        let is_built_in = catalog::find(&dataset.name)
            .is_some_and(|entry| dataset.is_named() && entry.embedded.is_some());
        let source = std::fs::canonicalize(&dataset.source).ok().filter(|_| !is_built_in);
        if dataset.is_named() {
            return DataLocation { dataset: Some(dataset.name.clone()), data_dir: source };
        }
        DataLocation {
            dataset: source.and_then(|path| path.into_os_string().into_string().ok()),
            data_dir: None,
        }
    }

    /// Writes the location next to the model in `folder`, unless it follows from the model file.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        // TOML can hold only text.
        let data_dir = self.data_dir.as_ref().and_then(|path| path.to_str());
        let is_path = self.dataset.as_ref().is_some_and(|dataset| short_name(dataset) != *dataset);
        if !is_path && data_dir.is_none() {
            return crate::files::remove_old(&folder.join(DATA_FILE));
        }
        let settings = PartialRunConfig {
            dataset: self.dataset.clone(),
            data_dir: data_dir.map(PathBuf::from),
            ..PartialRunConfig::default()
        };
        let body = toml::to_string(&settings).unwrap_or_default();
        let text = format!(
            "# The data set that {MODEL_FILE} was trained on; saliq looks here if no data set is \
             named.\n{body}"
        );
        write_atomically(&folder.join(DATA_FILE), text.as_bytes())
    }
}
