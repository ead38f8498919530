//! Checkpoints: parameters, optimiser state and progress in one safetensors file with a checksum.
//! The newest checkpoint and the previous one are kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::skips::Skips;
use crate::{
    Error, Result,
    digest::hex,
    error::phrase,
    model::{Tensor, TensorFile},
    sgt::MaskingProgress,
};

const KEY: &str = "saliq-checkpoint";
const CHECKSUM: &str = "sha256";
/// Newest first.
const FILES: [&str; 2] = ["checkpoint.safetensors", "checkpoint.1.safetensors"];

/// What is in a checkpoint's file: tensors and metadata.
type Content = (Vec<Tensor>, [(&'static str, String); 2]);

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progressed {
    /// Number of steps taken; random numbers depend only on it and on the seed.
    pub step: u64,
    /// Sums over the unfinished epoch: Σce, Σkl, Σcorrect, images.
    pub epoch_sums: [f64; 4],
    /// Σ distances of predictions and of maps from a teacher's, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub distances: Option<[f64; 2]>,
    /// The state that the masking of an SGT variant depends on.
    #[serde(default)]
    pub masking: MaskingProgress,
    /// Steps that did not count.
    #[serde(default)]
    pub skips: Skips,
    /// Training time of the unfinished epoch, in seconds.
    pub epoch_seconds: f64,
    /// Length of `metrics.jsonl` in bytes.
    pub metrics_bytes: u64,
    /// The model configuration without the number of steps. A run with other settings cannot
    /// resume.
    pub settings: String,
}

/// A run's state between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The progress of the run.
    pub progress: Progressed,
    /// All parameters, flat.
    pub parameters: Vec<f32>,
    /// The optimiser's arrays, flat.
    pub states: Vec<Vec<f32>>,
}

impl Checkpoint {
    /// The checkpoint whose parameters and optimiser's arrays, each of `length` values, are in
    /// `state`, one after the other.
    pub(super) fn of_state(progress: Progressed, length: usize, state: &[f32]) -> Checkpoint {
        let mut arrays = state.chunks_exact(length).map(<[f32]>::to_vec);
        let parameters = arrays.next().unwrap_or_default();
        Checkpoint { progress, parameters, states: arrays.collect() }
    }

    /// The checkpoint files of the run in `folder`, newest first.
    pub fn files(folder: &Path) -> [PathBuf; 2] {
        FILES.map(|name| folder.join(name))
    }

    /// Writes the checkpoint of the run in `folder`. The file is completely on disk before the
    /// newest checkpoint becomes the previous one and the previous one is deleted. At every moment
    /// one of the two is good.
    ///
    /// # Errors
    /// [`Error::Io`]; existing checkpoints then stay.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let [newest, before] = Checkpoint::files(folder);
        let (tensors, metadata) = self.content()?;
        let staged = TensorFile::stage(&newest, &tensors, &metadata)?;
        match fs::rename(&newest, &before) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot replace", before)(error))
            }
            _ => staged.commit(),
        }
    }

    /// The bytes that [`Self::save`] writes.
    ///
    /// # Errors
    /// [`Error::Model`] if they cannot be made.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let (tensors, metadata) = self.content()?;
        TensorFile::to_bytes(&tensors, &metadata)
    }

    fn content(&self) -> Result<Content> {
        let mut tensors =
            vec![Tensor::f32("parameters", &[self.parameters.len()], self.parameters.clone())];
        for (index, state) in self.states.iter().enumerate() {
            tensors.push(Tensor::f32(&format!("optimizer.{index}"), &[state.len()], state.clone()));
        }
        let progress = serde_json::to_string(&self.progress)
            .map_err(|error| Error::Model(error.to_string()))?;
        let checksum = checksum(&progress, std::iter::once(&self.parameters).chain(&self.states));
        Ok((tensors, [(KEY, progress), (CHECKSUM, checksum)]))
    }

    /// Reads a checkpoint of any network and optimiser.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] for a file that is not a checkpoint or is damaged;
    /// [`Error::Settings`] for a checkpoint of another version of saliq.
    pub fn load(path: &Path) -> Result<Checkpoint> {
        Checkpoint::from_file(&TensorFile::read(path)?, path)
    }

    /// [`load`](Self::load) from the bytes of a checkpoint; `path` only names them in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Checkpoint> {
        Checkpoint::from_file(&TensorFile::parse(path, bytes)?, path)
    }

    fn from_file(file: &TensorFile, path: &Path) -> Result<Checkpoint> {
        let bad =
            |reason: String| Error::format(path, format!("not a usable checkpoint: {reason}"));
        let text = file.metadata(KEY).ok_or_else(|| bad(format!("no `{KEY}` metadata")))?;
        let array = |name: &str| -> Result<Option<Vec<f32>>> {
            let Some(tensor) = file.tensor(name) else { return Ok(None) };
            let values = tensor.to_f32(path)?;
            match values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(bad(format!("{name} contains {value}"))),
                None => Ok(Some(values)),
            }
        };
        let parameters = array("parameters")?.ok_or_else(|| bad("no tensor parameters".into()))?;
        let mut states = Vec::new();
        while let Some(state) = array(&format!("optimizer.{}", states.len()))? {
            states.push(state);
        }
        let expected =
            file.metadata(CHECKSUM).ok_or_else(|| bad(format!("no `{CHECKSUM}` metadata")))?;
        if expected != checksum(text, std::iter::once(&parameters).chain(&states)) {
            return Err(bad("its checksum does not match its content".into()));
        }
        // The checksum is right, so a file that cannot be parsed is not damaged but of another
        // version.
        let progress: Progressed = serde_json::from_str(text).map_err(|error| {
            Error::Settings(phrase!(
                "<resume>: {} was written by another version of saliq ({})",
                path.display(),
                error
            ))
        })?;
        Ok(Checkpoint { progress, parameters, states })
    }
}

