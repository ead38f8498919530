//! The f64 reference of networks that people deploy against PyTorch in float64: outputs and all
//! gradients, in inference and while training.

use saliq::{
    config::QuantizationConfig, graph::ParameterRole, reference::network::ReferenceNetwork,
};

use crate::{common::networks::networks, support::Tensors};

/// Both compute in float64.
const TOLERANCE: f64 = 1e-10;

fn assert_equal(what: &str, own: &[f64], expected: &[f64]) {
    assert_eq!(own.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
    for (at, (own, expected)) in own.iter().zip(expected).enumerate() {
        let difference = (own - expected).abs();
        assert!(difference < TOLERANCE * largest, "{what} [{at}]: {own}, not {expected}");
    }
}

#[test]
fn networks_that_people_deploy_are_pytorchs() {
    let tensors = Tensors::golden("networks");
    let float = QuantizationConfig::default();
    for (name, config) in networks() {
        let graph = ReferenceNetwork::new(&config, &float, true).unwrap().graph;
        let mut parameters = vec![0.0; graph.layout.padded_length() as usize];
        for parameter in &graph.layout.parameters {
            if parameter.role != ParameterRole::BatchCount {
                let initial = tensors.f64(&format!("{name}.initial.{}", parameter.name));
                parameters[parameter.range()].copy_from_slice(&initial);
            }
        }
        let [input, upstream] =
            ["input", "upstream"].map(|part| tensors.f64(&format!("{name}.{part}")));
        for mode in ["inference", "training"] {
            let network = ReferenceNetwork::new(&config, &float, true).unwrap();
            let network = if mode == "training" { network.training(1, false) } else { network };
            let scales = network.scales(&parameters);
            let pass = network.forward(&parameters, &scales, &input);
            let expected = |part: &str| tensors.f64(&format!("{name}.{mode}.{part}"));
            assert_equal(&format!("{name}, {mode}"), pass.logits(), &expected("logits"));
            let (own, gradients) = network.backward(&parameters, &scales, &pass, &upstream);
            let what = format!("{name}, {mode}, gradient of");
            assert_equal(&format!("{what} the input"), &own, &expected("gradient.input"));
            // Behind those that have a gradient there are statistics.
            let is_learned = |end: usize| end <= graph.layout.length as usize;
            for parameter in &graph.layout.parameters {
                if !is_learned(parameter.range().end) {
                    continue;
                }
                let expected = expected(&format!("gradient.{}", parameter.name));
                let what = format!("{what} {}", parameter.name);
                assert_equal(&what, &gradients[parameter.range()], &expected);
            }
        }
    }
}
