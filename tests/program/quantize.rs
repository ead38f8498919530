//! `saliq quantize`: ranges against independent computations, accuracy at 8 bits, and what becomes
//! of the result.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use saliq::{
    batch::ResidentData,
    config::{
        LayerBits, PartialRunConfig, QuantizationConfig, QuantizationOverrides, WeightQuantizer,
        expand_bits,
    },
    data,
    model::Model,
    post_training::{Calibration, PostTraining, distributions, quantize},
    reference::network::ReferenceNetwork,
    study::{
        plan::{Plan, PlanOptions},
        preset::Preset,
    },
};

use crate::{
    common::gpu,
    support::{MNIST, SMALL_NETWORK, Tensors, json, mnist_like, refused, run, succeed, text},
};

/// A run folder with a small network that has learned the digits, made once.
fn float() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, out) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("small.toml");
        let settings = "sgt = false\n\
             batch-size = 64\n\
             epochs = 3\noptimizer = \"momentum\"\nlr = 0.05\nschedule = \"one-cycle\"\n";
        fs::write(&config, format!("{settings}{SMALL_NETWORK}")).unwrap();
        let out = folder.path().join("float");
        let result = json(&["train", "--config", text(&config), "--out", text(&out)]);
        assert!(result["accuracy"].as_f64().unwrap() > 0.9, "{result}");
        (folder, out)
    });
    out
}

fn quantization(
    model: &Model,
    bits: &str,
    quantizer: WeightQuantizer,
    per_channel: bool,
) -> QuantizationConfig {
    QuantizationConfig {
        bits: expand_bits(&LayerBits::parse_list(bits).unwrap(), &model.config.network).unwrap(),
        weight_quant: quantizer,
        per_channel,
        ..QuantizationConfig::default()
    }
}

