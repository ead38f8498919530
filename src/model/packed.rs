//! Packed model files: quantized weights as codes of 1 to 8 bits without gaps, in a safetensors
//! file. docs/packed-format.md describes the format.
//!
//! When read, the weights are the de-quantized values f32(level − zero point)·scale, and the
//! configuration says that they lie on their levels (`weights-are-levels`). No quantizer is applied
//! to them again, so that packing what was read gives the same bytes.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    names::METADATA_KEY,
    tensors::{Tensor, TensorFile},
};
use crate::{
    Error, Result,
    config::ModelConfig,
    graph::{ParameterLayout, ParameterRole},
    quant::{pack_codes, packed_bytes, unpack_codes},
};

/// Key of the description within the configuration. A file with a single metadata key always has
/// the same bytes.
const PACKED_KEY: &str = "packed";
/// Version of the format.
const VERSION: u32 = 1;

/// The value under [`PACKED_KEY`] of the JSON under the metadata key `saliq`.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    version: u32,
    /// The codes of every packed layer.
    #[serde(default)]
    weights: BTreeMap<String, Codes>,
}

/// Code c is the level lowest + c·spacing, at most `highest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codes {
    /// Bits of a code: 1 to 8.
    pub bits: u32,
    /// Level of code 0.
    pub lowest: i32,
    /// Level of the highest code.
    pub highest: i32,
    /// Difference of neighbouring levels: 1 or 2.
    pub spacing: i32,
}

/// The quantized weights of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedWeights {
    /// Name of the layer.
    pub layer: String,
    /// The meaning of the codes.
    pub codes: Codes,
    /// One code per weight, in PyTorch's order.
    pub values: Vec<u8>,
    /// One, or one per output channel.
    pub scales: Vec<f32>,
    /// As many as scales, or none if all are 0.
    pub zero_points: Vec<u8>,
}

/// Bytes of a packed file: `config` and `layout` with the float `parameters`; `packed` replaces the
/// weights of its layers.
///
/// # Errors
/// [`Error::Model`] if the file cannot be made.
pub fn pack(
    config: &ModelConfig,
    layout: &ParameterLayout,
    parameters: &[f32],
    packed: &[PackedWeights],
) -> Result<Vec<u8>> {
    let mut tensors = Vec::new();
    for parameter in &layout.parameters {
        let of_layer = packed.iter().find(|weights| weights.layer == parameter.layer());
        match (parameter.role, of_layer) {
            (ParameterRole::Weight, Some(weights)) => {
                let bytes = pack_codes(&weights.values, weights.codes.bits);
                tensors.push(Tensor::u8(
                    &format!("{}.weight_packed", weights.layer),
                    &[bytes.len()],
                    bytes,
                ));
                let (scale, zero) = (
                    format!("{}.weight_scale", weights.layer),
                    format!("{}.weight_zero_point", weights.layer),
                );
                tensors.push(Tensor::f32(&scale, &[weights.scales.len()], weights.scales.clone()));
                if !weights.zero_points.is_empty() {
                    tensors.push(Tensor::u8(
                        &zero,
                        &[weights.zero_points.len()],
                        weights.zero_points.clone(),
                    ));
                }
            }
            (
                ParameterRole::WeightStep { .. }
                | ParameterRole::LevelScale
                | ParameterRole::LevelZeroPoint,
                _,
            ) => {}
            _ => tensors.push(Tensor::of(parameter, parameters)),
        }
    }
    let mut config = config.clone();
    config.quantization.weights_are_levels = !packed.is_empty();
    let weights = packed.iter().map(|weights| (weights.layer.clone(), weights.codes)).collect();
    let bad = |error: serde_json::Error| Error::Model(format!("cannot be packed: {error}"));
    let mut described: serde_json::Value =
        serde_json::from_str(&config.to_metadata()).map_err(bad)?;
    described[PACKED_KEY] =
        serde_json::to_value(Description { version: VERSION, weights }).map_err(bad)?;
    TensorFile::to_bytes(&tensors, &[(METADATA_KEY, described.to_string())])
}

