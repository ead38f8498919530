//! Files for other programs: ONNX against ONNX Runtime's logits and the f64 reference, packed files
//! against what they were made of.

mod elsewhere;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use prost::Message;
use saliq::{
    config::{
        ActivationQuantizer, AveragePool, LayerConfig, NetworkConfig, PactKind, PixelNormalization,
        QuantizationConfig, QuantizationOverrides, Shape, WeightQuantizer,
    },
    deploy::{
        DeployableModel, LayerVerification, UNDECIDED, Verification, c_header,
        onnx::{
            Interpreter, OnnxInput, OnnxOptions, onnx_model,
            schema::{DataType, ModelProto},
        },
        packed_file,
    },
    integer::{Written, verify},
    metrics::Cost,
    model::{METADATA_KEY, Model, TensorFile},
    reference::network::ReferenceNetwork,
};

use crate::{
    common::{Random, activation, conv, gpu, random_model},
    support::{self, Tensors, golden, json, mini, refused, succeed, text},
};

const INPUT: Shape = Shape::new(3, 11, 13);

fn norm(name: &str) -> LayerConfig {
    LayerConfig::batch_norm(name)
}

fn linear(name: &str, out_features: u32) -> LayerConfig {
    LayerConfig::linear(name, out_features)
}

/// Odd shapes, overlapping pools, batch norms behind both kinds of layers, a convolution and a pool
/// behind a fully connected layer.
fn network() -> NetworkConfig {
    let layers = vec![
        conv("conv1", 6, [3, 1, 1]),
        norm("bn1"),
        activation("act1"),
        LayerConfig::max_pool(3, 2),
        conv("conv2", 7, [2, 2, 0]),
        activation("act2"),
        LayerConfig::dropout(0.5),
        linear("fc1", 18),
        norm("bn2"),
        activation("act3"),
        conv("conv3", 5, [1, 1, 0]),
        activation("act4"),
        LayerConfig::max_pool(1, 1),
        linear("fc2", 5),
    ];
    NetworkConfig { input: INPUT, classes: 5, layers }
}

const WIDTHS: [(WeightQuantizer, &[u32]); 6] = [
    (WeightQuantizer::Affine, &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Dorefa, &[1, 2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Sawb, &[2, 3, 4, 5, 8]),
    (WeightQuantizer::Symmetric, &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Lsq, &[2, 3, 4, 5, 6, 7, 8]),
    (WeightQuantizer::Binary, &[1]),
];

/// Any quantization of [`network`].
fn quantization() -> impl Strategy<Value = (String, QuantizationConfig)> {
    let kinds = prop_oneof![
        Just(PactKind::Unsigned),
        Just(PactKind::Signed),
        Just(PactKind::SignedAfterRelu)
    ];
    let learned = prop_oneof![
        Just(ActivationQuantizer::Pact),
        Just(ActivationQuantizer::Lsq),
        Just(ActivationQuantizer::LsqPlus)
    ];
    let weights = prop::sample::select(WIDTHS.to_vec()).prop_flat_map(|(quantizer, widths)| {
        let width = prop_oneof![1 => Just(32), 4 => prop::sample::select(widths.to_vec())];
        (Just(quantizer), prop::collection::vec(width, 5))
    });
    let activations = prop::collection::vec(prop_oneof![1 => Just(32u32), 4 => 2u32..=8], 5);
    (weights, activations, any::<bool>(), kinds, learned).prop_map(
        |((weight_quant, weights), activations, per_channel, pact, act_quant)| {
            let bits: Vec<String> =
                weights.iter().zip(&activations).map(|(w, a)| format!("w{w}a{a}")).collect();
            (
                bits.join(","),
                QuantizationConfig {
                    weight_quant,
                    per_channel,
                    // LSQ+ has no signed grid behind a ReLU.
                    pact: match (act_quant, pact) {
                        (ActivationQuantizer::LsqPlus, PactKind::SignedAfterRelu) => {
                            PactKind::Signed
                        }
                        _ => pact,
                    },
                    act_quant,
                    ..Default::default()
                },
            )
        },
    )
}

fn bytes(model: &Model, options: &OnnxOptions) -> Vec<u8> {
    onnx_model(&DeployableModel::new(model).unwrap(), options).encode_to_vec()
}

/// Pixels from 0 to 1.
fn pixels(images: usize, seed: u64) -> Vec<f64> {
    let mut random = Random(seed);
    (0..images * INPUT.elements() as usize).map(|_| f64::from(random.below(256)) / 255.0).collect()
}

fn worst(ours: &[f64], theirs: &[f64]) -> f64 {
    let largest = theirs.iter().fold(0.0f64, |largest, logit| largest.max(logit.abs()));
    ours.iter().zip(theirs).fold(0.0, |worst, (a, b)| f64::max(worst, (a - b).abs() / largest))
}

/// Whatever the quantizers and widths, what the file says is the network: in f64, but for scales
/// that are rounded to f32.
#[test]
fn onnx_files_compute_what_the_reference_network_does() {
    let mut runner = TestRunner::deterministic();
    let strategy = (quantization(), any::<bool>(), any::<bool>());
    let (mut compared, mut undecided) = (0, 0);
    for seed in 0..24 {
        let ((bits, quantization), four_bits, normalized) =
            strategy.new_tree(&mut runner).unwrap().current();
        let model = random_model(network(), &bits, quantization, seed);
        let input = if normalized { OnnxInput::Normalized } else { OnnxInput::Image };
        let file = bytes(&model, &OnnxOptions { input, four_bits, ..OnnxOptions::default() });
        let (mean, deviation) = model.config.normalize.unwrap().channel(0);
        let images = pixels(2, seed);
        let standard: Vec<f64> =
            images.iter().map(|pixel| (pixel - f64::from(mean)) / f64::from(deviation)).collect();
        let outcome = Interpreter::new(&file)
            .unwrap()
            .run(if normalized { &standard } else { &images }, INPUT)
            .unwrap();
        let reference =
            ReferenceNetwork::new(&model.config.network, &model.config.quantization, true).unwrap();
        let parameters: Vec<f64> = model.parameters.iter().map(|&value| f64::from(value)).collect();
        let pass = reference.forward(&parameters, &reference.scales(&parameters), &standard);
        for (image, &margin) in outcome.margins.iter().enumerate() {
            let rows = [&outcome.logits, pass.logits()].map(|logits| &logits[image * 5..][..5]);
            if margin < UNDECIDED {
                undecided += 1;
                continue;
            }
            compared += 1;
            let error = worst(rows[0], rows[1]);
            assert!(
                error < 2e-6,
                "{bits} {:?}: image {image} is off by {error:e}, margin {margin:e}",
                model.config.quantization
            );
        }
    }
    assert!(compared > 40 && undecided < 8, "{compared} images compared, {undecided} undecided");
}

/// ONNX Runtime's logits of the very bytes that are written: `tests/goldens/make_onnx.py`.
#[test]
fn onnx_runtime_agrees_on_the_files_that_are_written() {
    let file = Tensors::golden("onnx");
    let made = file.made();
    let cases = made["cases"].as_object().expect("cases");
    assert!(cases.len() >= 6, "{}", cases.len());
    let input: Vec<f64> = file.f32("input").iter().map(|&pixel| f64::from(pixel)).collect();
    for (name, case) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, file.u8(&format!("{name}.model"))).unwrap();
        let model = Model::load(&path, &QuantizationOverrides::default()).unwrap();
        let golden = file.u8(&format!("{name}.onnx"));
        let onnx = folder.path().join("model.onnx");
        let flags: Vec<&str> = case["flags"]
            .as_array()
            .expect("flags")
            .iter()
            .filter_map(|flag| flag.as_str())
            .collect();
        succeed(
            &[&["export", text(&path), "--format", "onnx", "--out", text(&onnx)], &flags[..]]
                .concat(),
        );
        let parse = |bytes: &[u8]| ModelProto {
            producer_version: None,
            ..ModelProto::decode(bytes).unwrap()
        };
        assert!(
            parse(&golden) == parse(&std::fs::read(&onnx).unwrap()),
            "{name}: other bytes than ONNX Runtime saw; run make_onnx.py"
        );

        let (mean, deviation) = model.config.normalize.unwrap().channel(0);
        let (mean, deviation) = if flags.contains(&"normalized") {
            (f64::from(mean), f64::from(deviation))
        } else {
            (0.0, 1.0)
        };
        let given: Vec<f64> = input.iter().map(|pixel| (pixel - mean) / deviation).collect();
        let outcome = Interpreter::new(&golden).unwrap().run(&given, INPUT).unwrap();
        let expected: Vec<f64> =
            file.f32(&format!("{name}.logits")).iter().map(|&logit| f64::from(logit)).collect();
        assert!(
            outcome.margins.iter().all(|&margin| margin > UNDECIDED),
            "{name}: {:?}",
            outcome.margins
        );
        let error = worst(&outcome.logits, &expected);
        assert!(error < 2e-6, "{name}: off by {error:e}");
        let classes = model.config.network.classes as usize;
        assert_eq!(outcome.logits.len(), expected.len());
        assert_eq!(expected.len(), classes * input.len() / INPUT.elements() as usize, "{name}");
    }
}