#[test]
fn ranges_are_those_of_an_independent_computation() {
    const IMAGES: usize = 70; // more than a batch
    let model = Model::load(float(), &QuantizationOverrides::default()).unwrap();
    let dataset = data::load("mnist-mini", None).unwrap();
    let mut split = dataset.train.clone();
    split.truncate(IMAGES, MNIST);
    let resident = ResidentData::new(gpu(), &split, MNIST).unwrap();
    let normalization = model.normalization().unwrap();
    let (mean, deviation) = normalization.channel(0);
    for per_channel in [false, true] {
        let options = PostTraining {
            quantization: quantization(&model, "4,3", WeightQuantizer::Lsq, per_channel),
            calibration: Calibration::MinMax,
        };
        let (quantized, tensors) =
            pollster::block_on(quantize(gpu(), &model, &options, &resident, normalization))
                .unwrap();
        // The weights: half of the levels lie above 0, the highest is the largest weight.
        for (layer, levels, channels) in [("conv1", 7.0, 8), ("conv2", 3.0, 8)] {
            let name = format!("{layer}.weight");
            let weights = &model.parameters[model.graph.layout.find(&name).unwrap().range()];
            assert_eq!(
                &quantized.parameters[quantized.graph.layout.find(&name).unwrap().range()],
                weights,
                "latent weights stay"
            );
            let steps = &quantized.parameters
                [quantized.graph.layout.find(&format!("{name}_step")).unwrap().range()];
            let groups = if per_channel { channels } else { 1 };
            assert_eq!(steps.len(), groups);
            for (&step, weights) in steps.iter().zip(weights.chunks(weights.len() / groups)) {
                let largest =
                    weights.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
                assert!(
                    (step * levels - largest).abs() < 1e-6 * largest,
                    "{layer}: {step} · {levels} {largest}"
                );
            }
        }
        // The activations, in f64, with quantized weights and unquantized activations.
        let float_activations = QuantizationConfig {
            bits: options
                .quantization
                .bits
                .iter()
                .map(|bits| LayerBits { activation: 32, ..*bits })
                .collect(),
            ..options.quantization.clone()
        };
        let reference =
            ReferenceNetwork::new(&model.config.network, &float_activations, true).unwrap();
        let parameters: Vec<f64> = reference
            .graph
            .layout
            .parameters
            .iter()
            .flat_map(|parameter| {
                &quantized.parameters[quantized.graph.layout.find(&parameter.name).unwrap().range()]
            })
            .map(|&value| f64::from(value))
            .collect();
        let input: Vec<f64> = split
            .images
            .iter()
            .map(|&byte| (f64::from(byte) / 255.0 - f64::from(mean)) / f64::from(deviation))
            .collect();
        let pass = reference.forward(&parameters, &reference.scales(&parameters), &input);
        for (name, values) in [("act1", &pass.values[2]), ("act2", &pass.values[4])] {
            let largest = values.iter().fold(0.0, |largest, &value| f64::max(largest, value));
            let alpha = quantized.parameters
                [quantized.graph.layout.find(&format!("{name}.alpha")).unwrap().offset as usize];
            assert!(
                (f64::from(alpha) - largest).abs() < 1e-5 * largest,
                "{name}: {alpha} {largest}"
            );
        }
        let names: Vec<_> =
            tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.bits)).collect();
        assert_eq!(names, [("conv1.weight", 4), ("conv2.weight", 3), ("act1", 4), ("act2", 3)]);

        // What is drawn: everything that was counted, levels that are those of the quantizers.
        let shown =
            pollster::block_on(distributions(gpu(), &quantized, &resident, normalization)).unwrap();
        let counts: Vec<_> =
            shown.iter().map(|own| (own.before.count(), own.after.count())).collect();
        let (act1, act2) = (IMAGES as u64 * 8 * 13 * 13, IMAGES as u64 * 8 * 6 * 6);
        assert_eq!(counts, [(72, 72), (576, 576), (act1, act1), (act2, act2)]);
        for own in &shown {
            let is_weight = own.name.ends_with(".weight");
            assert!(
                own.after.points().len()
                    <= 2usize.pow(own.bits) * if is_weight && per_channel { 8 } else { 1 }
            );
            match (is_weight, per_channel) {
                (true, true) => assert!(own.levels.is_empty()),
                (true, false) => assert_eq!(own.levels.len(), own.after.points().len()),
                (false, _) => assert_eq!(own.levels.len(), 2usize.pow(own.bits)),
            }
            for (value, _) in own.after.points() {
                let known = own.levels.is_empty()
                    || own.levels.iter().any(|level| {
                        (level - value).abs() <= 1e-6 * own.levels[own.levels.len() - 1]
                    });
                assert!(known, "{}: {value} is not one of {:?}", own.name, own.levels);
            }
        }
    }
}

#[test]
fn eight_bits_are_as_good_as_float() {
    let folder = tempfile::tempdir().unwrap();
    for (number, more) in [
        &[][..],
        &["--per-channel"],
        &["--calibration", "min-max"],
        &["--calibration", "percentile", "--percentile", "99.99"],
    ]
    .into_iter()
    .enumerate()
    {
        let out = folder.path().join(format!("{number}.safetensors"));
        let result = json(
            &[&["quantize", text(float()), "--bits", "8", "--out", text(&out)], more].concat(),
        );
        let accuracy = |key: &str| result[key].as_f64().unwrap();
        assert_eq!(result["images"], 1000);
        let difference = (accuracy("accuracy") - accuracy("float_accuracy")).abs();
        assert!(difference < 0.001 + 1e-9, "{more:?}: {result}");
    }
}

#[test]
fn fewer_bits_and_a_better_clip() {
    let folder = tempfile::tempdir().unwrap();
    let accuracy = |bits: &str, calibration: &str| {
        let out = folder.path().join(format!("{bits}-{calibration}.safetensors"));
        let arguments = [
            "quantize",
            text(float()),
            "--bits",
            bits,
            "--calibration",
            calibration,
            "--out",
            text(&out),
            "--per-channel",
        ];
        json(&arguments)["accuracy"].as_f64().unwrap()
    };
    assert!(accuracy("4", "mse") > 0.85);
    assert!(accuracy("3", "mse") > accuracy("3", "min-max"));
}

