//! The start of training: α's and steps of activations against an independent computation in f64,
//! and the precedence of model file, flag and calibration.

use std::{collections::BTreeMap, path::Path};

use saliq::{
    config::{LayerBits, LayerConfig, LayerKind, QuantizationConfig, RunConfig},
    model::Model,
    reference::network::ReferenceNetwork,
    train::{Start, StepLine, Trainer},
};

use crate::{
    common::{Silent, gpu},
    support::{NORMALIZATION, SMALL_NETWORK, mini, run_config},
};

const BRIEF: &str = "train-limit = 90\ntest-limit = 8\nbatch-size = 20\nsteps = 1\nseed = 5\n";

/// One step: its settings and its line, with the state of the quantizers before it.
fn first_step(settings: &str, out: &Path) -> (RunConfig, StepLine) {
    let common = format!("{BRIEF}{settings}{SMALL_NETWORK}");
    let config = run_config(&common, mini(), out);
    let mut trainer = Trainer::new(gpu(), &config, mini()).unwrap();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
    (config, outcome.steps[0].clone())
}

/// Magnitudes of the inputs of each quantized activation, over the first 80 images: four batches of
/// 20.
fn magnitudes(config: &RunConfig) -> BTreeMap<&'static str, Vec<f64>> {
    let mut values = inputs_of_quantizers(config);
    values.values_mut().flatten().for_each(|value| *value = value.abs());
    values
}

/// The values themselves.
fn inputs_of_quantizers(config: &RunConfig) -> BTreeMap<&'static str, Vec<f64>> {
    let bits =
        config.quantization.bits.iter().map(|bits| LayerBits { activation: 32, ..*bits }).collect();
    let float = QuantizationConfig { bits, ..config.quantization.clone() };
    let network = &config.network;
    let reference = ReferenceNetwork::new(network, &float, true).unwrap();
    let parameters = reference.graph.layout.initialize(config.seed, config.weight_init);
    let parameters: Vec<f64> = parameters.into_iter().map(f64::from).collect();
    let (mean, deviation) = NORMALIZATION.channel(0);
    let images = mini().train.images.iter().take(80 * 28 * 28);
    let input: Vec<f64> = images
        .map(|&byte| (f64::from(byte) / 255.0 - f64::from(mean)) / f64::from(deviation))
        .collect();
    let pass = reference.forward(&parameters, &reference.scales(&parameters), &input);
    // The activations right in front of the second convolution and of the pool.
    let place = |is_it: fn(&LayerConfig) -> bool| network.layers.iter().rposition(is_it).unwrap();
    let places = [
        ("act1", place(|layer| matches!(layer.kind, LayerKind::Conv { .. }))),
        ("act2", place(|layer| matches!(layer.kind, LayerKind::MaxPool { .. }))),
    ];
    places.map(|(name, place)| (name, pass.values[place].clone())).into()
}

#[test]
fn initial_clips_and_steps_are_those_of_an_independent_computation() {
    for settings in [
        "bits = \"w3a4,w8a3\"\n",
        "bits = \"w32a2,w2a4\"\npact = \"signed-after-relu\"\n",
        "bits = \"4,2\"\npact = \"signed\"\n",
        "bits = \"w4a32,w8a3\"\npact = \"signed\"\n",
        "bits = \"w4a3,w8a2\"\nact-quant = \"lsq\"\nweight-quant = \"lsq\"\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (config, line) = first_step(settings, &folder.path().join("run"));
        let expected = magnitudes(&config);
        let found =
            line.quantizers.alpha.iter().chain(
                line.quantizers.step_size.iter().filter(|(name, _)| name.starts_with("act")),
            );
        let mut compared = 0;
        for (name, &value) in found {
            let mut magnitudes = expected[name.as_str()].clone();
            magnitudes.sort_by(f64::total_cmp);
            let bits = config.quantization.bits[usize::from(name == "act2")].activation;
            let wanted = if settings.contains("act-quant") {
                let mean = magnitudes.iter().sum::<f64>() / magnitudes.len() as f64;
                2.0 * mean / f64::from((1u32 << bits) - 1).sqrt()
            } else {
                magnitudes[((magnitudes.len() - 1) as f64 * 0.999).round() as usize]
            };
            assert!(
                (f64::from(value) - wanted).abs() < 1e-5 * wanted,
                "{settings}{name}: {value} {wanted}"
            );
            compared += 1;
        }
        assert_eq!(
            compared,
            config.quantization.bits.iter().filter(|bits| bits.activation < 32).count(),
            "{settings}"
        );
    }
}

