//! Where the data are that a model was trained on, beside the model: the model itself holds no
//! paths.

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
    /// A name, or the whole path of a folder.
    pub dataset: Option<String>,
    /// Where a named set is looked up first.
    pub data_dir: Option<PathBuf>,
}

impl DataLocation {
    /// What stands beside a model: in its folder's `data.toml`, or in the `config.toml` of its run.
    /// Nothing for a lone file, and for what is another model's or cannot be read.
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

    /// Where `dataset` was read from.
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

    /// Writes it beside the model in `folder`, where that does not follow from the model's own
    /// words.
    ///
    /// # Errors
    /// [`crate::Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        // TOML holds text only.
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
            "# Where the data are that {MODEL_FILE} was trained on; where no data set is named, saliq looks here.\n{body}"
        );
        write_atomically(&folder.join(DATA_FILE), text.as_bytes())
    }
}