#[test]
fn the_result_is_a_model_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ptq");
    let common =
        ["quantize", text(float()), "--bits", "4,w3a4", "--calibrate", "64", "--out", text(&out)];
    let quantize = |more: &[&str]| json(&common.iter().chain(more).copied().collect::<Vec<_>>());
    let result = quantize(&["--test-limit", "100"]);
    assert_eq!(
        (&result["images"], &result["calibration_images"], &result["bits"]),
        (&100.into(), &64.into(), &"4,w3a4".into())
    );
    let mut names: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["histograms.svg", "model.safetensors", "report.html"]);
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("conv2.weight, 3 bits") && report.contains("act1, 4 bits"));
    for made in ["mnist-mini", "saliq quantize", "--bits 4,w3a4", text(float())] {
        assert!(report.contains(made), "{made}");
    }
    // Only what the numbers depend on is in it: the same call gives the same file.
    let model = fs::read(out.join("model.safetensors")).unwrap();
    quantize(&["--force"]);
    assert!(fs::read(out.join("model.safetensors")).unwrap() == model);

    let evaluation = json(&[
        "eval",
        text(&out),
        "--count",
        "100",
        "--histograms",
        text(&folder.path().join("again.svg")),
    ]);
    assert_eq!(evaluation["accuracy"], result["accuracy"]);
    assert!(
        fs::read_to_string(folder.path().join("again.svg"))
            .unwrap()
            .contains("conv1.weight, 4 bits")
    );
    let maps = folder.path().join("maps");
    succeed(&["explain", text(&out), "--count", "2", "--out", text(&maps)]);
    assert!(maps.join("attributions.safetensors").exists());
    assert_eq!(json(&["cost", text(&out)])["layers"][1]["weight_bits"], 3);

    // Training goes on from the calibrated step and α, in the first step of rate 0 they are still
    // there.
    let trained = folder.path().join("qat");
    let settings = float().join("config.toml");
    let common = [
        "train",
        "--init",
        text(&out),
        "--config",
        text(&settings),
        "--bits",
        "4,w3a4",
        "--weight-quant",
        "lsq",
    ];
    let train = |more: &[&str]| {
        json(
            &common
                .iter()
                .chain(&["--out", text(&trained)])
                .chain(more)
                .copied()
                .collect::<Vec<_>>(),
        )
    };
    train(&["--steps", "1", "--lr", "1e-30"]);
    let (before, after) = (
        Tensors::open(&out.join("model.safetensors")),
        Tensors::open(&trained.join("model.safetensors")),
    );
    for name in
        ["conv1.weight", "conv1.weight_step", "conv2.weight_step", "act1.alpha", "act2.alpha"]
    {
        assert_eq!(before.f32(name), after.f32(name), "{name}");
    }
    let result = train(&["--force", "--lr", "0.01", "--steps", "20"]);
    assert!(result["accuracy"].as_f64().unwrap() > 0.85, "{result}");
}

