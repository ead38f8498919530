//! Quantization of a trained float model without training (PTQ). Ranges come from the weights and
//! from the activations of a few images. The result is a model like any other: it can be evaluated,
//! explained, and trained further.

mod activations;
mod clipping;
mod distributions;
mod learned;
mod weights;

use serde::Serialize;
use serde_json::json;

pub use activations::{ActivationPass, observe_activations, observe_unquantized};
pub use clipping::{Calibration, Distribution, Grid, OffsetRange};
pub use distributions::distributions;

use learned::{levels_to_threshold, quantized_activation};
use weights::effective_weights;

use crate::{
    Error, Result,
    batch::ResidentData,
    config::{ModelConfig, PactKind, PixelNormalization, QuantizationConfig},
    error::phrase,
    gpu::Gpu,
    graph::{Graph, Parameter},
    model::{Model, fold_batch_norm},
    quant::{ActivationPlan, Histogram},
};

/// How a model is to be quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct PostTraining {
    /// Bits and quantizers. Weights quantized by `lsq` get a calibrated step; the other quantizers
    /// compute their range from the weights.
    pub quantization: QuantizationConfig,
    /// How clipping thresholds are chosen.
    pub calibration: Calibration,
}

/// The result of calibration for one tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CalibratedTensor {
    /// Its name, such as `conv1.weight` or `act1`.
    pub name: String,
    /// Its bits.
    pub bits: u32,
    /// Largest magnitude.
    pub largest: f64,
    /// Clipping threshold: α of an activation, or the highest level of a weight. With `lsq` and
    /// `lsq-plus` α is the step times the highest level; where the offset is not 0, of the longer
    /// side. With one per output channel, the widest.
    pub clip: f64,
    /// Signal to quantization noise ratio, 10·log₁₀(Σ v² / Σ (v̂ − v)²), in dB; `None` without
    /// noise.
    pub signal_to_noise_db: Option<f64>,
}

/// A clipping threshold with the resulting noise.
struct Clip {
    threshold: f64,
    largest: f64,
    signal: f64,
    noise: f64,
}

impl Clip {
    fn of(distribution: &Distribution, grid: Grid, calibration: Calibration) -> Clip {
        let threshold = distribution.clip(grid, calibration);
        let noise = distribution.squared_error(grid, threshold / f64::from(grid.highest));
        Clip {
            threshold,
            largest: distribution.largest(),
            signal: distribution.square_sum(),
            noise,
        }
    }
}

impl Clip {
    /// Of levels from 0 to `highest`, one of which stands for 0: its threshold is that of the side
    /// with more of them.
    fn of_range(distribution: &Distribution, range: OffsetRange, highest: u32) -> Clip {
        let (zero, step) = (range.zero_point, f64::from(range.step));
        let above = highest.saturating_sub(zero);
        let grid = Grid { lowest: -(zero as i32), highest: above as i32 };
        Clip {
            threshold: f64::from(zero.max(above)) * step,
            largest: distribution.largest(),
            signal: distribution.square_sum(),
            noise: distribution.squared_error(grid, step),
        }
    }
}

impl CalibratedTensor {
    fn new(name: String, bits: u32, clips: &[Clip]) -> CalibratedTensor {
        let widest = |value: fn(&Clip) -> f64| clips.iter().map(value).fold(0.0, f64::max);
        let total = |value: fn(&Clip) -> f64| clips.iter().map(value).sum::<f64>();
        let (signal, noise) = (total(|clip| clip.signal), total(|clip| clip.noise));
        CalibratedTensor {
            name,
            bits,
            largest: widest(|clip| clip.largest),
            clip: widest(|clip| clip.threshold),
            signal_to_noise_db: (signal > 0.0 && noise > 0.0)
                .then(|| 10.0 * (signal / noise).log10()),
        }
    }
}

