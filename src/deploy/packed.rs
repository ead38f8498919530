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