#[test]
fn activations_can_have_a_step_to_train_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let quantize = |activations: &str| {
        let out = folder.path().join(activations);
        let arguments = [
            "quantize",
            text(float()),
            "--bits",
            "4,3",
            "--act-quant",
            activations,
            "--test-limit",
            "200",
            "--out",
            text(&out),
        ];
        (json(&arguments), Tensors::open(&out.join("model.safetensors")), out)
    };
    let ((pact, alphas, _), (lsq, steps, out)) = (quantize("pact"), quantize("lsq"));
    // Behind a ReLU an offset is 0 until it is trained.
    let (plus, offsets, _) = quantize("lsq-plus");
    assert_eq!(plus["act_quant"], "lsq-plus");
    for name in ["act1", "act2"] {
        assert_eq!(offsets.f32(&format!("{name}.offset")), [0.0]);
        assert_eq!(offsets.f32(&format!("{name}.step")), steps.f32(&format!("{name}.step")));
    }
    assert_eq!(plus["accuracy"], lsq["accuracy"]);
    assert_eq!((&pact["act_quant"], &lsq["act_quant"]), (&"pact".into(), &"lsq".into()));
    // The same clips: α is the highest level, so many steps.
    for (name, levels) in [("act1", 15.0), ("act2", 7.0)] {
        let (alpha, step) =
            (alphas.f32(&format!("{name}.alpha"))[0], steps.f32(&format!("{name}.step"))[0]);
        assert!((step * levels - alpha).abs() < 1e-6 * alpha, "{name}: {step} {alpha}");
    }
    let difference = pact["accuracy"].as_f64().unwrap() - lsq["accuracy"].as_f64().unwrap();
    assert!(difference.abs() < 0.011, "{pact} {lsq}");
    let trained = folder.path().join("qat");
    let settings = float().join("config.toml");
    let train = [
        "train",
        "--init",
        text(&out),
        "--config",
        text(&settings),
        "--bits",
        "4,3",
        "--weight-quant",
        "lsq",
    ];
    let more = ["--act-quant", "lsq", "--steps", "1", "--lr", "1e-30", "--out", text(&trained)];
    succeed(&[&train[..], &more].concat());
    assert_eq!(
        Tensors::open(&trained.join("model.safetensors")).f32("act2.step"),
        steps.f32("act2.step")
    );
}

#[test]
fn every_quantizer_and_clip_can_be_had() {
    let folder = tempfile::tempdir().unwrap();
    for (quantizer, pact) in [
        ("affine", "unsigned"),
        ("symmetric", "signed-after-relu"),
        ("sawb", "unsigned"),
        ("dorefa", "unsigned"),
    ] {
        let out = folder.path().join(format!("{quantizer}.safetensors"));
        let result = json(&[
            "quantize",
            text(float()),
            "--bits",
            "4",
            "--weight-quant",
            quantizer,
            "--pact",
            pact,
            "--test-limit",
            "200",
            "--out",
            text(&out),
        ]);
        let names: Vec<_> = result["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tensor| tensor["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["act1", "act2"], "{quantizer}: its ranges are its own");
        // DoReFa's weights are squashed: only training gets used to that.
        assert!(
            quantizer == "dorefa" || result["accuracy"].as_f64().unwrap() > 0.7,
            "{quantizer}: {result}"
        );
    }
}

/// DoReFa's levels go from −1 to 1: over a model that was not trained with it that is said, with
/// what to use instead, and nowhere else.
#[test]
fn a_quantizer_without_a_scale_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let said = |arguments: &[&str]| {
        let output = run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
        error.lines().filter(|line| line.contains("dorefa")).map(String::from).collect::<Vec<_>>()
    };
    let names_what_keeps_it = |said: &[String]| {
        assert!(said.len() == 1 && said[0].starts_with("warning: "), "{said:?}");
        assert!(
            said[0].contains("conv1, conv2")
                && said[0].contains("--weight-quant sawb, lsq, affine, symmetric"),
            "{said:?}"
        );
    };
    let quantize = |quantizer: &str, out: &Path| {
        let common = [
            "--bits",
            "4",
            "--calibrate",
            "8",
            "--test-limit",
            "20",
            "--weight-quant",
            quantizer,
            "--out",
            text(out),
        ];
        said(&[&["quantize", text(float())], &common[..]].concat())
    };
    names_what_keeps_it(&quantize("dorefa", &path("ptq")));
    assert!(
        fs::read_to_string(path("ptq").join("report.html"))
            .unwrap()
            .contains("levels from −1 to 1")
    );
    assert!(quantize("symmetric", &path("symmetric.safetensors")).is_empty());

    let eval = |model: &Path, more: &[&str]| {
        said(&[&["eval", text(model), "--count", "8"], more].concat())
    };
    names_what_keeps_it(&eval(float(), &["--bits", "w4a32", "--weight-quant", "dorefa"]));
    assert!(eval(float(), &["--bits", "w4a32"]).is_empty());
    assert!(
        eval(float(), &["--bits", "w1a32", "--weight-quant", "dorefa"]).is_empty(),
        "1 bit has a scale"
    );

    let settings = float().join("config.toml");
    let train = |out: &str, init: &Path, more: &[&str]| {
        let common = [
            "train",
            "--config",
            text(&settings),
            "--bits",
            "4",
            "--steps",
            "1",
            "--test-limit",
            "8",
        ];
        said(&[&common[..], &["--init", text(init), "--out", text(&path(out))], more].concat())
    };
    names_what_keeps_it(&train("qat", float(), &["--weight-quant", "dorefa"]));
    assert!(train("affine", float(), &["--weight-quant", "affine"]).is_empty());
    // Its own models are at home in it, and not elsewhere.
    assert!(train("again", &path("qat"), &["--weight-quant", "dorefa"]).is_empty());
    assert!(eval(&path("qat"), &["--bits", "3"]).is_empty());
    let without = eval(&path("qat"), &["--bits", "32"]);
    assert!(
        without.len() == 1 && without[0].contains("conv1, conv2 were trained with `dorefa`"),
        "{without:?}"
    );
    let from_nothing = [
        "train",
        "--config",
        text(&settings),
        "--bits",
        "4",
        "--weight-quant",
        "dorefa",
        "--steps",
        "1",
    ];
    assert!(
        said(&[&from_nothing[..], &["--test-limit", "8", "--out", text(&path("new"))]].concat())
            .is_empty()
    );
}