/// Quantizes the float `model` as in `options`. Activations are calibrated on all images of `data`,
/// normalised with `normalization`, with quantized weights and float activations.
///
/// # Errors
/// [`Error::Settings`] for signed PACT instead of the ReLU, because a trained network cannot work
/// without its ReLU; [`Error::NonFinite`] for activations that are not finite; errors of the
/// device.
pub async fn quantize(
    gpu: &Gpu,
    model: &Model,
    options: &PostTraining,
    data: &ResidentData,
    normalization: PixelNormalization,
) -> Result<(Model, Vec<CalibratedTensor>)> {
    let (network, quantization) = (&model.config.network, &options.quantization);
    if quantization.pact == PactKind::Signed
        && quantization.bits.iter().any(|bits| bits.quantizes_activations())
    {
        return Err(Error::Settings(phrase!(
            "<pact signed> takes the place of the ReLU, which a trained model needs; use \
             <pact unsigned> or signed-after-relu, or train with <init>"
        )));
    }
    let graph = Graph::new(network, quantization)?;
    let layout = &graph.layout;
    let mut parameters = layout.gather_network(&model.graph.layout, &model.parameters)?;
    let mut calibrated = Vec::new();
    // Batch norms scale the weights before quantization.
    let folded = fold_batch_norm(model)?;
    let weights = effective_weights(
        gpu,
        &folded.config.network,
        &folded.config.quantization,
        &folded.parameters,
    )
    .await?;
    for ((op, own), weights) in graph.weighted().zip(weights) {
        let name = format!("{}.weight", op.name);
        let Some(step) = own.step.map(|id| graph.parameter(id)) else { continue };
        let bits = own.bits.weight;
        let grid = Grid::weights(bits);
        let groups = if step.len() == 1 { vec![weights.concat()] } else { weights };
        let clips: Vec<Clip> = groups
            .iter()
            .map(|group| Clip::of(&Distribution::of_values(group), grid, options.calibration))
            .collect();
        for (step, clip) in parameters[step.range()].iter_mut().zip(&clips) {
            *step = (clip.threshold / f64::from(grid.highest)) as f32;
        }
        calibrated.push(CalibratedTensor::new(name, bits, &clips));
    }

    let pass = ActivationPass {
        network,
        quantization,
        layout,
        parameters: &parameters,
        normalization,
        live: None,
    };
    let mut histograms: Vec<(&Parameter, Histogram)> =
        layout.calibrated().map(|learned| (learned, Histogram::default())).collect();
    observe_unquantized(gpu, &pass, data, data.count, &mut |name, values| {
        if let Some((_, histogram)) =
            histograms.iter_mut().find(|(wanted, _)| wanted.layer() == name)
        {
            histogram.add(values);
        }
    })
    .await?;
    for (learned, histogram) in histograms {
        let name = learned.layer().to_string();
        if histogram.not_finite() > 0 {
            return Err(Error::NonFinite(phrase!(
                "{}: its activations are not finite numbers; is this a trained model?",
                name
            )));
        }
        if histogram.count() == 0 {
            return Err(Error::Model(format!(
                "{}: the network has no activation {name} to calibrate it on",
                learned.name
            )));
        }
        let own = quantized_activation(&graph, &name)?;
        let (bits, pact) = (own.bits, own.grid_kind(quantization.pact));
        let distribution = Distribution::of_histogram(&histogram);
        let clip = match layout.offset_beside(learned).filter(|_| pact == PactKind::Signed) {
            Some(offset) => {
                let highest = ActivationPlan::levels(own.quantizer, pact, bits);
                let range = distribution.offset_range(highest, options.calibration);
                parameters[learned.offset as usize] = range.step;
                parameters[offset.offset as usize] = range.offset();
                Clip::of_range(&distribution, range, highest)
            }
            None => {
                let grid = Grid::activations(own.quantizer, pact, bits);
                let clip = Clip::of(&distribution, grid, options.calibration);
                parameters[learned.offset as usize] =
                    (clip.threshold / levels_to_threshold(learned)) as f32;
                clip
            }
        };
        calibrated.push(CalibratedTensor::new(name, bits, &[clip]));
    }
    let config = quantized_config(&model.config, options, data.count, normalization);
    Ok((
        Model { config, graph, parameters, missing_alphas: Vec::new(), path: model.path.clone() },
        calibrated,
    ))
}

/// The configuration of the quantized model: how it was trained, and how it was quantized
/// afterwards.
fn quantized_config(
    model: &ModelConfig,
    options: &PostTraining,
    images: u32,
    normalization: PixelNormalization,
) -> ModelConfig {
    let mut training = model.training.clone();
    if !training.is_object() {
        training = json!({});
    }
    training["post-training"] = json!({ "calibration": options.calibration, "images": images });
    ModelConfig {
        quantization: options.quantization.clone(),
        normalize: Some(normalization),
        training,
        ..model.clone()
    }
}
