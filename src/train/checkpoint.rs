//! Checkpoints: parameters, optimiser state and progress, in one safetensors file written atomically.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    model::{Tensor, TensorFile},
    sgt::MaskingProgress,
};

const KEY: &str = "saliq-checkpoint";

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progressed {
    /// Steps taken.
    pub step: u64,
    /// Sums over the unfinished epoch: Σce, Σkl, Σcorrect, images.
    pub epoch_sums: [f64; 4],
    /// What the masking of an SGT variant depends on.
    #[serde(default)]
    pub masking: MaskingProgress,
    /// Training seconds of the unfinished epoch.
    pub epoch_seconds: f64,
    /// Length of `metrics.jsonl`.
    pub metrics_bytes: u64,
    /// The model configuration, without the number of steps: resuming with other settings is refused.
    pub settings: String,
}

/// A run's state between two steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far it is.
    pub progress: Progressed,
    /// All parameters, flat.
    pub parameters: Vec<f32>,
    /// The optimiser's arrays, flat.
    pub states: Vec<Vec<f32>>,
}

impl Checkpoint {
    /// Writes the checkpoint.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors = vec![Tensor::f32("parameters", &[self.parameters.len()], self.parameters.clone())];
        for (index, state) in self.states.iter().enumerate() {
            tensors.push(Tensor::f32(&format!("optimizer.{index}"), &[state.len()], state.clone()));
        }
        let metadata = serde_json::to_string(&self.progress).map_err(|error| Error::Model(error.to_string()))?;
        TensorFile::write(path, &tensors, &[(KEY, metadata)])
    }

    /// Reads a checkpoint with `length` parameters and `states` optimiser arrays.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Format`] for a file that is not such a checkpoint.
    pub fn load(path: &Path, length: usize, states: usize) -> Result<Checkpoint> {
        Checkpoint::from_file(&TensorFile::read(path)?, path, length, states)
    }

    /// [`load`](Self::load) from the bytes of a checkpoint; `path` only names them in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, bytes: &[u8], length: usize, states: usize) -> Result<Checkpoint> {
        Checkpoint::from_file(&TensorFile::parse(path, bytes)?, path, length, states)
    }

    fn from_file(file: &TensorFile, path: &Path, length: usize, states: usize) -> Result<Checkpoint> {
        let bad = |reason: String| Error::format(path, format!("not a usable checkpoint: {reason}"));
        let text = file.metadata(KEY).ok_or_else(|| bad(format!("no `{KEY}` metadata")))?;
        let progress: Progressed = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let array = |name: &str| -> Result<Vec<f32>> {
            let tensor = file.tensor(name).ok_or_else(|| bad(format!("no tensor {name}")))?;
            if tensor.shape != [length] {
                return Err(bad(format!("{name} has shape {:?} instead of [{length}]", tensor.shape)));
            }
            let values = tensor.to_f32(path)?;
            match values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(bad(format!("{name} contains {value}"))),
                None => Ok(values),
            }
        };
        let states = (0..states).map(|index| array(&format!("optimizer.{index}"))).collect::<Result<_>>()?;
        Ok(Checkpoint { progress, parameters: array("parameters")?, states })
    }
}