#[test]
fn operator_sets_types_and_metadata() {
    let export = |weight_quant, bits: &str, four_bits| {
        let quantization = QuantizationConfig { weight_quant, ..Default::default() };
        let metadata = vec![("class_names".to_string(), "[\"é\"]".to_string())];
        let file = bytes(
            &random_model(network(), bits, quantization, 1),
            &OnnxOptions { four_bits, metadata, ..OnnxOptions::default() },
        );
        let onnx = ModelProto::decode(&file[..]).unwrap();
        let graph = onnx.graph.as_ref().unwrap();
        let mut types: Vec<i32> =
            graph.initializer.iter().map(|tensor| tensor.data_type.unwrap()).collect();
        types.sort_unstable();
        types.dedup();
        let ops: Vec<&str> = graph.node.iter().map(|node| node.op_type()).collect();
        assert_eq!(onnx.metadata_props[0].value(), "[\"é\"]");
        assert!(ops.iter().all(|&op| op != "BatchNormalization" && op != "Dropout"));
        let mut names: Vec<_> = graph.node.iter().flat_map(|node| &node.output).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ops.len(), "values are made once");
        (onnx.opset_import[0].version(), types, ops.iter().filter(|&&op| op == "Clip").count())
    };
    use WeightQuantizer::{Affine, Dorefa, Sawb, Symmetric};
    // Types by ONNX's numbers: float 1, uint8 2, int8 3, int16 5, int64 7, uint4 21, int4 22. At 8
    // bits a byte's own ends clip.
    assert_eq!(export(Sawb, "32", true), (13, vec![1, 7], 0));
    assert_eq!(export(Sawb, "w2a8,w4a3", false), (13, vec![1, 2, 3, 7], 1));
    assert_eq!(export(Sawb, "w2a8,w4a3", true), (21, vec![1, 2, 3, 7, 22], 1));
    assert_eq!(export(Sawb, "w8a32", false), (21, vec![1, 5, 7], 0));
    assert_eq!(export(Dorefa, "w7a32", false), (13, vec![1, 3, 7], 0));
    assert_eq!(export(Affine, "w4a32", true), (21, vec![1, 7, 21], 0));
    assert_eq!(export(Affine, "w5a32", true), (13, vec![1, 2, 7], 0));
    assert_eq!(export(Symmetric, "w4a4", true), (21, vec![1, 2, 7, 22], 3));
}

