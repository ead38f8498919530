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
/// As [`ParameterLayout::new`] and [`ParameterLayout::values`].
pub fn fold_batch_norm(model: &Model) -> Result<Model> {
    let layers = &model.config.network.layers;
    let is_kept = |layer: &&LayerConfig| !matches!(layer, LayerConfig::BatchNorm { .. });
    let network = NetworkConfig { layers: layers.iter().filter(is_kept).cloned().collect(), ..model.config.network.clone() };
    let layout = ParameterLayout::new(&network, &model.config.quantization)?;
    let mut parameters = layout.gather(&model.layout, &model.parameters)?;
    for pair in layers.windows(2) {
        let [LayerConfig::Conv { name, .. } | LayerConfig::Linear { name, .. }, LayerConfig::BatchNorm { name: norm }] = pair
        else {
            continue;
        };
        let old = |suffix: &str| model.layout.values(&format!("{norm}.{suffix}"), &model.parameters);
        let (scale, shift, mean, variance) = (old("weight")?, old("bias")?, old("running_mean")?, old("running_var")?);
        // In the order of the kernel `fold_batch_norm`, so that quantizers meet the same bits.
        let factors: Vec<f32> =
            scale.iter().zip(variance).map(|(gamma, variance)| gamma * (1.0 / (variance + BATCH_NORM_EPSILON).sqrt())).collect();
        for suffix in ["weight", "bias"] {
            let parameter = layout.require(&format!("{name}.{suffix}"))?;
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
    Ok(Model { config, layout, parameters, missing_alphas: model.missing_alphas.clone(), path: model.path.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        config::{LayerBits, PixelNormalization, QuantizationConfig, Shape, WeightInit, WeightQuantizer},
        deploy::DeployableModel,
    };

    fn network(has_norms: bool) -> NetworkConfig {
        let plain = NetworkConfig::table_one(Shape::new(1, 12, 12), 3, [0.0, 0.0]);
        if has_norms { plain.with_batch_norm() } else { plain }
    }

    fn bits(bits: u32, weight_quant: WeightQuantizer) -> QuantizationConfig {
        let bits = vec![LayerBits { weight: bits, activation: bits }; 4];
        QuantizationConfig { bits, weight_quant, ..QuantizationConfig::default() }
    }

    /// A model of batch norms and 4 bits with the parameters of something else.
    fn model(has_norms: bool, own: QuantizationConfig, weight_quant: WeightQuantizer) -> Model {
        let layout = ParameterLayout::new(&network(has_norms), &own).unwrap();
        let config = ModelConfig {
            network: network(true),
            quantization: bits(4, weight_quant),
            normalize: Some(PixelNormalization { mean: 0.5, deviation: 0.5 }),
            dataset_is_folder: false,
            dataset: "digits".into(),
            class_names: Vec::new(),
            training: serde_json::Value::Null,
        };
        let parameters = layout.initialize(0, WeightInit::KaimingUniform);
        Model { config, layout, parameters, missing_alphas: Vec::new(), path: "model.safetensors".into() }
    }

    #[test]
    fn a_parameter_that_is_not_there_is_an_error_that_names_it() {
        use WeightQuantizer::{Lsq, Sawb};
        fold_batch_norm(&model(true, bits(4, Sawb), Sawb)).unwrap();
        for (model, name) in [
            (model(false, bits(4, Sawb), Sawb), "bn1.weight"),
            (model(true, bits(32, Sawb), Sawb), "act1.alpha"),
            (model(true, bits(4, Sawb), Lsq), "conv1.weight_step"),
        ] {
            for error in [fold_batch_norm(&model).err(), DeployableModel::new(&model).err()] {
                let error = error.unwrap();
                assert!(matches!(&error, Error::Model(reason) if reason.contains(name)), "{error}");
            }
        }
    }
}
