//! Model files: `model.safetensors` with PyTorch's names and shapes, and the configuration under
//! the metadata key `saliq`.

mod file;
mod fold;
mod normalization;
mod packed;
mod table_one;
mod tensors;

use std::path::{Path, PathBuf};

pub use file::{ModelFile, Reading};
pub use fold::fold_batch_norm;
pub use normalization::Images;
pub use packed::{Codes, PackedWeights, pack};
pub use tensors::{StoredTensor, Tensor, TensorFile, TensorValues};

use crate::{
    Error, Result,
    config::{ModelConfig, QuantizationOverrides},
    graph::{Graph, Parameter, ParameterLayout, ParameterRole},
};

/// Name of the model in a run folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Metadata key of the configuration.
pub const METADATA_KEY: &str = "saliq";

/// A trained network on the host.
#[derive(Clone, Debug)]
pub struct Model {
    /// What it is and how it runs.
    pub config: ModelConfig,
    /// What it computes, and where each parameter is in `parameters`.
    pub graph: Graph,
    /// All parameters, flat; padded to a multiple of 4.
    pub parameters: Vec<f32>,
    /// Names of the α's (or steps of activations) that the layout has and the file did not. Steps
    /// of weights that it did not have are those LSQ starts with.
    pub missing_alphas: Vec<String>,
    /// Where it was read from.
    pub path: PathBuf,
}

impl Model {
    /// Reads a model file, or the one in a run folder, to be run as `overrides` say. A bare PyTorch
    /// export of the network of Table I is accepted too, where its images are those of the paper;
    /// [`ModelFile`] takes others and says what was assumed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Format`] for a file that is not what it should be, [`Error::Usage`]
    /// for one that does not say enough, [`Error::Model`] for a network that cannot be.
    pub fn load(path: &Path, overrides: &QuantizationOverrides) -> Result<Model> {
        ModelFile::open(path)?.model_alone(overrides)
    }

    /// [`load`](Self::load) from the bytes of a model file; `path` only names them in errors.
    /// Memory never exceeds a few times `bytes`, whatever network the file describes.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, bytes: &[u8], overrides: &QuantizationOverrides) -> Result<Model> {
        ModelFile::new(TensorFile::parse(path, bytes)?, path.to_path_buf())?.model_alone(overrides)
    }

    /// Whether the file had every α (or step of an activation) that the layout has.
    pub fn has_alphas(&self) -> bool {
        self.missing_alphas.is_empty()
    }

    /// Refuses a quantized model that lacks some of its α's (or of the steps of its activations):
    /// there is nothing to clip at.
    pub fn require_alphas(&self) -> Result<()> {
        if self.has_alphas() {
            return Ok(());
        }
        Err(Error::format(
            &self.path,
            format!(
                "quantized activations need {}, which the file does not have; run it with --bits 32, or train with --init to calibrate",
                self.missing_alphas.join(" and ")
            ),
        ))
    }

    /// The parameters as named tensors, in order.
    pub fn tensors(layout: &ParameterLayout, parameters: &[f32]) -> Vec<Tensor> {
        layout
            .parameters
            .iter()
            .map(|parameter| {
                let values = &parameters[parameter.range()];
                match parameter.role {
                    // PyTorch counts in 64-bit integers.
                    ParameterRole::BatchCount => {
                        let counts = values.iter().map(|&count| count as i64).collect();
                        Tensor::i64(&parameter.name, &parameter.shape, counts)
                    }
                    _ => Tensor::f32(&parameter.name, &parameter.shape, values.to_vec()),
                }
            })
            .collect()
    }

    /// Writes a model file. The same network and configuration give the same bytes.
    pub fn save(
        path: &Path,
        config: &ModelConfig,
        layout: &ParameterLayout,
        parameters: &[f32],
    ) -> Result<()> {
        TensorFile::write(
            path,
            &Model::tensors(layout, parameters),
            &[(METADATA_KEY, config.to_metadata())],
        )
    }
}

