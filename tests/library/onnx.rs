//! ONNX files of networks that people deploy, read by the second reading of them, against the f64
//! reference.

use prost::Message;
use saliq::{
    config::{ActivationQuantizer, PactKind, QuantizationConfig, WeightQuantizer},
    deploy::{
        DeployableModel,
        onnx::{Interpreter, OnnxOptions, onnx_model},
    },
    model::Model,
    reference::network::ReferenceNetwork,
};

use crate::common::{Random, in_colour, networks::networks, random_model};

const IMAGES: usize = 10;

/// Images that are further than this from an edge between levels, as a share of their range, have
/// the same levels in both.
const UNDECIDED: f64 = 5e-7;

/// Compares the logits of a file of `model` with those of its network.
fn check(what: &str, model: &Model) {
    let network = &model.config.network;
    let mut random = Random(9);
    let size = network.input.elements() as usize;
    let pixels: Vec<f64> =
        (0..IMAGES * size).map(|_| f64::from(random.below(256)) / 255.0).collect();
    let normalization = model.normalization().unwrap();
    let normalized = |(at, pixel): (usize, &f64)| {
        let (mean, deviation) = normalization.channel(network.input.channel_of(at));
        (pixel - f64::from(mean)) / f64::from(deviation)
    };
    let images: Vec<f64> = pixels.iter().enumerate().map(normalized).collect();

    let reference = ReferenceNetwork::new(network, &model.config.quantization, true).unwrap();
    let parameters: Vec<f64> = model.parameters.iter().map(|&value| f64::from(value)).collect();
    let pass = reference.forward(&parameters, &reference.scales(&parameters), &images);

    let deployed = DeployableModel::new(model).unwrap();
    let bytes = onnx_model(&deployed, &OnnxOptions::default()).encode_to_vec();
    let made = Interpreter::new(&bytes).unwrap().run(&pixels, network.input).unwrap();
    let classes = network.classes as usize;
    let mut decided = 0;
    for (image, margin) in made.margins.iter().enumerate() {
        if *margin < UNDECIDED {
            continue;
        }
        decided += 1;
        let range = image * classes..(image + 1) * classes;
        let (own, expected) = (&made.logits[range.clone()], &pass.logits()[range]);
        let largest = expected.iter().fold(0.1f64, |most, value| most.max(value.abs()));
        for (own, expected) in own.iter().zip(expected) {
            let difference = (own - expected).abs();
            assert!(difference < 1e-5 * largest, "{what}, image {image}: {own}, not {expected}");
        }
    }
    assert!(decided > IMAGES / 2, "{what}: {:?}", made.margins);
    let differ = pass.logits().chunks_exact(classes).any(|own| own != &pass.logits()[..classes]);
    assert!(differ, "{what}: all images have the same logits");
}

#[test]
fn files_of_networks_that_people_deploy() {
    for (name, network) in networks() {
        let layers = network.weight_layers().len();
        let float = QuantizationConfig::default();
        let float = random_model(network.clone(), &vec!["32"; layers].join(","), float, 3);
        check(name, &float);
        check(&format!("{name}, in colour"), &in_colour(float));
        for (weight_quant, act_quant, pact, bits) in [
            (WeightQuantizer::Affine, ActivationQuantizer::Pact, PactKind::Unsigned, "w8a8"),
            (WeightQuantizer::Sawb, ActivationQuantizer::Pact, PactKind::Signed, "w4a4"),
            (WeightQuantizer::Lsq, ActivationQuantizer::LsqPlus, PactKind::Unsigned, "w2a4"),
        ] {
            for per_channel in [false, true] {
                let quantization = QuantizationConfig {
                    weight_quant,
                    act_quant,
                    pact,
                    per_channel,
                    ..QuantizationConfig::default()
                };
                let bits = vec![bits; layers].join(",");
                let what = format!("{name}, {weight_quant:?} {bits}, per channel {per_channel}");
                check(&what, &random_model(network.clone(), &bits, quantization, 3));
            }
        }
    }
}
