//! Ranges of a model's tensors, observed once, and the quantized model for any bits from them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    activations::{ActivationPass, observe_unquantized},
    calibrated::{CalibratedTensor, Clip, PostTraining},
    clipping::{Distribution, Grid},
    learned::{levels_to_threshold, quantized_activation},
    weights::folded_weights,
};
use crate::{
    Error, Result,
    batch::ResidentData,
    config::{ModelConfig, PactKind, PixelNormalization, QuantizationConfig},
    error::phrase,
    gpu::Gpu,
    graph::{Graph, Parameter},
    model::Model,
    quant::{ActivationPlan, Histogram},
};

/// Refuses signed PACT in the place of a ReLU.
pub(super) fn check_pact(quantization: &QuantizationConfig) -> Result<()> {
    if quantization.pact == PactKind::Signed
        && quantization.bits.iter().any(|bits| bits.quantizes_activations())
    {
        return Err(Error::Settings(phrase!(
            "<pact signed> takes the place of the ReLU, which a trained model needs; use \
             <pact unsigned> or signed-after-relu, or train with <init>"
        )));
    }
    Ok(())
}

/// The distributions of a float model's weights: one a tensor, or one an output channel.
pub struct WeightRanges {
    layers: Vec<Vec<Distribution>>,
    per_channel: bool,
}

/// The distributions of the inputs of a model's activation quantizers, by their names.
pub struct ActivationRanges {
    layers: BTreeMap<String, Distribution>,
    images: u32,
    normalization: PixelNormalization,
}

/// A model whose weights are calibrated, and whose activations are not yet.
pub(super) struct Started {
    pub(super) graph: Graph,
    pub(super) parameters: Vec<f32>,
    calibrated: Vec<CalibratedTensor>,
}

impl WeightRanges {
    /// Reads the weights of `model`. Batch norms scale them before quantization.
    ///
    /// # Errors
    /// Errors of the device.
    pub async fn read(gpu: &Gpu, model: &Model, per_channel: bool) -> Result<WeightRanges> {
        let weights = folded_weights(gpu, model).await?;
        let distributions = |channels: Vec<Vec<f32>>| match per_channel {
            true => channels.iter().map(|values| Distribution::of_values(values)).collect(),
            false => vec![Distribution::of_values(&channels.concat())],
        };
        Ok(WeightRanges { layers: weights.into_iter().map(distributions).collect(), per_channel })
    }

    /// `model` with the steps of weights for `options`.
    pub(super) fn apply(&self, model: &Model, options: &PostTraining) -> Result<Started> {
        debug_assert_eq!(self.per_channel, options.quantization.per_channel);
        let graph = Graph::new(&model.config.network, &options.quantization)?;
        let layout = &graph.layout;
        let mut parameters = layout.gather_network(&model.graph.layout, &model.parameters)?;
        let mut calibrated = Vec::new();
        for ((op, own), groups) in graph.weighted().zip(&self.layers) {
            let name = format!("{}.weight", op.name);
            let Some(step) = own.step.map(|id| graph.parameter(id)) else { continue };
            let bits = own.bits.weight;
            let grid = Grid::weights(bits);
            let clips: Vec<Clip> =
                groups.iter().map(|group| Clip::of(group, grid, options.calibration)).collect();
            for (step, clip) in parameters[step.range()].iter_mut().zip(&clips) {
                *step = (clip.threshold / f64::from(grid.highest)) as f32;
            }
            calibrated.push(CalibratedTensor::new(name, bits, &clips));
        }
        Ok(Started { graph, parameters, calibrated })
    }

    /// The quantized model, with activations as observed in `activations`.
    ///
    /// # Errors
    /// As [`super::quantize`].
    pub fn quantize(
        &self,
        model: &Model,
        options: &PostTraining,
        activations: &ActivationRanges,
    ) -> Result<(Model, Vec<CalibratedTensor>)> {
        check_pact(&options.quantization)?;
        self.apply(model, options)?.finish(model, options, activations)
    }
}

impl ActivationRanges {
    /// Observes the activations of `pass`, which are computed in float, on all images of `data`.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for activations that are not finite; errors of the device.
    pub async fn observe(
        gpu: &Gpu,
        pass: &ActivationPass<'_>,
        data: &ResidentData,
    ) -> Result<ActivationRanges> {
        let mut histograms: Vec<(String, Histogram)> = pass
            .layout
            .calibrated()
            .map(|learned| (learned.layer().to_string(), Histogram::default()))
            .collect();
        observe_unquantized(gpu, pass, data, data.count, &mut |name, values| {
            if let Some((_, histogram)) = histograms.iter_mut().find(|(wanted, _)| wanted == name) {
                histogram.add(values);
            }
        })
        .await?;
        let mut layers = BTreeMap::new();
        for (name, histogram) in histograms {
            if histogram.not_finite() > 0 {
                return Err(Error::NonFinite(phrase!(
                    "{}: its activations are not finite numbers; is this a trained model?",
                    name
                )));
            }
            if histogram.count() > 0 {
                layers.insert(name, Distribution::of_histogram(&histogram));
            }
        }
        Ok(ActivationRanges { layers, images: data.count, normalization: pass.normalization })
    }
}

impl Started {
    /// The model with calibrated activations.
    pub(super) fn finish(
        self,
        model: &Model,
        options: &PostTraining,
        activations: &ActivationRanges,
    ) -> Result<(Model, Vec<CalibratedTensor>)> {
        let Started { graph, mut parameters, mut calibrated } = self;
        let quantization = &options.quantization;
        let layout = &graph.layout;
        let learned: Vec<&Parameter> = layout.calibrated().collect();
        for learned in learned {
            let name = learned.layer().to_string();
            let distribution = activations.layers.get(&name).ok_or_else(|| {
                Error::Model(format!(
                    "{}: the network has no activation {name} to calibrate it on",
                    learned.name
                ))
            })?;
            let own = quantized_activation(&graph, &name)?;
            let (bits, pact) = (own.bits, own.grid_kind(quantization.pact));
            let clip = match layout.offset_beside(learned).filter(|_| pact == PactKind::Signed) {
                Some(offset) => {
                    let highest = ActivationPlan::levels(own.quantizer, pact, bits);
                    let range = distribution.offset_range(highest, options.calibration);
                    parameters[learned.offset as usize] = range.step;
                    parameters[offset.offset as usize] = range.offset();
                    Clip::of_range(distribution, range, highest)
                }
                None => {
                    let grid = Grid::activations(own.quantizer, pact, bits);
                    let clip = Clip::of(distribution, grid, options.calibration);
                    parameters[learned.offset as usize] =
                        (clip.threshold / levels_to_threshold(learned)) as f32;
                    clip
                }
            };
            calibrated.push(CalibratedTensor::new(name, bits, &[clip]));
        }
        let (images, normalization) = (activations.images, activations.normalization);
        let config = quantized_config(&model.config, options, images, normalization);
        let missing_alphas = Vec::new();
        Ok((
            Model { config, graph, parameters, missing_alphas, path: model.path.clone() },
            calibrated,
        ))
    }
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
