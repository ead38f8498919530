//! Quantizers against PyTorch (tests/goldens/make_quantizers.py), their levels for any weights, and
//! runs that learn steps.

use proptest::{prelude::*, test_runner::TestRunner};
use saliq::{
    config::{
        ActivationQuantizer, BitsList, LayerBits, LayerConfig, NetworkConfig, PactKind,
        QuantizationConfig, QuantizationOverrides, Shape, WeightQuantizer,
    },
    gpu::Recording,
    model::{Model, TensorFile},
    nn::{Network, NetworkOptions},
    quant::{highest_level, initial_steps},
    reference::{
        activation::{Activation, Function, LsqPlus, activation},
        activation_gradient::activation_gradient,
        learned_step::learned_step,
        learned_step_gradient::{learned_step_gradient, step_gradient_scale},
        prepare_weights::{level, level_range, position, quantize},
        reduce_weight_gradient::reduce_weight_gradient,
        weight_range::weight_range,
        weight_scale::{WeightScale, weight_scale},
    },
    train::{RunFolder, Start, Trainer},
};

use crate::{
    common::{Silent, gpu, read},
    support::{SMALL_NETWORK, Tensors, run_config},
};

/// Every weight quantizer with its widths.
const QUANTIZERS: [(WeightQuantizer, &str, &[u32]); 6] = [
    (WeightQuantizer::Affine, "affine", &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Dorefa, "dorefa", &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Sawb, "sawb", &[2, 3, 4, 5, 8]),
    (WeightQuantizer::Symmetric, "symmetric", &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Lsq, "lsq", &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Binary, "binary", &[1]),
];
const CHANNELS: usize = 4;

/// The constants of each output channel of `weight`.
fn scales(
    quantizer: WeightQuantizer,
    bits: u32,
    per_channel: bool,
    weight: &[f64],
) -> Vec<WeightScale> {
    let of = |weights: &[f64]| weight_scale(quantizer, bits, &weight_range(weights));
    match per_channel {
        true => weight.chunks_exact(weight.len() / CHANNELS).map(of).collect(),
        false => vec![of(weight); CHANNELS],
    }
}

fn close(actual: f64, expected: f64, size: f64) -> bool {
    (actual - expected).abs() <= 1e-9 * size.max(expected.abs())
}

/// Values, gradients and gradients of steps for bits 1 to 8, per tensor and per channel, of tensors
/// that are hard on a quantizer. Where a weight lies on a rounding edge (a constant that is half a
/// step) the last bit of the step decides: either neighbour is right.
#[test]
fn weights_are_pytorchs() {
    let golden = Tensors::golden("quantizers");
    let (stacked, upstream) = (golden.f64("weights"), golden.f64("upstream"));
    let count = upstream.len();
    let mut on_edges = 0;
    for (quantizer, name, widths) in QUANTIZERS {
        for (&bits, per_channel) in widths.iter().flat_map(|bits| [(bits, false), (bits, true)]) {
            let key = format!("{name}.{bits}.{}", if per_channel { "channel" } else { "tensor" });
            let (values, gradients) =
                (golden.f64(&format!("{key}.values")), golden.f64(&format!("{key}.gradients")));
            let levels = 2f64.powi(bits as i32) - 1.0;
            for (case, weight) in stacked.chunks_exact(count).enumerate() {
                let what = format!("{key}, tensor {case}");
                let mut scales = scales(quantizer, bits, per_channel, weight);
                if quantizer == WeightQuantizer::Lsq {
                    let steps = golden.f64(&format!("{key}.steps"));
                    let steps = &steps[case * steps.len() / (stacked.len() / count)..]
                        [..steps.len() * count / stacked.len()];
                    let narrow: Vec<f32> = weight.iter().map(|&w| w as f32).collect();
                    let own = initial_steps(&narrow, steps.len(), highest_level(bits));
                    for (step, own) in steps.iter().zip(own) {
                        assert!(
                            (f64::from(own) - step).abs() <= 1e-6 * step,
                            "{what}: initial step {own}, not {step}"
                        );
                    }
                    scales = learned_step(steps, CHANNELS);
                    let all = golden.f64(&format!("{key}.step_gradients"));
                    let expected = &all[case * steps.len()..][..steps.len()];
                    let actual = learned_step_gradient(
                        &upstream,
                        weight,
                        steps,
                        level_range(scales[0], levels),
                    );
                    let edge = |at: usize| {
                        let position = position(scales[at * CHANNELS / count], levels, weight[at]);
                        (position - position.floor() - 0.5).abs() < 1e-9
                    };
                    if !(0..count).any(edge) {
                        assert!(
                            actual.iter().zip(expected).all(|(a, e)| close(*a, *e, 1.0)),
                            "{what}: {actual:?} {expected:?}"
                        );
                    }
                }
                let gradient = reduce_weight_gradient(
                    std::slice::from_ref(&upstream),
                    weight,
                    &scales,
                    levels,
                    None,
                );
                for at in 0..count {
                    let (scale, w) = (scales[at * CHANNELS / count], weight[at]);
                    let place = position(scale, levels, w);
                    let size = weight.iter().fold(1.0f64, |most, w| most.max(w.abs()));
                    let (actual, expected) =
                        (quantize(scale, levels, w), values[case * count + at]);
                    if (place - place.floor() - 0.5).abs() < 1e-9 {
                        on_edges += 1;
                    } else {
                        assert!(
                            close(actual, expected, size),
                            "{what}: {w} → {actual}, not {expected}"
                        );
                    }
                    let expected = gradients[case * count + at];
                    assert!(
                        close(gradient[at], expected, 1.0),
                        "{what}: gradient at {w}: {}, not {expected}",
                        gradient[at]
                    );
                }
            }
        }
    }
    assert!(on_edges < 2000, "{on_edges} weights on edges");
}

