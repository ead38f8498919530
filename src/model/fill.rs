//! Reads the parameters of a network from the tensors of a file.

use std::path::Path;

use super::tensors::{StoredTensor, TensorFile};
use crate::{
    Error, Result,
    graph::{Parameter, ParameterLayout, ParameterRole},
};

/// The file's tensors in the layout's order, and the names of the missing α's, steps and offsets of
/// activations (they are 1, offsets 0). Missing steps of weights are initialised from the weights.
/// A step or offset that was learned for other levels (`stored` is the layout that the file was
/// written with) counts as missing.
pub(super) fn fill(
    file: &TensorFile,
    layout: &ParameterLayout,
    stored: &ParameterLayout,
    path: &Path,
) -> Result<(Vec<f32>, Vec<String>)> {
    // All tensors are looked up before memory is allocated, because a small file may describe a
    // large network.
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
                ParameterRole::ActivationOffset { .. } => uncalibrated.push(parameter.name.clone()),
                // Done after the weights and running statistics are read.
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

/// The tensor for `parameter`, with its shape; `None` if the model may lack it.
fn find<'a>(
    file: &'a TensorFile,
    parameter: &Parameter,
    stored: &ParameterLayout,
    path: &Path,
) -> Result<Option<&'a StoredTensor>> {
    let is_alpha = parameter.role == ParameterRole::Alpha;
    let is_step = matches!(
        parameter.role,
        ParameterRole::WeightStep { .. }
            | ParameterRole::ActivationStep { .. }
            | ParameterRole::ActivationOffset { .. }
    );
    let other_use = stored.find(&parameter.name).is_some_and(|other| {
        is_step && (other.role, &other.shape) != (parameter.role, &parameter.shape)
    });
    let Some(tensor) = file.tensor(&parameter.name).filter(|_| !other_use) else {
        // Old PyTorch exports have no count of batches.
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
