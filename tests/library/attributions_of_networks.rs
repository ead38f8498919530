//! Attributions on networks that people deploy: sums, concatenations, products, depthwise
//! convolutions, average-pools, batch norms and functions that are no ReLU, against a float64
//! implementation of the rules in PyTorch (`goldens/make_network_attributions.py`), and what they
//! must keep.

use saliq::{
    Error,
    config::{NetworkConfig, QuantizationConfig},
    graph::{Graph, ParameterRole},
    saliency::{LrpRule, Method, MethodOptions, Quadrature, check_applicable},
};

use crate::{
    attributions::{Subject, differences, totals},
    common::{networks::networks, worst_image},
    support::Tensors,
};

/// Those of PyTorch's network; where they are `unbiased`, without what a constant adds: biases, and
/// shifts and means of batch norms.
fn parameters(name: &str, config: &NetworkConfig, unbiased: bool) -> Vec<f32> {
    let tensors = Tensors::golden("networks");
    let layout = Graph::new(config, &QuantizationConfig::default()).unwrap().layout;
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    for own in layout.parameters.iter().filter(|own| own.role != ParameterRole::BatchCount) {
        let is_constant = own.name.ends_with(".bias") || own.name.ends_with(".running_mean");
        if !(unbiased && is_constant) {
            let values = tensors.f64(&format!("{name}.initial.{}", own.name));
            let to = &mut parameters[own.range()];
            to.iter_mut().zip(values).for_each(|(to, value)| *to = value as f32);
        }
    }
    parameters
}

/// The network `name` with its images, or their absolute values.
fn subject(name: &str, config: &NetworkConfig, unbiased: bool, positive: bool) -> Subject {
    let labels = Tensors::golden("network_attributions").i64("labels");
    let classes: Vec<u32> = labels.into_iter().map(|label| label as u32).collect();
    let pixels: Vec<f32> = Tensors::golden("networks")
        .f64(&format!("{name}.input"))
        .into_iter()
        .map(|value| if positive { value.abs() } else { value } as f32)
        .collect();
    let parameters = parameters(name, config, unbiased);
    Subject::new(config, &QuantizationConfig::default(), &parameters, &pixels, &classes)
}

#[test]
fn attributions_are_pytorchs() {
    let tensors = Tensors::golden("network_attributions");
    let z_plus = MethodOptions { lrp_rule: LrpRule::ZPlus, ..MethodOptions::default() };
    let cases = [
        ("deeplift", Method::Deeplift, MethodOptions::default(), false, 1e-4),
        (
            "integrated-gradients",
            Method::IntegratedGradients,
            MethodOptions::default(),
            false,
            1e-3,
        ),
        ("lrp", Method::Lrp, MethodOptions::default(), false, 1e-4),
        ("lrp-gamma", Method::LrpGamma, MethodOptions::default(), true, 1e-4),
        ("z-plus", Method::Lrp, z_plus, true, 1e-4),
    ];
    let mut failures = Vec::new();
    for (name, config) in networks() {
        for (key, method, options, positive, tolerance) in &cases {
            let subject = subject(name, &config, false, *positive);
            // A batch norm is behind a sum.
            if *positive && name == "pre_activation" {
                let refused = check_applicable(*method, &config, options).err();
                assert!(matches!(refused, Some(Error::Unfolded { norm }) if norm == "norm"));
                continue;
            }
            let expected = tensors.f64(&format!("{name}.{key}"));
            let actual = subject.explain(*method, options);
            let error = worst_image(&actual, &expected, subject.count as usize);
            println!("{name} {key}: {error:.1e}");
            // Behind tanh and hard-swish values are negative, and the γ rule divides by almost
            // nothing: PyTorch's own float32 run is 1.6e-3 from its float64 run on one image.
            let has_pole = *key == "lrp-gamma" && name == "squeeze_and_excite";
            let tolerance = if has_pole { &5e-3 } else { tolerance };
            if error > *tolerance {
                failures.push(format!("{name} {key}: {error:e} > {tolerance:e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

/// What is given to the pixels adds up: to the difference from the baseline in DeepLIFT and
/// integrated gradients, to the logit in relevance propagation without biases.
#[test]
fn attributions_add_up() {
    let close = |what: &str, actual: Vec<f64>, expected: &[f64], tolerance: f64| {
        let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        for (actual, expected) in actual.iter().zip(expected) {
            let difference = (actual - expected).abs();
            assert!(difference <= tolerance * largest, "{what}: {actual} for {expected}");
        }
    };
    for (name, config) in networks() {
        let biased = subject(name, &config, false, false);
        let expected = differences(&biased);
        let options = MethodOptions::default();
        let maps = biased.explain(Method::Deeplift, &options);
        close(&format!("{name}, deeplift"), totals(&maps, &biased), &expected, 1e-4);
        // The integrand jumps where a ReLU or a maximum changes: many equal steps.
        let options = MethodOptions { steps: 2000, quadrature: Quadrature::Riemann, ..options };
        let maps = biased.explain(Method::IntegratedGradients, &options);
        let what = format!("{name}, integrated gradients");
        close(&what, totals(&maps, &biased), &expected, 2e-3);

        let unbiased = subject(name, &config, true, false);
        let (logits, stride) = (unbiased.logits(), config.classes.next_multiple_of(4) as usize);
        let labels = Tensors::golden("network_attributions").i64("labels");
        let logits: Vec<f64> = labels
            .iter()
            .enumerate()
            .map(|(image, &label)| f64::from(logits[image * stride + label as usize]))
            .collect();
        let maps = unbiased.explain(Method::Lrp, &MethodOptions::default());
        close(&format!("{name}, ε"), totals(&maps, &unbiased), &logits, 1e-4);
        if name != "pre_activation" {
            let maps = unbiased.explain(Method::LrpGamma, &MethodOptions::default());
            close(&format!("{name}, γ"), totals(&maps, &unbiased), &logits, 1e-3);
        }
    }
}