#[test]
fn activations_are_pytorchs() {
    let golden = Tensors::golden("quantizers");
    let (x, upstream) = (golden.f64("x"), golden.f64("x.upstream"));
    let alpha = golden.made()["alpha"].as_f64().unwrap();
    let kinds = [
        (PactKind::Unsigned, "unsigned"),
        (PactKind::Signed, "signed"),
        (PactKind::SignedAfterRelu, "signed-after-relu"),
    ];
    for (kind, name) in kinds {
        for bits in if kind == PactKind::Unsigned { 1..=8 } else { 2..=8 } {
            let bits = LayerBits { weight: 32, activation: bits };
            let levels = Activation::levels(kind, bits);
            for learned in ["alpha", "step"] {
                let key = format!("{learned}.{name}.{}", bits.activation);
                let (plan, scale) = match learned {
                    "alpha" => (Activation::new(kind, bits, alpha), 1.0),
                    _ => (
                        Activation::Lsq { kind, step: alpha / levels, levels },
                        step_gradient_scale(x.len(), levels),
                    ),
                };
                let (gradients, learned_gradient) = activation_gradient(plan, &x, &upstream);
                for (at, (&x, expected)) in
                    x.iter().zip(golden.f64(&format!("{key}.values"))).enumerate()
                {
                    assert!(close(activation(plan, x), expected, 1.0), "{key}: {x}");
                    let expected = golden.f64(&format!("{key}.gradients"))[at];
                    assert!(close(gradients[at], expected, 1.0), "{key}: gradient at {x}");
                }
                let expected = golden.f64(&format!("{key}.learned_gradient"))[0];
                assert!(
                    close(learned_gradient[0] * scale, expected, 1.0),
                    "{key}: {learned_gradient:?} · {scale}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn activations_with_an_offset_are_pytorchs() {
    let golden = Tensors::golden("quantizers");
    let (x, upstream) = (golden.f64("x"), golden.f64("x.upstream"));
    let [range, offset] = ["range", "offset"].map(|name| golden.made()[name].as_f64().unwrap());
    for (function, name) in [(Function::Identity, "identity"), (Function::Relu, "relu")] {
        for bits in 1..=8 {
            let levels = 2f64.powi(bits) - 1.0;
            let own = LsqPlus { step: range / levels, offset, levels, rounding: true };
            let plan = Activation::LsqPlus(function, own);
            let (gradients, learned) = activation_gradient(plan, &x, &upstream);
            let key = format!("offset.{name}.{bits}");
            let [values, expected] =
                ["values", "gradients"].map(|of| golden.f64(&format!("{key}.{of}")));
            for (at, &x) in x.iter().enumerate() {
                assert!(close(activation(plan, x), values[at], 1.0), "{key}: {x}");
                assert!(close(gradients[at], expected[at], 1.0), "{key}: gradient at {x}");
            }
            let scale = step_gradient_scale(x.len(), levels);
            let expected = golden.f64(&format!("{key}.learned_gradients"));
            for (learned, expected) in learned.iter().zip(expected) {
                assert!(close(learned * scale, expected, 1.0), "{key}: {learned} {expected}");
            }
        }
    }
}

/// Weights of every size, some 0, some alone far away.
fn any_weights(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let one = prop_oneof![8 => -1.0f32..1.0, 1 => Just(0.0), 1 => Just(-0.0), 1 => -1e3f32..1e3];
    (proptest::collection::vec(one, count), -34i32..34, any::<bool>()).prop_map(
        |(values, power, constant)| {
            let of = |value: f32| value * 10f32.powi(power);
            values.iter().map(|&value| of(if constant { values[0] } else { value })).collect()
        },
    )
}

proptest! {
    #[test]
    fn levels_stay_in_their_range(weight in any_weights(12), per_channel in any::<bool>()) {
        let weight: Vec<f64> = weight.into_iter().map(f64::from).collect();
        for (quantizer, name, widths) in QUANTIZERS {
            for &bits in widths {
                let levels = 2f64.powi(bits as i32) - 1.0;
                let scales = scales(quantizer, bits, per_channel, &weight);
                for (channel, mut scale) in scales.into_iter().enumerate() {
                    if let WeightScale::Lsq { step } = &mut scale {
                        *step = step.max(1e-6);
                    }
                    let (lowest, highest) = level_range(scale, levels);
                    for &w in &weight[channel * 3..][..3] {
                        let level = level(scale, levels, w);
                        prop_assert!(
                            level == level.round() && (lowest..=highest).contains(&level),
                            "{name} {bits}: {w} → {level}"
                        );
                        prop_assert!(quantize(scale, levels, w).is_finite(), "{name} {bits}: {w}");
                    }
                }
            }
        }
    }
}

/// The same of the kernels: every quantized weight is one of the 2^b (symmetric: 2^b − 1) values
/// evenly spaced over the range they report.
#[test]
fn kernels_put_any_weights_on_levels() {
    let layers = vec![LayerConfig::linear("fc", CHANNELS as u32)];
    let config = NetworkConfig { input: Shape::new(1, 2, 4), classes: CHANNELS as u32, layers };
    let options =
        NetworkOptions { slots: 1, training: false, gradients: false, ..NetworkOptions::default() };
    let mut networks = Vec::new();
    for (weight_quant, name, widths) in QUANTIZERS {
        for &bits in [widths[0], widths[widths.len() - 1]].iter() {
            let bits_of_layer = vec![LayerBits { weight: bits, activation: 32 }];
            let quantization =
                QuantizationConfig { bits: bits_of_layer, weight_quant, ..Default::default() };
            let network = Network::new(gpu(), &config, &quantization, options).unwrap();
            let mut recording = Recording::new();
            network.record_weights(gpu(), &mut recording).unwrap();
            let distinct = 2f64.powi(bits as i32)
                - if weight_quant == WeightQuantizer::Symmetric { 1.0 } else { 0.0 };
            networks.push((format!("{name}, {bits} bits"), network, recording, distinct));
        }
    }
    let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    let outcome = runner.run(&any_weights(CHANNELS * 8), |weight| {
        for (what, network, recording, distinct) in &networks {
            let mut parameters = vec![0.0; network.graph.layout.padded_length() as usize];
            parameters[..weight.len()].copy_from_slice(&weight);
            for step in network.graph.layout.steps() {
                network.graph.layout.initialize_step(step, &mut parameters);
            }
            gpu().write(network.parameters(), 0, &parameters);
            recording.submit(gpu()).unwrap();
            let (_, [low, high]) = pollster::block_on(network.weight_ranges(gpu())).unwrap()[0];
            let (low, high) = (f64::from(low), f64::from(high));
            let (_, _, buffer) = network.layer_weights().next().unwrap();
            // [pixel, 4 input channels of which 1 is real, output channel].
            let quantized: Vec<f32> = read(buffer, 8 * 16);
            for (pixel, channel) in
                (0..8).flat_map(|pixel| (0..CHANNELS).map(move |channel| (pixel, channel)))
            {
                let (w, value) =
                    (weight[channel * 8 + pixel], f64::from(quantized[pixel * 16 + channel]));
                let level = if high > low {
                    (value - low) / (high - low) * (distinct - 1.0)
                } else {
                    value - low
                };
                let is_level = (level - level.round()).abs() < 1e-3
                    && (0.0..=distinct - 1.0).contains(&level.round());
                prop_assert!(
                    is_level,
                    "{what}: {w:e} → {value:e} is level {level} of {distinct} from {low:e} to \
                                        {high:e}"
                );
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Learned offsets: what is calibrated, learned, written, resumed from, and read at other widths.
#[test]
fn offsets_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = saliq::data::load("mnist-mini", None).unwrap();
    let train = |settings: &str, out: &std::path::Path, start: Start| {
        let tiny = "train-limit = 48\ntest-limit = 20\nbatch-size = 16\nlr = 0.05\n";
        let config = run_config(&format!("{tiny}{settings}{SMALL_NETWORK}"), &dataset, out);
        let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
        pollster::block_on(trainer.run(start, &mut Silent)).unwrap();
        RunFolder::read_metrics(out).unwrap().1.pop().unwrap()
    };
    for (pact, other) in [("signed", "unsigned"), ("unsigned", "signed")] {
        let [once, twice, after] =
            ["once", "twice", "after"].map(|name| folder.path().join(format!("{pact}-{name}")));
        let settings =
            format!("bits = \"w4a2,w2a4\"\nact-quant = \"lsq-plus\"\npact = \"{pact}\"\n");
        let line = train(&format!("epochs = 2\n{settings}"), &once, Start::New);
        let names = |values: &std::collections::BTreeMap<String, f32>| {
            values.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!([&line.offset, &line.step_size].map(names), [["act1", "act2"]; 2], "{pact}");
        assert!(line.alpha.is_empty());
        // Without a ReLU some levels stand for values below 0.
        let steps_below = |name: &str| -line.offset[name] / line.step_size[name];
        match pact {
            "signed" => assert!(["act1", "act2"].iter().all(|name| steps_below(name) > 0.5)),
            _ => assert!(["act1", "act2"].iter().all(|name| steps_below(name) < 0.5)),
        }
        assert!(line.offset.values().all(|&offset| offset != 0.0), "{line:?}: learned");

        // As in one go: parameters and the optimiser's states are in the checkpoint.
        train(&format!("epochs = 1\n{settings}"), &twice, Start::New);
        let resumed = train(&format!("epochs = 2\n{settings}"), &twice, Start::Resume);
        assert_eq!((&resumed.offset, &resumed.step_size), (&line.offset, &line.step_size));

        let model = Model::load(&once, &QuantizationOverrides::default()).unwrap();
        let named = |model: &Model, name: &str| {
            model.parameters[model.graph.layout.find(name).unwrap().offset as usize]
        };
        assert!(model.has_alphas());
        assert_eq!(named(&model, "act1.offset"), line.offset["act1"]);
        let overrides = QuantizationOverrides {
            bits: Some(BitsList(LayerBits::parse_list("w4a2,w2a3").unwrap())),
            ..Default::default()
        };
        let narrower = Model::load(&once, &overrides).unwrap();
        assert_eq!(named(&narrower, "act1.offset"), line.offset["act1"]);
        assert_eq!(narrower.missing_alphas, ["act2.step", "act2.offset"]);

        let more = format!(
            "steps = 1\nbits = \"4,4\"\nact-quant = \"lsq-plus\"\npact = \"{other}\"\n\
             init = {once:?}\n"
        );
        let line = train(&more, &after, Start::New);
        assert_eq!(names(&line.offset), ["act1", "act2"]);
    }
}

/// Mixed widths in every layer, fully connected ones too, with learned steps of weights and
/// activations: what is written, read and learned.
#[test]
fn mixed_widths_with_learned_steps_from_end_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let dataset = saliq::data::load("mnist-mini", None).unwrap();
    let train = |settings: &str, out: &std::path::Path| {
        let tiny = "train-limit = 48\ntest-limit = 20\nbatch-size = 16\nlr = 0.05\n";
        let config = run_config(&format!("{tiny}{settings}{SMALL_NETWORK}"), &dataset, out);
        let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
        pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
        RunFolder::read_metrics(out).unwrap().1.pop().unwrap()
    };
    let line = train(
        "epochs = 1\n\
         bits = \"w4a2,w2a4,8\"\nweight-quant = \"lsq\"\nact-quant = \"lsq\"\nper-channel = true\n",
        &first,
    );
    assert_eq!(
        line.step_size.keys().collect::<Vec<_>>(),
        ["act1", "act2", "conv1", "conv2", "fc1"]
    );
    assert_eq!(line.weight_range.keys().collect::<Vec<_>>(), ["conv1", "conv2", "fc1"]);
    assert!(line.alpha.is_empty() && line.step_size.values().all(|&step| step > 0.0), "{line:?}");
    assert!(line.weight_range.values().all(|[low, high]| low < high), "{line:?}");

    let file = TensorFile::read(&first.join("model.safetensors")).unwrap();
    for (name, shape) in [
        ("conv1.weight_step", 8),
        ("conv2.weight_step", 8),
        ("fc1.weight_step", 10),
        ("act1.step", 1),
    ] {
        assert_eq!(
            file.tensor(name).map(|tensor| tensor.shape.clone()),
            Some(vec![shape]),
            "{name}"
        );
    }
    let as_trained = Model::load(&first, &QuantizationOverrides::default()).unwrap();
    assert!(as_trained.has_alphas());
    let named = |model: &Model, name: &str| {
        model.parameters[model.graph.layout.find(name).unwrap().range()].to_vec()
    };
    let trained = named(&as_trained, "conv2.weight_step");
    let untrained = initial_steps(&named(&as_trained, "conv2.weight"), 8, highest_level(2));
    assert!(
        trained.iter().zip(&untrained).any(|(a, b)| (a - b).abs() > 1e-6),
        "steps are learned: {trained:?}"
    );

    // At other widths steps of weights start anew and those of activations are missing; layers
    // whose width is the same keep theirs.
    let overrides = QuantizationOverrides {
        bits: Some(BitsList(LayerBits::parse_list("w4a2,w3a3,8").unwrap())),
        ..Default::default()
    };
    let other = Model::load(&first, &overrides).unwrap();
    assert_eq!(named(&other, "conv1.weight_step"), named(&as_trained, "conv1.weight_step"));
    let fresh = initial_steps(&named(&other, "conv2.weight"), 8, highest_level(3));
    assert_eq!(named(&other, "conv2.weight_step"), fresh);
    assert_eq!(other.missing_alphas, ["act2.step"]);
    let refused = other.require_alphas().unwrap_err().to_string();
    assert!(
        refused.contains("need act2.step, which") && !refused.contains("act1.step"),
        "{refused}"
    );

    // A run of another kind can start from it: α's are calibrated.
    let line = train(
        &format!("steps = 2\nbits = \"w1a4,w4a2\"\nweight-quant = \"dorefa\"\ninit = {first:?}\n"),
        &second,
    );
    assert_eq!(line.alpha.keys().collect::<Vec<_>>(), ["act1", "act2"]);
    assert!(line.step_size.is_empty());
    let [low, high] = line.weight_range["conv1"];
    assert!(low == -high && line.weight_range["conv2"] == [-1.0, 1.0], "{line:?}");
    let config =
        &Model::load(&second, &QuantizationOverrides::default()).unwrap().config.quantization;
    assert_eq!(
        (config.weight_quant, config.act_quant),
        (WeightQuantizer::Dorefa, ActivationQuantizer::Pact)
    );
}