/// Replaces a file's codes by float weights; a file that is not packed is not changed. `layout` is
/// that of the file's configuration.
///
/// # Errors
/// [`Error::Format`] for a later version, or for codes and scales that do not match the network.
pub(super) fn unpack(file: &mut TensorFile, layout: &ParameterLayout, path: &Path) -> Result<()> {
    let bad = |reason: String| Error::format(path, format!("packed weights: {reason}"));
    // The configuration's check already verified that it is JSON of at most 1 MiB.
    let described = file
        .metadata(METADATA_KEY)
        .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let Some(description) = described
        .and_then(|mut described| described.get_mut(PACKED_KEY).map(serde_json::Value::take))
    else {
        return Ok(());
    };
    let description: Description =
        serde_json::from_value(description).map_err(|error| bad(error.to_string()))?;
    if description.version != VERSION {
        return Err(bad(format!(
            "version {}; this saliq reads version {VERSION}",
            description.version
        )));
    }
    for (layer, codes) in &description.weights {
        let weight = layout
            .find(&format!("{layer}.weight"))
            .filter(|weight| weight.role == ParameterRole::Weight);
        let weight = weight.ok_or_else(|| bad(format!("the network has no layer {layer}")))?;
        let values = unpack_layer(file, layer, (*codes, &weight.shape), path)?;
        file.insert(Tensor::f32(&weight.name, &weight.shape, values));
        // The flat array of parameters contains only floats.
        let zero_name = format!("{layer}.weight_zero_point");
        if let Some(zeros) = file.tensor(&zero_name) {
            let (shape, zeros) = (zeros.shape.clone(), zeros.to_u8(path)?);
            file.insert(Tensor::f32(
                &zero_name,
                &shape,
                zeros.into_iter().map(f32::from).collect(),
            ));
        }
    }
    Ok(())
}

/// The de-quantized weights of a layer of `shape`.
fn unpack_layer(
    file: &TensorFile,
    layer: &str,
    (codes, shape): (Codes, &[usize]),
    path: &Path,
) -> Result<Vec<f32>> {
    let bad = |reason: String| Error::format(path, format!("packed weights of {layer}: {reason}"));
    let tensor = |suffix: &str| {
        let name = format!("{layer}.weight_{suffix}");
        file.tensor(&name).ok_or_else(|| bad(format!("there is no tensor {name}")))
    };
    let Codes { bits, lowest, highest, spacing } = codes;
    let in_range =
        (1..=8).contains(&bits) && (-255..=0).contains(&lowest) && (0..=255).contains(&highest);
    if !in_range
        || !(1..=2).contains(&spacing)
        || (highest - lowest) % spacing != 0
        || (highest - lowest) / spacing >= 1 << bits
    {
        return Err(bad(format!(
            "{bits} bits cannot number the levels {lowest} to {highest}, {spacing} apart"
        )));
    }
    let (count, channels) = (shape.iter().product::<usize>(), shape[0]);
    let bytes = tensor("packed")?.to_u8(path)?;
    if bytes.len() != packed_bytes(count, bits) {
        return Err(bad(format!(
            "{} bytes where {count} weights of {bits} bits take {}",
            bytes.len(),
            packed_bytes(count, bits)
        )));
    }
    let scales = tensor("scale")?.to_f32(path)?;
    let zeros = match file.tensor(&format!("{layer}.weight_zero_point")) {
        Some(zeros) => zeros.to_u8(path)?,
        None => vec![0; scales.len()],
    };
    if ![1, channels].contains(&scales.len()) || zeros.len() != scales.len() {
        return Err(bad(format!(
            "{} scales and {} zero points for {channels} channels",
            scales.len(),
            zeros.len()
        )));
    }
    let values = unpack_codes(&bytes, count, bits);
    if pack_codes(&values, bits) != bytes {
        return Err(bad("the bits behind the last code are not 0".into()));
    }
    let per_channel = count / channels;
    let value = |(index, &code): (usize, &u8)| {
        let level = lowest + i32::from(code) * spacing;
        let channel = index / per_channel % scales.len();
        let value = (level - i32::from(zeros[channel])) as f32 * scales[channel];
        if level > highest {
            Err(bad(format!("code {code} is beyond the highest level")))
        } else {
            Ok(value)
        }
    };
    values.iter().enumerate().map(value).collect()
}
