//! The result of a run of a sweep, in the run's folder.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    files::{read_bounded, write_atomically},
    study::result::RESULT_FILE,
};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// Digest of the settings that it belongs to.
    pub settings: String,
    /// Number of test images.
    pub images: u64,
    /// Figures by name, as in `metrics.jsonl`.
    pub metrics: BTreeMap<String, f64>,
    /// The adapter that it was made on.
    pub adapter: String,
}

impl RunResult {
    /// The result in a run's `folder`, if it is that of the settings with this digest.
    pub fn read(folder: &Path, settings: &str) -> Option<RunResult> {
        let bytes = read_bounded(&folder.join(RESULT_FILE), MAX_FILE).ok()?;
        let result: RunResult = serde_json::from_slice(&bytes).ok()?;
        (result.settings == settings).then_some(result)
    }

    /// Writes the result into a run's folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, folder: &Path) -> Result<()> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Error::Model(error.to_string()))?;
        write_atomically(&folder.join(RESULT_FILE), text.as_bytes())
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It has a result.
    Done,
    /// It could not be made.
    Failed,
    /// It was begun.
    Begun,
    /// It has no folder.
    Open,
}

impl RunState {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Done => "done",
            RunState::Failed => "failed",
            RunState::Begun => "begun",
            RunState::Open => "open",
        }
    }
}
