//! Packed files of models ([`crate::model::pack`]).

use super::{DeployableLayer, Operation};
use crate::{
    Result,
    model::{Codes, Model, PackedWeights, fold_batch_norm, pack},
};

/// The packed file of `model`, batch norms folded: every quantized layer's weights at their bits.
///
/// # Errors
/// As [`Model::require_alphas`]; [`crate::Error::Model`] for scales that are not finite.
pub fn packed_file(model: &Model) -> Result<Vec<u8>> {
    let folded = fold_batch_norm(model)?;
    let packed = DeployableLayer::all(&folded)?.into_iter().filter_map(|layer| {
        let (Operation::Convolution { weights, .. } | Operation::FullyConnected { weights }) =
            layer.operation
        else {
            return None;
        };
        let levels = weights.levels?;
        let grid = levels.grid;
        let has_zero_points = levels.quantizer.has_zero_point();
        Some(PackedWeights {
            layer: layer.name,
            codes: Codes {
                bits: grid.bits,
                lowest: grid.lowest,
                highest: grid.highest,
                spacing: grid.spacing,
            },
            values: levels.codes(),
            zero_points: if has_zero_points {
                levels.zero_points.iter().map(|&zero| zero as u8).collect()
            } else {
                Vec::new()
            },
            scales: levels.scales,
        })
    });
    pack(&folded.config, &folded.graph.layout, &folded.parameters, &packed.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LayerBits, ModelConfig, NetworkConfig, QuantizationConfig, Shape, WeightInit},
        graph::Graph,
        model::ModelFile,
    };

    /// A run takes the file that its settings were read from.
    #[test]
    fn a_packed_file_is_a_start_as_often_as_asked() {
        let network = NetworkConfig::table_one(Shape::new(1, 8, 8), 3, [0.0; 2]);
        let bits = [4, 2].map(|bits| LayerBits { weight: bits, activation: bits }).to_vec();
        let quantization = QuantizationConfig { bits, ..QuantizationConfig::default() };
        let graph = Graph::new(&network, &quantization).unwrap();
        let model = Model {
            parameters: graph.layout.initialize(1, WeightInit::KaimingUniform),
            config: ModelConfig {
                network: network.clone(),
                quantization,
                normalize: None,
                dataset: String::new(),
                dataset_is_folder: false,
                class_names: Vec::new(),
                training: serde_json::Value::Null,
            },
            graph,
            missing_alphas: Vec::new(),
            path: "memory".into(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packed.safetensors");
        std::fs::write(&path, packed_file(&model).unwrap()).unwrap();
        let mut file = ModelFile::open(&path).unwrap();
        let first = file.as_start(&network).unwrap();
        assert_ne!(first.parameters, model.parameters, "on their levels");
        let again = file.start(&first.graph.layout).unwrap();
        assert_eq!(again, (first.parameters, first.missing_alphas));
        let alone = ModelFile::open(&path).unwrap().start(&first.graph.layout).unwrap();
        assert_eq!(alone, again);
    }
}
