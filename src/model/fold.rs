//! Folds batch norms into the layers in front of them, for deployment. In inference the result is
//! the same function up to rounding. A batch norm stays as it is where it is not right behind a
//! layer with weights, or not its only reader.

use super::file::Model;
use crate::{
    Result,
    config::{LayerKind, ModelConfig, NetworkConfig},
    graph::{Graph, Op, OpId, OpKind, Weights},
};

/// `model` without the batch norms right behind layers with weights: W ← s·W and b ← s·(b − μ) + β
/// per output channel, with s = γ/√(variance + ε) of the running statistics. Quantizers of weights
/// work on s·W in training already (paper eqs. (4), (5)), so the levels stay the same.
///
/// # Errors
/// As for [`Graph::new`] and [`Graph::values_of`].
pub fn fold_batch_norm(model: &Model) -> Result<Model> {
    let (network, biases) = without_batch_norms(&model.config.network, &model.graph);
    let graph = Graph::new(&network, &model.config.quantization)?;
    let layout = &graph.layout;
    let mut parameters = layout.gather_biases(&model.graph.layout, &model.parameters, &biases)?;
    for (op, weights) in model.graph.weighted() {
        let Some(OpKind::BatchNorm(norm)) = weights.norm.map(|id| &model.graph.op(id).kind) else {
            continue;
        };
        let name = &op.name;
        let old = |id| model.graph.values_of(id, &model.parameters);
        let (scale, shift) = (old(norm.scale)?, old(norm.shift)?);
        let (mean, variance) = (old(norm.mean)?, old(norm.variance)?);
        // In the operation order of the kernel `fold_batch_norm`, so that quantizers get the same
        // bits.
        let factors: Vec<f32> = scale
            .iter()
            .zip(variance)
            .map(|(gamma, variance)| gamma * (1.0 / (variance + norm.epsilon).sqrt()))
            .collect();
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
    Ok(Model {
        config,
        graph,
        parameters,
        missing_alphas: model.missing_alphas.clone(),
        path: model.path.clone(),
    })
}

/// `network`, lowered to `graph`, without the batch norms right behind layers with weights, and
/// with a bias in these layers and in every fully connected one, which have one in all formats; and
/// the names of the biases that `network` has no parameters of.
pub fn without_batch_norms(network: &NetworkConfig, graph: &Graph) -> (NetworkConfig, Vec<String>) {
    // Operations and layers have the same numbers.
    let folded: Vec<usize> =
        graph.weighted().filter_map(|(_, own)| own.norm.map(OpId::index)).collect();
    let (mut network, mut missing) = (network.clone(), Vec::new());
    let lacks = |(op, weights): &(&Op, &Weights)| {
        let is_linear = matches!(op.kind, OpKind::Linear { .. });
        weights.bias.is_none() && (weights.norm.is_some() || is_linear)
    };
    for (op, _) in graph.weighted().filter(lacks) {
        missing.push(format!("{}.bias", op.name));
        let index = network.names().iter().position(|name| *name == op.name);
        match index.map(|index| &mut network.layers[index].kind) {
            Some(LayerKind::Conv(own)) => own.bias = true,
            Some(LayerKind::Linear { bias, .. }) => *bias = true,
            _ => {}
        }
    }
    (network.without_layers(|index| folded.contains(&index)), missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Error,
        config::{
            LayerBits, PixelNormalization, QuantizationConfig, Shape, WeightInit, WeightQuantizer,
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