/// LSQ+ starts where the squared error of the values that it quantizes is least: no other range of
/// as many levels from their least to their largest has a smaller one, by more than the search and
/// its histogram are coarse. Without a ReLU these are the values of a network without one.
#[test]
fn initial_offsets_are_of_least_squared_error() {
    for pact in ["unsigned", "signed"] {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            format!("bits = \"w3a4,w8a2\"\nact-quant = \"lsq-plus\"\npact = \"{pact}\"\n");
        let (config, line) = first_step(&settings, &folder.path().join("run"));
        let mut network = config.network.clone();
        if pact == "signed" {
            let is_quantized = |name: &str| name == "act1" || name == "act2";
            network.layers.retain(|layer| {
                !matches!(
                    (&layer.kind, &layer.name),
                    (LayerKind::Activation(_), Some(name)) if is_quantized(name)
                )
            });
        }
        let values = inputs_of_quantizers(&RunConfig { network, ..config.clone() });
        for (name, bits) in [("act1", 4), ("act2", 2)] {
            let (step, offset) = (
                f64::from(line.quantizers.step_size[name]),
                f64::from(line.quantizers.offset[name]),
            );
            let highest = f64::from((1u32 << bits) - 1);
            let values = &values[name];
            let error = |step: f64, zero: f64| {
                let of = |value: &f64| {
                    let level = (value / step).round_ties_even().clamp(-zero, highest - zero);
                    (level * step - value).powi(2)
                };
                values.iter().map(of).sum::<f64>()
            };
            let zero = (-offset / step).round();
            assert_eq!(zero == 0.0, pact == "unsigned", "{name}: {step} {offset}");
            let own = error(step, zero);
            for factor in [0.6, 0.8, 0.9, 1.1, 1.25, 1.6] {
                for other in [zero - 1.0, zero, zero + 1.0] {
                    let least = error(step * factor, other.clamp(0.0, highest));
                    assert!(own < 1.02 * least, "{pact} {name}: {own} {least} {factor} {other}");
                }
            }
        }
    }
}

/// For each α separately: a flag takes precedence over the file, and the file over calibration.
#[test]
fn a_trained_clip_is_kept_and_a_missing_one_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let trained = folder.path().join("trained");
    first_step("bits = \"w4a4,w4a32\"\nlr = 0.5\n", &trained);
    let model = Model::load(&trained, &Default::default()).unwrap();
    let kept = model.parameters[model.graph.layout.find("act1.alpha").unwrap().offset as usize];
    let init = format!("init = {:?}\nbits = \"4,2\"\n", trained.to_str().unwrap());

    let (_, line) = first_step(&init, &folder.path().join("more"));
    let alphas = &line.quantizers.alpha;
    assert_eq!(alphas["act1"], kept);
    assert!(alphas["act2"] > 0.0 && alphas["act2"] != 1.0 && alphas["act2"] != kept, "{alphas:?}");

    let (_, line) = first_step(&format!("{init}alpha-init = 3.25\n"), &folder.path().join("given"));
    assert_eq!(line.quantizers.alpha.values().copied().collect::<Vec<_>>(), [3.25, 3.25]);
}

/// Parts of a model that the network to be trained does not have are an error and are not dropped:
/// batch norms, layers.
#[test]
fn nothing_of_a_model_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (trained, out) = (folder.path().join("trained"), folder.path().join("more"));
    let activation = "    { type = \"activation\", name = \"act1\" },";
    let normalized = SMALL_NETWORK.replace(
        activation,
        &format!("    {{ type = \"batch-norm\", name = \"bn1\" }},\n{activation}"),
    );
    let begin = |init: &str, network: &str, out: &Path| {
        let config = run_config(&format!("{BRIEF}{init}{network}"), mini(), out);
        let mut trainer = Trainer::new(gpu(), &config, mini()).unwrap();
        pollster::block_on(trainer.run(Start::New, &mut Silent))
    };
    begin("", &normalized, &trained).unwrap();
    let init = format!("init = {:?}\n", trained.to_str().unwrap());
    let message = begin(&init, SMALL_NETWORK, &out).unwrap_err().to_string();
    assert!(message.contains("bn1.") && message.contains("batch-norm"), "{message}");
    assert!(!out.exists());
    begin(&init, &normalized, &out).unwrap();
}