#[test]
fn levels_of_two_bits_take_two_bits() {
    // Types by ONNX's numbers: uint2 25, int2 26.
    for (weight_quant, data_type) in
        [(WeightQuantizer::Affine, 25), (WeightQuantizer::Symmetric, 26)]
    {
        let quantization = QuantizationConfig { weight_quant, ..Default::default() };
        let model = random_model(network(), "w2a4,w2a4", quantization, 1);
        let wide = bytes(&model, &OnnxOptions::default());
        let narrow = bytes(&model, &OnnxOptions { two_bits: true, ..OnnxOptions::default() });
        let onnx = ModelProto::decode(&narrow[..]).unwrap();
        assert_eq!((onnx.ir_version(), onnx.opset_import[0].version()), (13, 25));
        let graph = onnx.graph.as_ref().unwrap();
        assert!(graph.initializer.iter().any(|own| own.data_type == Some(data_type)));
        let images = pixels(3, 1);
        let run = |file: &[u8]| Interpreter::new(file).unwrap().run(&images, INPUT).unwrap().logits;
        assert_eq!(run(&narrow), run(&wide));
    }
}

/// The QOperator form: integers between the quantized activations, the same levels.
#[test]
fn layers_between_levels_are_on_integers() {
    use WeightQuantizer::{Affine, Dorefa, Lsq, Symmetric};
    for (weight_quant, bits, per_channel, pact) in [
        (Symmetric, "w8a8", true, PactKind::Unsigned),
        (Affine, "w8a4", false, PactKind::Unsigned),
        (Dorefa, "w4a4", false, PactKind::Signed),
        (Lsq, "w2a2", true, PactKind::Unsigned),
    ] {
        let quantization =
            QuantizationConfig { weight_quant, per_channel, pact, ..Default::default() };
        let model = random_model(digits(), &[bits; 4].join(","), quantization, 1);
        let on_integers = OnnxOptions { on_integers: true, ..OnnxOptions::default() };
        let file = bytes(&model, &on_integers);
        let what = format!("{weight_quant:?} {bits}");
        let onnx = ModelProto::decode(&file[..]).unwrap();
        let count = |operator: &str| {
            let nodes = &onnx.graph.as_ref().unwrap().node;
            nodes.iter().filter(|node| node.op_type() == operator).count()
        };
        // The first layer reads the image; the logits are floats.
        assert_eq!(["QLinearConv", "QGemm", "Conv", "Gemm"].map(count), [1, 2, 1, 0], "{what}");
        assert_eq!(["QuantizeLinear", "DequantizeLinear"].map(count), [1, 1], "{what}");
        assert_eq!(onnx.opset_import.len(), 2);
        let verification = checked(&model, Written::Onnx(&file, OnnxInput::Image));
        assert_eq!(verification.failure(), None, "{what}: {verification:?}");
        assert_eq!((verification.compared, verification.layers.len()), (10, 3), "{what}");
        assert!(verification.largest_difference < 1e-5, "{what}: {verification:?}");
        // Activations on levels that are no power of two come in no other way either.
        if pact == PactKind::Unsigned {
            let path = std::path::Path::new("m.onnx");
            let read = saliq::import::onnx::read(path, &file, None).unwrap();
            let keeps_levels = read.quantization.bits.iter().any(|own| own.quantizes_weights());
            // Levels that are not symmetric come in as floats.
            assert!(keeps_levels || weight_quant == Affine, "{what}");
        }
    }
}

#[test]
fn damaged_onnx_files_are_errors() {
    let quantization = QuantizationConfig {
        weight_quant: WeightQuantizer::Affine,
        per_channel: true,
        ..Default::default()
    };
    let good = bytes(&random_model(network(), "w4a4", quantization, 5), &OnnxOptions::default());
    let images = pixels(1, 1);
    proptest!(ProptestConfig::with_cases(200), |(
        at in 0..good.len(),
        flip in 1u8..=255,
        cut in any::<bool>(),
    )| {
        let mut bad = good.clone();
        bad[at] ^= flip;
        if cut { bad.truncate(at); }
        // An error or some number; never a panic.
        if let Ok(interpreter) = Interpreter::new(&bad) {
            let _ = interpreter.run(&images, INPUT);
        }
    });
}

/// Sizes whose product is more than can be counted, or 0.
#[test]
fn sizes_that_cannot_be_in_onnx_files_are_errors() {
    let quantization = QuantizationConfig {
        weight_quant: WeightQuantizer::Affine,
        per_channel: true,
        ..Default::default()
    };
    let good = onnx_model(
        &DeployableModel::new(&random_model(network(), "w4a4", quantization, 5)).unwrap(),
        &OnnxOptions::default(),
    );
    let shapes = |model: &ModelProto| -> Vec<usize> {
        let constants = &model.graph.as_ref().unwrap().initializer;
        (0..constants.len()).filter(|&at| constants[at].data_type() == DataType::Int64).collect()
    };
    let places = shapes(&good);
    assert!(!places.is_empty(), "a fully connected layer is followed by a convolution");
    for sizes in [[-1, i64::MAX, i64::MAX, 2], [-1, 1 << 40, 1 << 40, 1 << 40], [-1, 0, 0, 0]] {
        let mut bad = good.clone();
        for &at in &places {
            bad.graph.as_mut().unwrap().initializer[at].raw_data =
                Some(sizes.iter().flat_map(|size| size.to_le_bytes()).collect());
        }
        assert!(
            Interpreter::new(&bad.encode_to_vec()).unwrap().run(&pixels(1, 1), INPUT).is_err(),
            "{sizes:?}"
        );
    }
    // No elements, whatever the other sizes are.
    let mut none = good.clone();
    for constant in &mut none.graph.as_mut().unwrap().initializer {
        constant.dims.insert(0, 0);
        constant.raw_data = Some(Vec::new());
    }
    assert!(Interpreter::new(&none.encode_to_vec()).is_err());
}

