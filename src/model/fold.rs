//! A model without its batch norms, for deployment.

use super::file::Model;
use crate::{
    Result,
    config::ModelConfig,
    graph::{Graph, rewrite},
};

/// `model` with its batch norms folded into the layers in front of them, see
/// [`rewrite::fold_parameters`].
///
/// # Errors
/// As for [`Graph::new`] and [`Graph::values_of`].
pub fn fold_batch_norm(model: &Model) -> Result<Model> {
    let (network, biases) = rewrite::without_batch_norms(&model.config.network, &model.graph);
    let graph = Graph::new(&network, &model.config.quantization)?;
    let parameters = rewrite::fold_parameters((&model.graph, &model.parameters), &graph, &biases)?;
    let config = ModelConfig { network, ..model.config.clone() };
    Ok(Model {
        config,
        graph,
        parameters,
        missing_alphas: model.missing_alphas.clone(),
        path: model.path.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        config::{
            LayerBits, NetworkConfig, PixelNormalization, QuantizationConfig, Shape, WeightInit,
            WeightQuantizer,
        },
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

    /// A model with batch norms and 4 bits, and with the parameters of another model.
    fn model(has_norms: bool, own: QuantizationConfig, weight_quant: WeightQuantizer) -> Model {
        let graph = Graph::new(&network(has_norms), &own).unwrap();
        let config = ModelConfig {
            network: network(true),
            quantization: bits(4, weight_quant),
            normalize: Some(PixelNormalization::uniform(0.5, 0.5)),
            dataset_is_folder: false,
            dataset: "digits".into(),
            class_names: Vec::new(),
            training: serde_json::Value::Null,
        };
        let parameters = graph.layout.initialize(0, WeightInit::KaimingUniform);
        Model {
            config,
            graph,
            parameters,
            missing_alphas: Vec::new(),
            path: "model.safetensors".into(),
        }
    }

    #[test]
    fn a_parameter_that_is_not_there_is_an_error_that_names_it() {
        use WeightQuantizer::{Lsq, Sawb};
        let whole = model(true, bits(4, Sawb), Sawb);
        fold_batch_norm(&whole).unwrap();
        let end = whole.graph.layout.require("bn1.running_var").unwrap().range().start;
        let short = Model { parameters: whole.parameters[..end].to_vec(), ..whole };
        for (model, name) in [
            (short, "bn1.running_var"),
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
