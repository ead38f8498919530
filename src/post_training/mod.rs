//! Quantization of a trained float model without training (PTQ). Ranges come from the weights and
//! from the activations of a few images. The result is a model like any other: it can be evaluated,
//! explained, and trained further.

mod activations;
mod calibrated;
mod clipping;
mod distributions;
mod learned;
mod ranges;
mod weights;

pub use activations::{ActivationPass, observe_activations, observe_unquantized};
pub use calibrated::{CalibratedTensor, PostTraining};
pub use clipping::{Calibration, Distribution, Grid, OffsetRange};
pub use distributions::distributions;
pub use ranges::{ActivationRanges, WeightRanges};
pub use weights::folded_weights;

use ranges::check_pact;

use crate::{Result, batch::ResidentData, config::PixelNormalization, gpu::Gpu, model::Model};

/// Quantizes the float `model` as in `options`. Activations are calibrated on all images of `data`,
/// normalised with `normalization`, with quantized weights and float activations.
///
/// # Errors
/// [`crate::Error::Settings`] for signed PACT instead of the ReLU, because a trained network cannot
/// work without its ReLU; [`crate::Error::NonFinite`] for activations that are not finite; errors
/// of the device.
pub async fn quantize(
    gpu: &Gpu,
    model: &Model,
    options: &PostTraining,
    data: &ResidentData,
    normalization: PixelNormalization,
) -> Result<(Model, Vec<CalibratedTensor>)> {
    check_pact(&options.quantization)?;
    let weights = WeightRanges::read(gpu, model, options.quantization.per_channel).await?;
    quantize_by(gpu, model, options, &weights, data, normalization).await
}

/// As [`quantize`], with the ranges of `model`'s weights at hand: for several widths of one model.
///
/// # Errors
/// As [`quantize`].
pub async fn quantize_by(
    gpu: &Gpu,
    model: &Model,
    options: &PostTraining,
    weights: &WeightRanges,
    data: &ResidentData,
    normalization: PixelNormalization,
) -> Result<(Model, Vec<CalibratedTensor>)> {
    let started = weights.apply(model, options)?;
    let pass = ActivationPass {
        network: &model.config.network,
        quantization: &options.quantization,
        layout: &started.graph.layout,
        parameters: &started.parameters,
        normalization,
        live: None,
    };
    let activations = ActivationRanges::observe(gpu, &pass, data).await?;
    started.finish(model, options, &activations)
}
