//! Learned parameters of activations: their α's and steps, and their bits.

use crate::{
    Error, Result,
    graph::{Activation, Graph, Parameter, ParameterRole},
};

/// The factor that turns a learned α (1) or step (its highest level) of an activation into the
/// clipping threshold.
pub(super) fn levels_to_threshold(learned: &Parameter) -> f64 {
    match learned.role {
        ParameterRole::ActivationStep { highest } => f64::from(highest),
        _ => 1.0,
    }
}

/// The quantized activation `name`.
///
/// # Errors
/// [`Error::Model`] if there is none.
pub(super) fn quantized_activation<'a>(graph: &'a Graph, name: &str) -> Result<&'a Activation> {
    let own = graph.activations().find(|(op, own)| op.name == name && own.learned.is_some());
    let own =
        own.ok_or_else(|| Error::Model(format!("the network has no quantized activation {name}")))?;
    Ok(own.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LayerBits, LayerConfig, NetworkConfig, QuantizationConfig, Shape};

    #[test]
    fn every_activation_has_the_bits_of_the_layer_before_it() {
        let act = |name: &str| LayerConfig::activation(name);
        let linear = |name: &str| LayerConfig::linear(name, 4);
        // Two activations behind one layer, and one behind no layer.
        let layers = vec![
            act("first"),
            linear("fc1"),
            act("act1"),
            act("act2"),
            linear("fc2"),
            act("act3"),
            linear("fc3"),
        ];
        let network = NetworkConfig { input: Shape::new(1, 2, 2), classes: 4, layers };
        let bits = [4, 3, 32].map(|bits| LayerBits { weight: bits, activation: bits }).to_vec();
        let quantization = QuantizationConfig { bits, ..QuantizationConfig::default() };
        let graph = Graph::new(&network, &quantization).unwrap();
        let layout = &graph.layout;
        let learned: Vec<_> = layout.calibrated().map(Parameter::layer).collect();
        assert_eq!(learned, ["act1", "act2", "act3"]);
        let bits = learned.iter().map(|name| quantized_activation(&graph, name).unwrap().bits);
        assert_eq!(bits.collect::<Vec<_>>(), [4, 4, 3]);
        for name in ["first", "act9"] {
            let error = quantized_activation(&graph, name).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
