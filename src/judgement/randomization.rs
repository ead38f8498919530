//! Parameter randomisation (Adebayo et al. 2018): an explanation that stays the same when the
//! learned parameters are replaced by random ones does not explain the model.

use serde::{Deserialize, Serialize};

use super::{AlignmentOptions, Interval, RESAMPLES, Subject, alignment, bootstrap};
use crate::{
    Result,
    config::WeightInit,
    graph::{ParameterLayout, ParameterRole},
    saliency::{Method, MethodOptions},
};

/// Agreement of the maps with those of the trained model, after a layer and all layers behind it
/// are randomised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerAgreement {
    /// The layer that was randomised last.
    pub layer: String,
    /// Spearman's rank correlation of |φ| before and after.
    pub spearman: Interval,
}

/// The layers with weights, from output to input: names and ranges in the flat parameters. Learned
/// parameters of quantizers and batch norms are kept.
fn layers(layout: &ParameterLayout) -> Vec<(String, Vec<std::ops::Range<usize>>)> {
    let mut layers: Vec<(String, Vec<_>)> = Vec::new();
    let is_randomized = |role| matches!(role, ParameterRole::Weight | ParameterRole::Bias);
    for parameter in layout.parameters.iter().filter(|parameter| is_randomized(parameter.role)) {
        let name = parameter.layer();
        match layers.last_mut().filter(|(last, _)| last == name) {
            Some((_, places)) => places.push(parameter.range()),
            None => layers.push((name.to_string(), vec![parameter.range()])),
        }
    }
    layers.reverse();
    layers
}

/// Randomises the layers of the subject's model one after the other, from output to input. After
/// each, it compares the maps of `targets` by `method` with `maps`, [N, C, H, W], those of the
/// trained model. It returns one value per layer, none for the trained model. `progress` receives
/// the number of finished layers.
///
/// # Errors
/// Errors of the device.
pub async fn randomization(
    subject: &Subject<'_>,
    method: Method,
    settings: &MethodOptions,
    targets: &[u32],
    maps: &[f32],
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<LayerAgreement>> {
    let gpu = subject.gpu;
    let seed = settings.seed;
    // A seed that a model is unlikely to have been initialised with.
    let fresh = subject
        .model
        .graph
        .layout
        .initialize(seed ^ 0x5EED_5EED_5EED_5EED, WeightInit::KaimingUniform);
    let mut parameters = subject.model.parameters.clone();
    let options = AlignmentOptions { magnitude: true, ..AlignmentOptions::default() };
    let mut result = Vec::new();
    for (layer, places) in layers(&subject.model.graph.layout) {
        for place in places {
            parameters[place.clone()].copy_from_slice(&fresh[place]);
        }
        let uploaded = gpu.upload("randomised parameters", &parameters)?;
        let randomized =
            subject.explain_by(&uploaded, &[method], settings, targets, &mut |_| {}).await?;
        let alignments =
            alignment(gpu, subject.shape(), maps, &randomized.maps[0], &options, &mut |_| {})
                .await?;
        let values: Vec<f64> =
            alignments.iter().map(|alignment| f64::from(alignment.spearman)).collect();
        result.push(LayerAgreement { layer, spearman: bootstrap(&values, RESAMPLES, seed) });
        progress(result.len() as u64);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{NetworkConfig, QuantizationConfig, Shape},
        graph::Graph,
    };

    #[test]
    fn layers_go_from_output_to_input_without_alphas() {
        let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.0; 2]);
        let quantization = QuantizationConfig {
            bits: vec!["4".parse().unwrap(); 2],
            ..QuantizationConfig::default()
        };
        let layout = Graph::new(&network, &quantization).unwrap().layout;
        let layers = layers(&layout);
        assert_eq!(
            layers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["fc2", "fc1", "conv2", "conv1"]
        );
        let elements: usize =
            layers.iter().flat_map(|(_, places)| places).map(ExactSizeIterator::len).sum();
        assert_eq!(elements, layout.alpha_first as usize);
    }
}