/// The model file that `path` names: itself, or the one in a run folder.
fn model_file(path: &Path) -> Result<PathBuf> {
    if !path.exists() {
        let what = "no such file or folder; a model is a .safetensors file or the run folder that `saliq train` wrote";
        return Err(Error::format(path, what));
    }
    if !path.is_dir() {
        return Ok(path.into());
    }
    let file = path.join(MODEL_FILE);
    if !file.exists() {
        let what = format!(
            "holds no {MODEL_FILE}: not a run folder, or its training has not finished (`saliq train --resume`)"
        );
        return Err(Error::format(path, what));
    }
    Ok(file)
}

/// The file's tensors in the layout's order, and the names of the α's and steps of activations that
/// are absent (they are 1). Steps of weights that are absent are initialised from the weights. A
/// step that was learned for other levels (`stored` is the layout that the file was written with)
/// counts as absent.
fn fill(
    file: &TensorFile,
    layout: &ParameterLayout,
    stored: &ParameterLayout,
    path: &Path,
) -> Result<(Vec<f32>, Vec<String>)> {
    // All are looked up before memory is set aside: a small file may describe a large network.
    let tensors: Vec<_> = layout
        .parameters
        .iter()
        .map(|parameter| find(file, parameter, stored, path))
        .collect::<Result<_>>()?;
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    let mut uncalibrated = Vec::new();
    let mut missing_steps = Vec::new();
    for (parameter, tensor) in layout.parameters.iter().zip(tensors) {
        let Some(tensor) = tensor else {
            match parameter.role {
                ParameterRole::Alpha | ParameterRole::ActivationStep { .. } => {
                    uncalibrated.push(parameter.name.clone());
                    parameters[parameter.offset as usize] = 1.0;
                }
                // Once weights and running statistics are there.
                ParameterRole::WeightStep { .. } => missing_steps.push(parameter),
                _ => {}
            }
            continue;
        };
        let values = match parameter.role {
            ParameterRole::BatchCount => {
                tensor.to_i64(path)?.into_iter().map(|count| count as f32).collect()
            }
            _ => tensor.to_f32(path)?,
        };
        ParameterLayout::check(parameter, &values).map_err(|reason| Error::format(path, reason))?;
        parameters[parameter.range()].copy_from_slice(&values);
    }
    for parameter in missing_steps {
        layout.initialize_step(parameter, &mut parameters);
    }
    Ok((parameters, uncalibrated))
}

/// The tensor for `parameter`, of its shape; `None` where the model does without.
fn find<'a>(
    file: &'a TensorFile,
    parameter: &Parameter,
    stored: &ParameterLayout,
    path: &Path,
) -> Result<Option<&'a StoredTensor>> {
    let is_alpha = parameter.role == ParameterRole::Alpha;
    let is_step = matches!(
        parameter.role,
        ParameterRole::WeightStep { .. } | ParameterRole::ActivationStep { .. }
    );
    let other_use = stored.find(&parameter.name).is_some_and(|other| {
        is_step && (other.role, &other.shape) != (parameter.role, &parameter.shape)
    });
    let Some(tensor) = file.tensor(&parameter.name).filter(|_| !other_use) else {
        // Old PyTorch exports do not count batches.
        if is_alpha || is_step || parameter.role == ParameterRole::BatchCount {
            return Ok(None);
        }
        return Err(Error::format(
            path,
            format!("has no tensor {}, which the network needs", parameter.name),
        ));
    };
    // A scalar of shape [] is read as [1].
    let is_scalar = (is_alpha || is_step) && parameter.shape == [1];
    if tensor.shape == parameter.shape || is_scalar && tensor.shape.is_empty() {
        return Ok(Some(tensor));
    }
    Err(Error::format(
        path,
        format!(
            "{} has shape {:?} where the network needs {:?}",
            parameter.name, tensor.shape, parameter.shape
        ),
    ))
}