/// SHA-256 of the progress as text and of the arrays, in hexadecimal.
fn checksum<'a>(progress: &str, arrays: impl Iterator<Item = &'a Vec<f32>>) -> String {
    let mut digest = Sha256::new();
    for bytes in std::iter::once(progress.as_bytes())
        .chain(arrays.map(|values| bytemuck::cast_slice(values)))
    {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    }
    hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let progress = Progressed {
            step,
            epoch_sums: [0.1, 0.2, 3.0, 4.0],
            distances: None,
            masking: MaskingProgress::default(),
            skips: Skips::default(),
            epoch_seconds: 0.3,
            metrics_bytes: 77,
            settings: "{}".into(),
        };
        Checkpoint {
            progress,
            parameters: vec![step as f32, 2.0, -0.0, 1e-40],
            states: vec![vec![0.5; 4], vec![1.0; 4]],
        }
    }

    #[test]
    fn the_newest_and_the_one_before_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [newest, before] = Checkpoint::files(folder.path());
        for step in 1..=3 {
            checkpoint(step).save(folder.path()).unwrap();
        }
        assert_eq!(Checkpoint::load(&newest).unwrap(), checkpoint(3));
        assert_eq!(Checkpoint::load(&before).unwrap(), checkpoint(2));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something else was left");
    }

    /// For damage of any byte and a cut at any place: what is read is what was written, or the file
    /// is refused.
    #[test]
    fn no_damage_goes_unseen() {
        let folder = tempfile::tempdir().unwrap();
        checkpoint(5).save(folder.path()).unwrap();
        let [path, _] = Checkpoint::files(folder.path());
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            for damaged in [flipped, good[..at].to_vec()] {
                fs::write(&path, &damaged).unwrap();
                if let Ok(read) = Checkpoint::load(&path) {
                    assert_eq!(read, checkpoint(5), "byte {at}");
                }
            }
        }
    }

    #[test]
    fn a_failed_write_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let [newest, before] = Checkpoint::files(folder.path());
        checkpoint(1).save(folder.path()).unwrap();
        // A file cannot replace a folder that is not empty.
        fs::create_dir_all(before.join("in the way")).unwrap();
        assert!(
            checkpoint(2)
                .save(folder.path())
                .unwrap_err()
                .to_string()
                .contains("checkpoint.1.safetensors")
        );
        assert_eq!(Checkpoint::load(&newest).unwrap(), checkpoint(1));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a temporary file was left");
        fs::remove_dir_all(&before).unwrap();
        checkpoint(3).save(folder.path()).unwrap();
        assert_eq!(Checkpoint::load(&newest).unwrap(), checkpoint(3));
    }
}