/// A study quantizes float models: what that does to their scale is known from its plan.
#[test]
fn a_plan_without_a_scale_is_warned_of() {
    let split = || data::Split { images: vec![0; 784], labels: vec![0] };
    let datasets = [mnist_like(split(), split())];
    let warning = |weight_quant, bits: &str| {
        let overrides = PartialRunConfig {
            weight_quant,
            bits: Some(bits.parse().unwrap()),
            ..PartialRunConfig::default()
        };
        let options = PlanOptions { seeds: Some(1), overrides };
        Plan::new(Preset::Tiny, &options, &["gradient"], &datasets)
            .unwrap()
            .scale_warning(&datasets)
    };
    assert!(
        warning(Some(WeightQuantizer::Dorefa), "4,2")
            .is_some_and(|said| said.to_string().contains("weights of conv1, conv2 on levels"))
    );
    assert_eq!(warning(None, "4,2"), None);
    assert_eq!(warning(Some(WeightQuantizer::Dorefa), "32"), None);
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ptq.safetensors");
    let refused_with = |code: i32, more: &[&str]| {
        refused(code, &[&["quantize", text(float()), "--out", text(&out)], more].concat())
    };
    assert!(refused_with(2, &[]).contains("--bits"));
    assert!(refused_with(2, &["--bits", "32"]).contains("nothing to quantize"));
    assert!(refused_with(2, &["--bits", "4", "--pact", "signed"]).contains("signed-after-relu"));
    assert!(
        refused_with(2, &["--bits", "4", "--percentile", "99"])
            .contains("--calibration percentile")
    );
    assert!(
        refused_with(2, &["--bits", "4", "--calibration", "percentile", "--percentile", "0"])
            .contains("above 0")
    );
    assert!(refused_with(2, &["--bits", "2,2,2,2"]).contains("3 layers"));
    assert!(refused_with(2, &["--bits", "1"]).contains("--weight-quant binary"));
    assert!(!out.exists());
    let quantized = folder.path().join("quantized.safetensors");
    succeed(&[
        "quantize",
        text(float()),
        "--bits",
        "4,2",
        "--calibrate",
        "8",
        "--out",
        text(&quantized),
        "--quiet",
    ]);
    let message = refused(2, &["quantize", text(&quantized), "--bits", "4", "--out", text(&out)]);
    assert!(message.contains("is quantized already (4,2"), "{message}");
    fs::write(&out, "mine").unwrap();
    assert!(refused_with(2, &["--bits", "4"]).contains("--force"));
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
}
