//! Folds batch norms into the layers in front of them. In inference the function is the same up to
//! rounding. A batch norm stays as it is where it is not right behind a layer with weights, or not
//! its only reader.

use crate::{
    Result,
    config::{LayerKind, NetworkConfig},
    graph::{Graph, Op, OpId, OpKind, Weights},
};

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

/// The values for `folded`, the graph of `original` without its batch norms, of `parameters` for
/// `original`: W ← s·W and b ← s·(b − μ) + β per output channel, with s = γ/√(variance + ε) of the
/// running statistics. Quantizers of weights work on s·W in training already (paper eqs. (4), (5)),
/// so the levels stay the same. `biases` are those that `original` has no parameters of.
///
/// # Errors
/// As for [`Graph::values_of`].
pub fn fold_parameters(
    (original, parameters): (&Graph, &[f32]),
    folded: &Graph,
    biases: &[String],
) -> Result<Vec<f32>> {
    let layout = &folded.layout;
    let mut values = layout.gather_biases(&original.layout, parameters, biases)?;
    for (op, weights) in original.weighted() {
        let Some(OpKind::BatchNorm(norm)) = weights.norm.map(|id| &original.op(id).kind) else {
            continue;
        };
        let name = &op.name;
        let old = |id| original.values_of(id, parameters);
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
            for (index, value) in values[parameter.range()].iter_mut().enumerate() {
                let channel = index / per_channel;
                *value *= factors[channel];
                if suffix == "bias" {
                    *value = *value - factors[channel] * mean[channel] + shift[channel];
                }
            }
        }
    }
    Ok(values)
}
