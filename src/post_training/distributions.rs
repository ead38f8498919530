//! The values of every quantized weight and activation, in float and quantized, for the histograms
//! of a report.

use super::{
    activations::{ActivationPass, observe_activations},
    learned::{levels_to_threshold, quantized_activation},
    weights::effective_weights,
};
use crate::{
    Result,
    batch::ResidentData,
    config::{LayerBits, PixelNormalization, QuantizationConfig},
    deploy::ActivationGrid,
    gpu::Gpu,
    graph::{Graph, Parameter},
    model::{Model, fold_batch_norm},
    quant::{ActivationPlan, Histogram, TensorDistribution},
};

/// The distributions of every quantized tensor of `model`, weights first, in layer order;
/// activations over the images of `data`.
///
/// # Errors
/// Errors of the network and the device.
pub async fn distributions(
    gpu: &Gpu,
    model: &Model,
    data: &ResidentData,
    normalization: PixelNormalization,
) -> Result<Vec<TensorDistribution>> {
    let (network, quantization) = (&model.config.network, &model.config.quantization);
    let float = QuantizationConfig {
        bits: vec![LayerBits::FLOAT; quantization.bits.len()],
        ..quantization.clone()
    };
    let folded = fold_batch_norm(model)?;
    let layout = Graph::new(&folded.config.network, &float)?.layout;
    let folded_parameters = layout.gather(&folded.graph.layout, &folded.parameters)?;

    let latent = effective_weights(gpu, &folded.config.network, &float, &folded_parameters).await?;
    let quantized = effective_weights(gpu, network, quantization, &model.parameters).await?;
    let graph = Graph::new(network, quantization)?;
    let layers = graph.weighted().zip(latent.iter().zip(&quantized));
    let mut found: Vec<TensorDistribution> = layers
        .filter(|((_, weights), _)| weights.bits.quantizes_weights())
        .map(|((op, weights), (before, after))| {
            let mut levels = if quantization.per_channel { Vec::new() } else { after.concat() };
            levels.sort_unstable_by(f32::total_cmp);
            levels.dedup_by(|a, b| a == b);
            TensorDistribution {
                name: format!("{}.weight", op.name),
                bits: weights.bits.weight,
                before: Histogram::of(&before.concat()),
                after: Histogram::of(&after.concat()),
                levels: levels.into_iter().map(f64::from).collect(),
            }
        })
        .collect();

    let mut activations: Vec<TensorDistribution> = model
        .graph
        .layout
        .calibrated()
        .map(|parameter| {
            let name = parameter.layer();
            let own = quantized_activation(&graph, name)?;
            let bits = own.bits;
            let (quantizer, pact) = (own.quantizer, own.grid_kind(quantization.pact));
            let value = |parameter: &Parameter| model.parameters[parameter.offset as usize];
            let (alpha, steps) = (
                f64::from(value(parameter)) * levels_to_threshold(parameter),
                ActivationPlan::levels(quantizer, pact, bits),
            );
            let offset = model.graph.layout.offset_beside(parameter).map_or(0.0, value);
            let learned = (value(parameter), offset);
            let grid = ActivationGrid::new(quantizer, pact, bits, learned)?;
            Ok(TensorDistribution {
                name: name.into(),
                bits,
                before: Histogram::default(),
                after: Histogram::default(),
                levels: (grid.lowest..=grid.highest)
                    .map(|level| f64::from(level) * alpha / f64::from(steps))
                    .collect(),
            })
        })
        .collect::<Result<_>>()?;
    for (quantization, is_float) in [(&float, true), (quantization, false)] {
        let (layout, parameters) = (&model.graph.layout, &model.parameters[..]);
        let pass =
            ActivationPass { network, quantization, layout, parameters, normalization, live: None };
        observe_activations(gpu, &pass, data, data.count, &mut |name, values| {
            if let Some(own) = activations.iter_mut().find(|own| own.name == name) {
                if is_float { own.before.add(values) } else { own.after.add(values) }
            }
        })
        .await?;
    }
    found.extend(activations);
    Ok(found)
}
