//! Batch norms folded into the layers in front of them, for deployment: what is left is the same function in inference, up to rounding.

use super::Model;
use crate::{
    Result,
    config::{BATCH_NORM_EPSILON, LayerConfig, ModelConfig, NetworkConfig},
    layout::ParameterLayout,
};

/// `model` without its batch norms: W ← s·W and b ← s·(b − μ) + β per output channel, with s = γ/√(variance + ε) of the running statistics. A quantizer of
/// the weights has seen s·W in training already (paper eqs. (4), (5)), so that it makes the same levels of them.
///
/// # Errors
/// As [`ParameterLayout::new`].
pub fn fold_batch_norm(model: &Model) -> Result<Model> {
    let layers = &model.config.network.layers;
    let is_kept = |layer: &&LayerConfig| !matches!(layer, LayerConfig::BatchNorm { .. });
    let network = NetworkConfig { layers: layers.iter().filter(is_kept).cloned().collect(), ..model.config.network.clone() };
    let layout = ParameterLayout::new(&network, &model.config.quantization)?;
    let mut parameters = layout.gather(&model.layout, &model.parameters);
    for pair in layers.windows(2) {
        let [LayerConfig::Conv { name, .. } | LayerConfig::Linear { name, .. }, LayerConfig::BatchNorm { name: norm }] = pair
        else {
            continue;
        };
        let old = |suffix: &str| {
            let found = model.layout.find(&format!("{norm}.{suffix}"));
            found.map_or(&[][..], |parameter| &model.parameters[parameter.range()])
        };
        let [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(old);
        // In the order of the kernel `fold_batch_norm`, so that quantizers meet the same bits.
        let factors: Vec<f32> =
            scale.iter().zip(variance).map(|(gamma, variance)| gamma * (1.0 / (variance + BATCH_NORM_EPSILON).sqrt())).collect();
        for suffix in ["weight", "bias"] {
            let Some(parameter) = layout.find(&format!("{name}.{suffix}")) else { continue };
            let per_channel = parameter.len() / factors.len();
            for (index, value) in parameters[parameter.range()].iter_mut().enumerate() {
                let channel = index / per_channel;
                *value *= factors[channel];
                if suffix == "bias" {
                    *value = *value - factors[channel] * mean[channel] + shift[channel];
                }
            }
        }
    }
    let config = ModelConfig { network, ..model.config.clone() };
    Ok(Model { config, layout, parameters, has_alphas: model.has_alphas, path: model.path.clone() })
}