/// A file of `bytes`, read as a model.
fn load(bytes: &[u8]) -> saliq::Result<Model> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed.safetensors");
    std::fs::write(&path, bytes).unwrap();
    Model::load(&path, &QuantizationOverrides::default())
}

#[test]
fn packed_files_give_back_every_bit() {
    proptest!(ProptestConfig::with_cases(40), |(
        (bits, quantization) in quantization(),
        seed in any::<u64>(),
    )| {
        let model = random_model(network(), &bits, quantization, seed);
        let deployed = DeployableModel::new(&model).unwrap();
        let packed = packed_file(&model).unwrap();
        let read = load(&packed).unwrap();
        let again = DeployableModel::new(&read).unwrap();
        for (layer, other) in deployed.layers.iter().zip(&again.layers) {
            let both = (layer.operation.weights(), other.operation.weights());
            let (Some(weights), Some(others)) = both else {
                prop_assert_eq!(&layer.operation, &other.operation);
                continue;
            };
            prop_assert_eq!(&weights.levels, &others.levels);
            let values = weights.values().into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let name = format!("{}.weight", layer.name);
            let stored = &read.parameters[read.graph.layout.find(&name).unwrap().range()];
            prop_assert_eq!(values, stored.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
            prop_assert_eq!(&weights.bias, &others.bias);
        }
        prop_assert_eq!(packed_file(&read).unwrap(), &packed[..]);
        // All but the header is what `saliq cost` counts.
        let header = 8 + u64::from_le_bytes(packed[..8].try_into().unwrap());
        let cost = Cost::new(&read.config.network, &read.config.quantization).unwrap();
        prop_assert_eq!(packed.len() as u64 - header, cost.packed_bytes);
    });
}

/// Batch norms behind concatenations and sums, which no weights take in, and slopes.
#[test]
fn packed_files_keep_what_is_not_folded() {
    let text = r#"
        input = [3, 7, 5]
        classes = 4
        layers = [
            { type = "conv", name = "conv1", out-channels = 4, kernel = 3, padding = 1 },
            { type = "conv", name = "conv2", out-channels = 3, kernel = 1 },
            { type = "concat", name = "both", inputs = ["conv1", "conv2"] },
            { type = "batch-norm", name = "bn1" },
            { type = "activation", name = "act1" },
            { type = "conv", name = "conv3", out-channels = 4, kernel = 3, padding = 1 },
            { type = "add", name = "sum", inputs = ["conv1", "conv3"] },
            { type = "batch-norm", name = "bn2" },
            { type = "activation", name = "act2", kind = "prelu", per-channel = true },
            { type = "linear", name = "fc1", out-features = 4 },
        ]"#;
    let model = random_model(toml::from_str(text).unwrap(), "w4a4", Default::default(), 7);
    let packed = packed_file(&model).unwrap();
    let read = load(&packed).unwrap();
    for name in ["bn1.num_batches_tracked", "bn2.running_var", "act2.weight"] {
        let of = |model: &Model| {
            model.parameters[model.graph.layout.find(name).unwrap().range()].to_vec()
        };
        assert_eq!(of(&model), of(&read), "{name}");
    }
    let layers = |model: &Model| DeployableModel::new(model).unwrap().layers.len();
    assert_eq!(layers(&model), layers(&read));
    assert_eq!(packed_file(&read).unwrap(), packed);
}

#[test]
fn damaged_packed_files_are_errors_or_levels() {
    let quantization = QuantizationConfig {
        weight_quant: WeightQuantizer::Symmetric,
        per_channel: true,
        ..Default::default()
    };
    let good = packed_file(&random_model(network(), "w3a4,w2a4,w8a8", quantization, 5)).unwrap();
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    proptest!(ProptestConfig::with_cases(300), |(
        at in 0..good.len(),
        flip in 1u8..=255,
        cut in 0u8..4,
        early in any::<bool>(),
    )| {
        let mut bad = good.clone();
        let at = if early { at % (8 + header) } else { at };
        bad[at] ^= flip;
        if cut == 0 { bad.truncate(at); }
        if let Ok(model) = load(&bad) {
            let _ = DeployableModel::new(&model);
        }
    });
    // In the description itself.
    let edit = |from: &str, to: &str| {
        let text = String::from_utf8(good[8..8 + header].to_vec()).unwrap();
        assert!(text.contains(from) && from.len() == to.len(), "{from} in {text}");
        load(&[&good[..8], text.replacen(from, to, 1).as_bytes(), &good[8 + header..]].concat())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    for (from, to, says) in [
        (r#"\"version\":1"#, r#"\"version\":2"#, "version 2"),
        (r#"\"bits\":3"#, r#"\"bits\":9"#, "9 bits"),
        (r#"\"bits\":3"#, r#"\"bits\":4"#, "bytes where"),
        (r#"\"lowest\":-3"#, r#"\"lowest\":-9"#, "levels"),
        (r#"\"highest\":3"#, r#"\"highest\":0"#, "beyond the highest"),
        (r#"\"spacing\":1"#, r#"\"spacing\":0"#, "0 apart"),
        ("conv1.weight_scale", "conv1.weight_scold", "conv1.weight_scale"),
    ] {
        let error = edit(from, to);
        assert!(error.contains(says), "{to}: {error}");
    }
    // Symmetric weights of 3 bits have seven levels: an eighth code is none.
    let mut bad = good.clone();
    let weights = Tensors::of(&good).place("conv1.weight_packed");
    bad[8 + header + weights.start] = 0xff;
    assert!(load(&bad).unwrap_err().to_string().contains("beyond the highest"));
}

/// The program: every MODEL argument takes a packed file; `cost` knows its size.
#[test]
fn packed_files_are_models() {
    let folder = tempfile::tempdir().unwrap();
    let [path, packed, again, plain] = ["model", "packed", "again", "plain"]
        .map(|name| folder.path().join(format!("{name}.safetensors")));
    let layers = vec![
        conv("conv1", 6, [3, 2, 0]),
        norm("bn1"),
        activation("act1"),
        LayerConfig::max_pool(2, 2),
        linear("fc1", 10),
    ];
    let network = NetworkConfig { input: Shape::new(1, 28, 28), classes: 10, layers };
    let quantization =
        QuantizationConfig { weight_quant: WeightQuantizer::Affine, ..Default::default() };
    let model = random_model(network, "w3a4,w4a32", quantization, 11);
    Model::save(&path, &model.config, &model.graph.layout, &model.parameters).unwrap();

    let said = json(&["export", text(&path), "--format", "packed", "--out", text(&packed)]);
    let size = std::fs::metadata(&packed).unwrap().len();
    assert_eq!((said["bytes"].as_u64(), &said["folded"][0]), (Some(size), &"bn1".into()));
    for subject in [&path, &packed] {
        let cost = json(&["cost", text(subject)]);
        assert_eq!(cost["packed_file_bytes"].as_u64(), Some(size), "{subject:?}");
    }
    json(&["export", text(&packed), "--format", "packed", "--out", text(&again)]);
    assert!(std::fs::read(&packed).unwrap() == std::fs::read(&again).unwrap());

    let eval = |path: &std::path::Path, more: &[&str]| {
        json(&[&["eval", text(path), "--count", "40"], more].concat())
    };
    let (expected, found) = (eval(&path, &[]), eval(&packed, &[]));
    assert_eq!(expected["confusion"], found["confusion"]);
    let loss = |evaluation: &serde_json::Value| evaluation["loss"].as_f64().unwrap();
    assert!(
        (loss(&expected) - loss(&found)).abs() < 1e-6 * loss(&expected),
        "{} {}",
        loss(&expected),
        loss(&found)
    );
    // As a state_dict the weights are on their levels still.
    json(&["export", text(&packed), "--out", text(&plain)]);
    assert_eq!(eval(&plain, &[]), found);
    // Training goes on from the values.
    let settings = folder.path().join("settings.toml");
    let layers = r#"[
        { type = "conv", name = "conv1", out-channels = 6, kernel = 3, stride = 2 },
        { type = "activation", name = "act1" },
        { type = "max-pool", kernel = 2, stride = 2 },
        { type = "linear", name = "fc1", out-features = 10 },
    ]"#;
    std::fs::write(
        &settings,
        format!(
            "sgt = false\nlr = 1e-30\nsteps = 1\ntrain-limit = 8\n[network]\nlayers = {layers}"
        ),
    )
    .unwrap();
    let run = folder.path().join("run");
    succeed(&[
        "train",
        "--config",
        text(&settings),
        "--dataset",
        "mnist-mini",
        "--init",
        text(&packed),
        "--out",
        text(&run),
        "--quiet",
    ]);
    let [before, after] = [&plain, &run.join("model.safetensors")]
        .map(|path| Tensors::open(path).f32("conv1.weight"));
    assert!(
        before.len() == after.len()
            && before.iter().zip(&after).all(|(before, after)| (before - after).abs() < 1e-20)
    );
    // Other widths quantize what is there.
    assert_ne!(loss(&eval(&packed, &["--bits", "w2a4,w2a32"])), loss(&found));
}

/// A network for the built-in digits.
fn digits() -> NetworkConfig {
    let layers = vec![
        conv("conv1", 4, [3, 2, 1]),
        norm("bn1"),
        activation("act1"),
        LayerConfig::max_pool(2, 2),
        conv("conv2", 6, [3, 2, 0]),
        activation("act2"),
        linear("fc1", 16),
        activation("act3"),
        linear("fc2", 10),
    ];
    NetworkConfig { input: Shape::new(1, 28, 28), classes: 10, layers }
}

fn checked(model: &Model, written: Written) -> Verification {
    let dataset = mini();
    let mut split = dataset.test.clone();
    split.truncate(10, dataset.shape);
    let images = (&split, dataset.shape);
    pollster::block_on(verify(
        gpu(),
        model,
        written,
        images,
        model.config.normalize.unwrap(),
        &mut |_| {},
    ))
    .unwrap()
}

/// All formats of `model`, checked against `original`.
fn checked_in_every_format(original: &Model, model: &Model) -> Vec<(&'static str, Verification)> {
    let header = c_header(&DeployableModel::new(model).unwrap(), "digits").unwrap();
    let tensors = Model::tensors(&model.graph.layout, &model.parameters);
    let plain =
        TensorFile::to_bytes(&tensors, &[(METADATA_KEY, model.config.to_metadata())]).unwrap();
    let onnx =
        |input| bytes(model, &OnnxOptions { input, four_bits: true, ..OnnxOptions::default() });
    vec![
        ("onnx", checked(original, Written::Onnx(&onnx(OnnxInput::Image), OnnxInput::Image))),
        (
            "onnx, normalized",
            checked(original, Written::Onnx(&onnx(OnnxInput::Normalized), OnnxInput::Normalized)),
        ),
        ("packed", checked(original, Written::Model(&packed_file(model).unwrap()))),
        ("safetensors", checked(original, Written::Model(&plain))),
        ("c", checked(original, Written::C(&header.text, "digits"))),
    ]
}

/// Asserts that the files of `model` pass in every format, with all images compared and the levels
/// of `quantized` activations decided. Returns what was found.
#[track_caller]
fn is_right_in_every_format(
    what: &str,
    model: &Model,
    quantized: usize,
) -> Vec<(&'static str, Verification)> {
    let found = checked_in_every_format(model, model);
    for (format, verification) in &found {
        let what = format!("{what} {format}: {verification:?}");
        assert_eq!(verification.failure(), None, "{what}");
        let counts = (verification.compared, verification.layers.len());
        assert_eq!(counts, (10, quantized), "{what}");
        let is_decided =
            |layer: &LayerVerification| layer.levels > 0 && layer.near * 50 < layer.levels;
        assert!(verification.layers.iter().all(is_decided), "{what}");
        assert!(verification.largest_difference < 1e-5, "{what}");
    }
    found
}

/// Asserts that files of `wrong` are not taken for those of `model` in any format.
#[track_caller]
fn is_wrong_in_every_format(what: &str, model: &Model, wrong: &Model) {
    for (format, verification) in checked_in_every_format(model, wrong) {
        assert!(verification.failure().is_some(), "{what} {format}: {verification:?}");
    }
}

/// Every quantizer, 8, 4 and 2 bits, float: no image is left out, and no right file fails.
#[test]
fn right_files_pass_with_every_image_compared() {
    use PactKind::{Signed, SignedAfterRelu, Unsigned};
    use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
    let cases = [
        ("32", Sawb, Unsigned, false, 0),
        ("8", Sawb, Unsigned, false, 2),
        ("8,8,8,8", Symmetric, Signed, true, 3),
        ("4,4,w32a4", Affine, SignedAfterRelu, true, 3),
        ("2,2", Lsq, Unsigned, false, 2),
        ("w32a8,8,w8a32,8", Dorefa, Unsigned, true, 2),
        ("w1a3,w1a2,w1a8", Binary, Unsigned, false, 3),
    ];
    for (bits, weight_quant, pact, per_channel, quantized) in cases {
        let quantization =
            QuantizationConfig { weight_quant, pact, per_channel, ..Default::default() };
        let model = random_model(digits(), bits, quantization, 3);
        let what = format!("{bits} {weight_quant:?}");
        for (format, verification) in is_right_in_every_format(&what, &model, quantized) {
            let counts = (verification.images, verification.compared, verification.undecided);
            assert_eq!(counts, (10, 10, 0), "{what} {format}: {verification:?}");
        }
    }
}

/// Levels with zero points, without a ReLU and behind one.
#[test]
fn offsets_is_right_in_every_format() {
    for (bits, pact, quantized) in [
        ("8", PactKind::Signed, 2),
        ("4,4,w32a4", PactKind::Signed, 3),
        ("4,2,w4a1", PactKind::Unsigned, 3),
    ] {
        let act_quant = ActivationQuantizer::LsqPlus;
        let quantization = QuantizationConfig { act_quant, pact, ..Default::default() };
        let model = random_model(digits(), bits, quantization, 3);
        is_right_in_every_format(bits, &model, quantized);
        // A wrong offset is another network.
        let mut wrong = model.clone();
        let own = wrong.graph.layout.find("act1.offset").unwrap().offset as usize;
        wrong.parameters[own] -=
            2.0 * wrong.parameters[wrong.graph.layout.find("act1.step").unwrap().offset as usize];
        is_wrong_in_every_format(bits, &model, &wrong);
    }
}

/// Residual blocks: what goes round them, a projection, three terms.
#[test]
fn sums_is_right_in_every_format() {
    let add = LayerConfig::add;
    let layers = vec![
        conv("conv1", 6, [5, 2, 0]),
        activation("act1"),
        conv("conv2", 6, [3, 1, 1]),
        norm("bn1"),
        add("add1", &["bn1", "act1"]),
        activation("act2"),
        conv("conv3", 8, [3, 2, 1]),
        conv("short", 8, [1, 2, 0]).reading(&["act2"]),
        add("add2", &["conv3", "short", "short"]),
        activation("act3"),
        linear("fc1", 10),
    ];
    let network = NetworkConfig { input: Shape::new(1, 28, 28), classes: 10, layers };
    for (bits, pact, quantized) in [
        ("32", PactKind::Unsigned, 0),
        ("8,8,8,w8a32,w8a32", PactKind::Unsigned, 3),
        ("4,4,4,w4a32,w32a32", PactKind::Signed, 3),
    ] {
        let quantization = QuantizationConfig { pact, ..Default::default() };
        let model = random_model(network.clone(), bits, quantization, 3);
        is_right_in_every_format(bits, &model, quantized);
        // Another projection is another network.
        let mut wrong = model.clone();
        let own = wrong.graph.layout.find("short.weight").unwrap().range();
        wrong.parameters[own].iter_mut().for_each(|weight| *weight *= -1.0);
        is_wrong_in_every_format(bits, &model, &wrong);
    }
}

/// Average-pools of pixels, levels and floats, of every kind.
#[test]
fn average_pools_is_right_in_every_format() {
    let average = |kernel, stride, [ceil_mode, count_include_pad]: [bool; 2]| {
        let padding = kernel / 2;
        LayerConfig::average_pool(AveragePool {
            window: [kernel, stride, padding].into(),
            ceil_mode,
            count_include_pad,
        })
    };
    let layers = vec![
        average(2, 2, [true, true]),
        conv("conv1", 4, [3, 1, 1]),
        activation("act1"),
        average(3, 2, [true, true]),
        conv("conv2", 6, [3, 2, 0]),
        average(2, 1, [false, false]),
        activation("act2"),
        linear("fc1", 16),
        activation("act3"),
        average(1, 1, [false, true]),
        linear("fc2", 10),
    ];
    let network = NetworkConfig { input: Shape::new(1, 28, 28), classes: 10, layers };
    for (bits, pact, quantized) in [
        ("32", PactKind::Unsigned, 0),
        ("4,4,8", PactKind::Unsigned, 3),
        ("8,w4a8,4,4", PactKind::Signed, 3),
    ] {
        let quantization = QuantizationConfig { pact, ..Default::default() };
        let model = random_model(network.clone(), bits, quantization, 3);
        is_right_in_every_format(bits, &model, quantized);
    }
}

/// The program: an average-pool in a file of layers, trained, explained, written and run on levels.
#[test]
fn a_network_with_average_pools_goes_all_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let [config, run, out] =
        ["network.toml", "run", "written"].map(|name| folder.path().join(name));
    let layers = r#"[network]
layers = [
    { type = "conv", name = "conv1", out-channels = 8, kernel = 3, stride = 2 },
    { type = "activation", name = "act1" },
    { type="average-pool", kernel=3, stride=2, padding=1, ceil-mode=true, count-include-pad=false },
    { type = "conv", name = "conv2", out-channels = 16, kernel = 3, padding = 1 },
    { type = "activation", name = "act2" },
    { type = "average-pool", kernel = 2 },
    { type = "linear", name = "fc1", out-features = 10 },
]
"#;
    let settings = "train-limit = 1000\ntest-limit = 100\nbatch-size = 50\nepochs = 4\n\
                    optimizer = \"adam\"\nlr = 0.01\nbits = \"4,4\"\n";
    std::fs::write(&config, format!("{settings}{layers}")).unwrap();
    let files = ["--config", text(&config), "--dataset", "mnist-mini", "--out", text(&run)];
    let trained = json(&[&["train"], &files[..]].concat());
    assert!(trained["accuracy"].as_f64().unwrap() > 0.7, "{trained}");
    for format in ["onnx", "c", "packed"] {
        let export =
            ["export", text(&run), "--format", format, "--out", text(&out), "--verify", "12"];
        let said = json(&export);
        assert_eq!(said["verification"]["compared"], 12, "{said}");
        assert_eq!(said["verification"]["failed"].as_array().map(Vec::len), Some(0), "{said}");
        std::fs::remove_file(&out).unwrap();
    }
    let evaluated = json(&["eval", text(&run), "--engine", "integer", "--compare-levels"]);
    assert_eq!(evaluated["agreement"]["predictions_different"], 0, "{evaluated}");
    for layer in evaluated["agreement"]["layers"].as_array().unwrap() {
        assert_eq!(layer["unexplained"], 0, "{evaluated}");
    }
    let maps = folder.path().join("maps");
    let methods = "gradient,deeplift,lrp,grad-cam,guided-backprop,integrated-gradients";
    succeed(&["explain", text(&run), "--method", methods, "--out", text(&maps)]);
}

/// A file that is not the model's fails in every format, whichever number is wrong.
#[test]
fn wrong_files_fail_in_every_format() {
    for (bits, pact) in [
        ("8", PactKind::Unsigned),
        ("4,4,4,4", PactKind::Signed),
        ("2,2", PactKind::Unsigned),
        ("32", PactKind::Unsigned),
    ] {
        let model =
            random_model(digits(), bits, QuantizationConfig { pact, ..Default::default() }, 3);
        let scaled = |name: &str, factor: f32| {
            let mut wrong = model.clone();
            let range =
                wrong.graph.layout.find(name).unwrap_or_else(|| panic!("no {name}")).range();
            wrong.parameters[range].iter_mut().for_each(|value| *value *= factor);
            wrong
        };
        // Few levels hide small changes.
        let factor = if bits == "2,2" { 1.5 } else { 1.02 };
        let mut normalized = model.clone();
        let (mean, deviation) = normalized.config.normalize.unwrap().channel(0);
        normalized.config.normalize = Some(PixelNormalization::uniform(mean + 0.02, deviation));
        let mut swapped = model.clone();
        for (name, size) in [("fc2.weight", 16), ("fc2.bias", 1)] {
            let start = swapped.graph.layout.find(name).unwrap().range().start;
            for at in start..start + size {
                swapped.parameters.swap(at, at + 3 * size);
            }
        }
        let mut wrong = vec![
            ("normalisation", normalized),
            ("classes", swapped),
            ("weights", scaled("conv2.weight", factor)),
            ("batch norm", scaled("bn1.running_var", factor * factor)),
        ];
        if bits != "32" {
            wrong.push(("clipping", scaled("act1.alpha", factor)));
        }
        for (what, wrong) in wrong {
            for (format, verification) in checked_in_every_format(&model, &wrong) {
                // The graph that takes normalised pixels has no constants of the normalisation.
                if (what, format) == ("normalisation", "onnx, normalized") {
                    continue;
                }
                assert!(
                    verification.failure().is_some(),
                    "{bits} {what} {format}: {verification:?}"
                );
            }
        }
    }
}

/// One number of the bytes themselves.
#[test]
fn wrong_constants_of_a_graph_fail() {
    let model = random_model(digits(), "8", QuantizationConfig::default(), 3);
    let good = onnx_model(&DeployableModel::new(&model).unwrap(), &OnnxOptions::default());
    for (name, factor) in [
        ("deviation", 1.01),
        ("conv1.weight/scale", 1.01),
        ("act2/scale", 0.99),
        ("fc2.bias", 1.01),
    ] {
        let mut bad = good.clone();
        let constants = &mut bad.graph.as_mut().unwrap().initializer;
        let tensor = constants
            .iter_mut()
            .find(|tensor| tensor.name() == name)
            .unwrap_or_else(|| panic!("no {name}"));
        let values =
            tensor.raw_data().as_chunks().0.iter().map(|&bytes| factor * f32::from_le_bytes(bytes));
        tensor.raw_data = Some(values.flat_map(f32::to_le_bytes).collect());
        let verification = checked(&model, Written::Onnx(&bad.encode_to_vec(), OnnxInput::Image));
        assert!(verification.failure().is_some(), "{name}: {verification:?}");
    }
}

/// The program: what it says, and that a file which cannot be verified, or is wrong, is not left
/// behind.
#[test]
fn export_verifies_what_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("model.safetensors"), folder.path().join("written.h"));
    let model = random_model(digits(), "8", QuantizationConfig::default(), 3);
    Model::save(&path, &model.config, &model.graph.layout, &model.parameters).unwrap();
    for format in ["onnx", "c", "packed", "safetensors"] {
        let export =
            ["export", text(&path), "--format", format, "--out", text(&out), "--verify", "12"];
        let said = json(&export);
        let verification = &said["verification"];
        assert_eq!(
            (&verification["images"], &verification["compared"], &verification["undecided"]),
            (&12.into(), &12.into(), &0.into())
        );
        assert_eq!(verification["failed"].as_array().map(Vec::len), Some(0), "{verification}");
        assert_eq!(said["bytes"].as_u64(), Some(std::fs::metadata(&out).unwrap().len()));
        std::fs::remove_file(&out).unwrap();
    }
    let said =
        succeed(&["export", text(&path), "--format", "c", "--out", text(&out), "--verify", "3"]);
    assert!(said.contains("verified: 3 of 3 images compared"), "{said}");
    std::fs::remove_file(&out).unwrap();
    let export = ["export", text(&path), "--format", "c", "--out", text(&out), "--verify", "3"];
    let without = support::saliq().args(export).env("CC", "no-such-compiler").output().unwrap();
    let error = support::failure(&without, 1);
    assert!(error.contains("no-such-compiler") && error.contains("CC"), "{error}");
    assert!(!out.exists());

    let table1 = golden("table1");
    let out = text(&out);
    assert!(
        refused(2, &["export", text(&table1), "--int4", "--out", out]).contains("--format onnx")
    );
    assert!(
        refused(2, &["export", text(&table1), "--format", "tflite", "--out", out]).contains("onnx")
    );
}

/// A compiler that makes something else of the header than is written there.
#[cfg(unix)]
#[test]
fn a_header_that_computes_something_else_is_not_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let [path, out, compiler] =
        ["model.safetensors", "written.h", "compiler"].map(|name| folder.path().join(name));
    let model = random_model(digits(), "4,4", QuantizationConfig::default(), 3);
    Model::save(&path, &model.config, &model.graph.layout, &model.parameters).unwrap();
    let script = "#!/bin/sh\n\
                  sed -i 's/ product = x \\* multiplier,/ product = x * multiplier * 1.02f,/' \
                  model.h\nexec cc \"$@\"\n";
    std::fs::write(&compiler, script).unwrap();
    std::fs::set_permissions(&compiler, std::fs::Permissions::from_mode(0o755)).unwrap();
    let export = ["export", text(&path), "--format", "c", "--out", text(&out), "--verify", "3"];
    let output = support::saliq().args(export).env("CC", &compiler).output().unwrap();
    let error = support::failure(&output, 1);
    assert!(error.contains("differ") && error.contains("was not written"), "{error}");
    assert!(!out.exists());
}

/// docs/python.md names the tensors of the files, with their types and shapes, as they are.
/// (`tests/python_recipe.py` runs its code.)
#[test]
fn the_python_page_names_what_the_files_have() {
    let page = include_str!("../../docs/python.md");
    let folder = tempfile::tempdir().unwrap();
    // Layers with parameters: `("conv1", nn.Conv2d(1, 32, 3)),`.
    let mut expected = Vec::new();
    for line in page.lines() {
        let Some((name, kind)) =
            line.trim().strip_prefix("(\"").and_then(|line| line.split_once("\", nn."))
        else {
            continue;
        };
        let Some((kind, numbers)) = kind.split_once('(') else { continue };
        let numbers: Vec<usize> = numbers
            .trim_end_matches([')', ','])
            .split(", ")
            .filter_map(|number| number.parse().ok())
            .collect();
        let shape = match (kind, &numbers[..]) {
            ("Conv2d", &[input, output, kernel]) => vec![output, input, kernel, kernel],
            ("Linear", &[input, output]) => vec![output, input],
            _ => continue,
        };
        expected.push((format!("{name}.bias"), vec![shape[0]]));
        expected.push((format!("{name}.weight"), shape));
    }
    expected.sort();
    let table_one = random_model(
        NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.25, 0.5]),
        "32",
        QuantizationConfig::default(),
        1,
    );
    let path = folder.path().join("model.safetensors");
    Model::save(&path, &table_one.config, &table_one.graph.layout, &table_one.parameters).unwrap();
    let found: Vec<_> =
        Tensors::open(&path).contents().into_iter().map(|(name, _, shape)| (name, shape)).collect();
    assert_eq!(found, expected);

    // Attributions: `arrays["images"]  # float32 [N, C, H, W], …`.
    let out = folder.path().join("maps");
    succeed(&["explain", text(&path), "--method", "gradient", "--count", "2", "--out", text(&out)]);
    let mut named = Vec::new();
    for line in page.lines().filter(|line| !line.contains("\"model.")) {
        let Some((name, comment)) =
            line.split_once("= arrays[\"").and_then(|(_, rest)| rest.split_once("\"]"))
        else {
            continue;
        };
        let comment = comment.trim().strip_prefix("# ").unwrap_or_else(|| panic!("{line}"));
        let (dtype, shape) = comment.split_once(" [").unwrap();
        let sizes = shape.split_once(']').unwrap().0.split(", ").map(|size| match size {
            "N" => 2,
            "C" => 1,
            "H" | "W" => 28,
            "classes" => 10,
            other => panic!("{other} in {line}"),
        });
        let dtype =
            if dtype == "int64" { safetensors::Dtype::I64 } else { safetensors::Dtype::F32 };
        named.push((name.to_string(), dtype, sizes.collect::<Vec<usize>>()));
    }
    named.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(Tensors::open(&out.join("attributions.safetensors")).contents(), named);
    // The metadata that the page reads.
    let read = Model::load(&path, &QuantizationOverrides::default()).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&read.config.to_metadata()).unwrap();
    assert!(metadata["normalize"]["mean"].is_f64() && metadata["normalize"]["deviation"].is_f64());
}
