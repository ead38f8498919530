//! saliq's numbers against those of an independent PyTorch twin in float64 (`goldens/README.md`).

use saliq::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{
        DatasetInfo, LayerConfig, MaskFill, MaskRank, NetworkConfig, PartialRunConfig,
        QuantizationConfig, QuantizationOverrides, SgtConfig, Shape, WeightQuantizer, resolve,
    },
    gpu::Recording,
    kernels::Scalar,
    layout::{StepRecord, groups, padded, to_nchw},
    model::Model,
    nn::{Gradients, Network, NetworkOptions, Optimizer},
    sgt::{Losses, Masking, Metrics, record_loss, record_saliency_seed},
    train::{Schedule, Start, Trainer},
};

use crate::{
    common::{Silent, assert_close, assert_images_close, gpu, read},
    support::{MNIST, NORMALIZATION, Tensors, golden, mnist_like, root, run_config},
};

/// Weight quantizers with their names in the golden files.
const QUANTIZERS: [(&str, WeightQuantizer); 3] = [
    ("sawb", WeightQuantizer::Sawb),
    ("affine", WeightQuantizer::Affine),
    ("dorefa", WeightQuantizer::Dorefa),
];

/// The network of Table I with the golden parameters; with a quantizer at bits (4,2) and these α's.
fn table_one(quantizer: Option<(WeightQuantizer, [f32; 2])>) -> Model {
    let overrides = match quantizer {
        None => QuantizationOverrides::default(),
        Some((weight_quant, _)) => QuantizationOverrides {
            bits: Some("4,2".parse().unwrap()),
            weight_quant: Some(weight_quant),
            ..QuantizationOverrides::default()
        },
    };
    let mut model = Model::load(&golden("table1"), &overrides).unwrap();
    for (name, alpha) in
        ["act1.alpha", "act2.alpha"].iter().zip(quantizer.map_or([0.0; 2], |(_, alphas)| alphas))
    {
        if let Some(parameter) = model.graph.layout.find(name) {
            model.parameters[parameter.offset as usize] = alpha;
        }
    }
    model
}

/// A network with the golden images after its forward pass.
struct Pass {
    network: Network,
    batch: Batch,
    count: u32,
}

impl Pass {
    fn new(model: &Model, tensors: &Tensors, count: usize) -> Pass {
        let mut split = tensors.split();
        split.truncate(count, MNIST);
        let data = ResidentData::new(gpu(), &split, MNIST).unwrap();
        let options = NetworkOptions {
            slots: 2 * data.count,
            training: false,
            gradients: true,
            ..NetworkOptions::default()
        };
        let network =
            Network::new(gpu(), &model.config.network, &model.config.quantization, options)
                .unwrap();
        gpu().write(network.parameters(), 0, &model.parameters);
        let batch = Batch::new(gpu(), data.count, true, 1).unwrap();
        let count = data.count;
        batch.write_table(
            gpu(),
            &[StepRecord { count, batch: count, epoch_images: count, ..StepRecord::default() }],
        );
        let gather = GatherOptions::in_file_order(NORMALIZATION);
        let mut recording = Recording::new();
        network.record_weights(gpu(), &mut recording).unwrap();
        batch.record_begin(gpu(), &mut recording).unwrap();
        batch.record_gather(gpu(), &mut recording, &data, &gather, network.input()).unwrap();
        network.record_forward(gpu(), &mut recording, batch.clean(), None).unwrap();
        recording.submit(gpu()).unwrap();
        Pass { network, batch, count }
    }

    /// [image, class], without padding.
    fn logits(&self) -> Vec<f32> {
        let stride = padded(self.network.classes()) as usize;
        let rows = read::<f32>(self.network.logits(), self.count as usize * stride);
        rows.chunks_exact(stride)
            .flat_map(|row| &row[..self.network.classes() as usize])
            .copied()
            .collect()
    }

    /// ∂ scalar / ∂X, [image, channel, row, column].
    fn input_gradient(&self, scalar: Scalar) -> Vec<f32> {
        let mut recording = Recording::new();
        record_saliency_seed(
            gpu(),
            &mut recording,
            &self.network,
            self.batch.clean(),
            &self.batch.labels,
            scalar,
        )
        .unwrap();
        let gradient = self
            .network
            .record_backward(gpu(), &mut recording, self.batch.clean(), None, Gradients::Input)
            .unwrap();
        recording.submit(gpu()).unwrap();
        nchw(gradient.buffer(), self.network.input_shape(), self.count)
    }
}

/// The first `count` images of an activation buffer.
fn nchw(buffer: &saliq::gpu::Buffer, shape: Shape, count: u32) -> Vec<f32> {
    to_nchw(
        &read::<f32>(buffer, (count * shape.pixels() * groups(shape.channels) * 4) as usize),
        shape,
    )
}

#[test]
fn float_forward_and_input_gradients() {
    let tensors = Tensors::golden("forward");
    let pass = Pass::new(&table_one(None), &tensors, 16);
    let table = tensors.f32("normalized_pixels");
    let pixels: Vec<f64> =
        tensors.u8("images").iter().map(|&byte| f64::from(table[usize::from(byte)])).collect();
    assert_images_close(
        "normalised images",
        &nchw(pass.network.input(), MNIST, 16),
        &pixels,
        16,
        2e-7,
    );
    let logits = pass.logits();
    assert_images_close("logits", &logits, &tensors.f64("float.logits_f64"), 16, 1e-5);
    let predicted: Vec<i64> = logits
        .chunks_exact(10)
        .map(|row| {
            row.iter()
                .enumerate()
                .fold((0, f32::MIN), |best, (class, &x)| if x > best.1 { (class, x) } else { best })
                .0
        })
        .map(|class| class as i64)
        .collect();
    assert_eq!(predicted, tensors.i64("float.predicted"));
    for (name, scalar) in [
        ("log_softmax", Scalar::LogSoftmaxLabel),
        ("label", Scalar::LogitLabel),
        ("predicted", Scalar::LogitPredicted),
    ] {
        let expected = tensors.f64(&format!("float.grad_{name}_f64"));
        assert_images_close(name, &pass.input_gradient(scalar), &expected, 16, 1e-4);
    }
}

#[test]
fn quantized_forward_and_input_gradients() {
    let tensors = Tensors::golden("forward");
    for (name, quantizer) in QUANTIZERS {
        let alphas = ["act1", "act2"].map(|layer| tensors.f32(&format!("{name}.{layer}.alpha"))[0]);
        let pass = Pass::new(&table_one(Some((quantizer, alphas))), &tensors, 16);
        for (layer, out_channels, in_channels) in [("conv1", 32, 1), ("conv2", 64, 32)] {
            let (_, _, buffer) =
                pass.network.layer_weights().find(|(found, ..)| *found == layer).unwrap();
            // [tap, in (padded), out] to PyTorch's [out, in, tap].
            let stored = read::<f32>(buffer, 9 * padded(in_channels) as usize * out_channels);
            let at = |out: usize, input: usize, tap: usize| {
                stored[(tap * padded(in_channels) as usize + input) * out_channels + out]
            };
            let weights: Vec<f32> = (0..out_channels)
                .flat_map(|out| {
                    (0..in_channels as usize)
                        .flat_map(move |input| (0..9).map(move |tap| (out, input, tap)))
                })
                .map(|(out, input, tap)| at(out, input, tap))
                .collect();
            let expected: Vec<f64> = tensors
                .f32(&format!("{name}.{layer}.weight_quantized"))
                .into_iter()
                .map(f64::from)
                .collect();
            assert_close(&format!("{name} {layer} weights"), &weights, &expected, 1e-6);
        }
        for ((layer, shape, steps), alpha) in
            [("act1", Shape::new(32, 26, 26), 15.0), ("act2", Shape::new(64, 24, 24), 3.0)]
                .into_iter()
                .zip(alphas)
        {
            let (_, found, buffer) =
                pass.network.activations().find(|(found, ..)| *found == layer).unwrap();
            assert_eq!(found, shape);
            let levels = nchw(buffer, shape, 8).into_iter().map(|value| {
                let level = f64::from(value) * steps / f64::from(alpha);
                assert!(
                    (level - level.round()).abs() < 1e-4,
                    "{name} {layer}: {value} is between two levels"
                );
                level.round() as u8
            });
            let expected = tensors.u8(&format!("{name}.{layer}.levels"));
            let differing =
                levels.zip(&expected).filter(|(level, expected)| level != *expected).count();
            assert_eq!(differing, 0, "{name} {layer}: levels that differ, of {}", expected.len());
        }
        assert_images_close(
            name,
            &pass.logits(),
            &tensors.f64(&format!("{name}.logits_f64")),
            16,
            1e-5,
        );
        for (target, scalar) in
            [("log_softmax", Scalar::LogSoftmaxLabel), ("label", Scalar::LogitLabel)]
        {
            let expected = tensors.f64(&format!("{name}.grad_{target}_f64"));
            assert_images_close(
                &format!("{name} {target}"),
                &pass.input_gradient(scalar),
                &expected,
                16,
                1e-4,
            );
        }
    }
}

/// Largest allowed differences of a run.
struct Tolerances {
    /// Relative, for each step's cross entropy.
    ce: f64,
    /// Absolute, for each step's KL term.
    kl: f64,
    /// For each tensor's change over the run, relative to the norm of the reference's change.
    change: f64,
}

/// Ten SGT steps of the golden file `name` through the [`Trainer`], and the first step's mask.
fn ten_steps(name: &str, quantizer: Option<(WeightQuantizer, &str)>, tolerances: &Tolerances) {
    let tensors = Tensors::golden(name);
    let rate = tensors.made()["learning_rate"].as_f64().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let alphas = quantizer
        .map(|(kind, _)| (kind, ["act1.alpha", "act2.alpha"].map(|alpha| tensors.f32(alpha)[0])));
    let model = table_one(alphas);
    let init = folder.path().join("start.safetensors");
    Model::save(&init, &model.config, &model.graph.layout, &model.parameters).unwrap();

    first_mask(&model, &tensors, tolerances);

    let mut test = tensors.split();
    test.truncate(12, MNIST);
    let dataset = mnist_like(tensors.split(), test);
    let bits = quantizer
        .map_or(String::new(), |(_, name)| format!("bits = \"4,2\"\nweight-quant = \"{name}\"\n"));
    let settings = format!(
        "init = {init:?}\n\
         {bits}batch-size = 12\n\
         steps = 10\n\
         no-shuffle = true\n\
         optimizer = \"momentum\"\n\
         momentum = 0.9\n\
         lr = {rate:?}\n\
         lambda = 1\nmask-ratio = 0.5\nmask-rank = \"signed\"\nmask-fill = \"corner\"\n"
    );
    let config = run_config(&settings, &dataset, &folder.path().join("run"));
    let mut trainer = Trainer::new(gpu(), &config, &dataset).unwrap();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
    assert_eq!(outcome.steps.len(), 10);
    let [ce, kl, accuracy] = ["ref_ce", "ref_kl", "ref_accuracy"].map(|list| tensors.f64(list));
    for (index, line) in outcome.steps.iter().enumerate() {
        let step = format!("{name} step {}", index + 1);
        assert!(
            (line.ce - ce[index]).abs() <= tolerances.ce * ce[index],
            "{step}: CE {} for {}",
            line.ce,
            ce[index]
        );
        assert!(
            (line.kl - kl[index]).abs() <= tolerances.kl,
            "{step}: KL {} for {}",
            line.kl,
            kl[index]
        );
        assert!((line.loss - (line.ce + line.kl)).abs() < 1e-6, "{step}: loss {}", line.loss);
        if index == 0 {
            assert!(
                (line.accuracy - accuracy[0]).abs() < 1e-9,
                "{step}: accuracy {}",
                line.accuracy
            );
        }
    }
    let parameters = pollster::block_on(trainer.parameters()).unwrap();
    let indices = tensors.i64("fc1.weight.indices");
    for parameter in &model.graph.layout.parameters {
        let all: Vec<f32> = parameter
            .range()
            .map(|at| (f64::from(parameters[at]) - f64::from(model.parameters[at])) as f32)
            .collect();
        let expected = tensors.f64(&format!("ref_change.{}", parameter.name));
        let changes: Vec<f32> = match parameter.name.as_str() {
            "fc1.weight" => {
                let norm = all.iter().map(|change| f64::from(*change).powi(2)).sum::<f64>().sqrt();
                let reference = tensors.f64("ref_change_norm.fc1.weight")[0];
                assert!(
                    (norm - reference).abs() <= tolerances.change * reference,
                    "{name} fc1.weight: norm {norm} for {reference}"
                );
                indices.iter().map(|&index| all[index as usize]).collect()
            }
            _ => all,
        };
        assert_close(
            &format!("{name}: change of {}", parameter.name),
            &changes,
            &expected,
            tolerances.change,
        );
    }
}

/// The input gradient and the mask of the first step's batch.
fn first_mask(model: &Model, tensors: &Tensors, tolerances: &Tolerances) {
    let pass = Pass::new(model, tensors, 12);
    let gradient = pass.input_gradient(Scalar::LogSoftmaxLabel);
    assert_images_close(
        "step 1: input gradient",
        &gradient,
        &tensors.f64("ref_step1.input_gradient"),
        12,
        tolerances.ce.min(1e-4),
    );
    let masking = Masking::new(gpu(), MNIST, 12, 0.5, MaskRank::Signed, MaskFill::Corner).unwrap();
    assert_eq!(masking.k, 392);
    let mut recording = Recording::new();
    record_saliency_seed(
        gpu(),
        &mut recording,
        &pass.network,
        pass.batch.clean(),
        &pass.batch.labels,
        Scalar::LogSoftmaxLabel,
    )
    .unwrap();
    let saliency = pass
        .network
        .record_backward(gpu(), &mut recording, pass.batch.clean(), None, Gradients::Input)
        .unwrap();
    masking.record_selection(gpu(), &mut recording, &pass.batch, saliency).unwrap();
    recording.submit(gpu()).unwrap();
    let mask = read::<u32>(&masking.mask, 12 * 784);
    let expected: Vec<u32> = tensors.u8("ref_step1.mask").into_iter().map(u32::from).collect();
    let differing = mask.iter().zip(&expected).filter(|(mask, expected)| mask != expected).count();
    assert_eq!(differing, 0, "step 1: pixels of the mask that differ");
}

#[test]
fn ten_float_steps() {
    ten_steps("sgt_float", None, &Tolerances { ce: 1e-4, kl: 1e-4, change: 5e-3 });
}

/// Two SGT steps with the weighted mean of the cross entropy, in parts.
#[test]
fn steps_with_weighted_classes() {
    let tensors = Tensors::golden("class_weights");
    let model = table_one(None);
    let mut test = tensors.split();
    test.truncate(12, MNIST);
    let dataset = mnist_like(tensors.split(), test);
    let weights = saliq::batch::inverse_frequencies(&dataset.train.labels, 10);
    for (own, golden) in weights.iter().zip(tensors.f64("weights")) {
        assert!((f64::from(*own) - golden).abs() <= 1e-6 * golden, "{own} {golden}");
    }
    let folder = tempfile::tempdir().unwrap();
    let init = folder.path().join("start.safetensors");
    Model::save(&init, &model.config, &model.graph.layout, &model.parameters).unwrap();
    let settings = format!(
        "init = {init:?}\nbatch-size = 12\nepochs = 1\nno-shuffle = true\nlr = 0.01\n\
         lambda = 1\nmask-ratio = 0.5\nmask-fill = \"corner\"\nclass-weights = \"balanced\"\n"
    );
    let config = run_config(&settings, &dataset, &folder.path().join("run"));
    let mut trainer = Trainer::in_parts(gpu(), &config, &dataset, 5).unwrap();
    let outcome = pollster::block_on(trainer.run(Start::New, &mut Silent)).unwrap();
    let [ce, kl, accuracy] = ["ce", "kl", "accuracy"].map(|list| tensors.f64(list));
    assert_eq!(outcome.steps.len(), ce.len());
    for (step, line) in outcome.steps.iter().enumerate() {
        assert!((line.ce - ce[step]).abs() <= 1e-4 * ce[step], "{step}: {}", line.ce);
        assert!((line.kl - kl[step]).abs() <= 1e-4, "{step}: {}", line.kl);
        assert!((line.loss - line.ce - line.kl).abs() < 1e-5);
        assert!((line.accuracy - accuracy[step]).abs() < 1e-9, "{step}");
    }
    let parameters = pollster::block_on(trainer.parameters()).unwrap();
    for parameter in &model.graph.layout.parameters {
        if parameter.name == "fc1.weight" {
            continue;
        }
        let changes: Vec<f32> =
            parameter.range().map(|at| parameters[at] - model.parameters[at]).collect();
        let expected = tensors.f64(&format!("change.{}", parameter.name));
        let what = format!("change of {}", parameter.name);
        assert_close(&what, &changes, &expected, 2e-3);
    }
}

#[test]
fn ten_quantized_steps_sawb() {
    let tolerances = Tolerances { ce: 1e-3, kl: 2e-3, change: 5e-2 };
    ten_steps("sgt_pact42", Some((WeightQuantizer::Sawb, "sawb")), &tolerances);
}

#[test]
fn ten_quantized_steps_affine() {
    let tolerances = Tolerances { ce: 1e-3, kl: 2e-3, change: 5e-2 };
    ten_steps("sgt_pact42_affine", Some((WeightQuantizer::Affine, "affine")), &tolerances);
}

/// A network of exactly 37 parameters: 2·(1 + 1) + 3·(10 + 1).
fn thirty_seven() -> NetworkConfig {
    NetworkConfig {
        input: Shape::new(1, 1, 5),
        classes: 3,
        layers: vec![LayerConfig::conv("conv1", 2, [1, 1, 0]), LayerConfig::linear("fc1", 3)],
    }
}

#[test]
fn optimizers() {
    let tensors = Tensors::golden("optimizers");
    let to_f32 =
        |values: Vec<f64>| -> Vec<f32> { values.into_iter().map(|value| value as f32).collect() };
    let (initial, gradients) = (to_f32(tensors.f64("initial")), to_f32(tensors.f64("gradients")));
    let info = DatasetInfo { name: "test".into(), shape: MNIST, classes: 10 };
    let network_config = thirty_seven();
    for (case, settings) in [
        ("sgd", "optimizer = \"sgd\""),
        ("sgd_decay", "optimizer = \"sgd\"\nweight-decay = 0.01"),
        ("momentum", "optimizer = \"momentum\""),
        ("nesterov_decay", "optimizer = \"momentum\"\nnesterov = true\nweight-decay = 0.01"),
        ("adam", "optimizer = \"adam\""),
        ("adam_decay", "optimizer = \"adam\"\nweight-decay = 0.01"),
        ("adamw", "optimizer = \"adamw\"\nweight-decay = 0.01"),
        ("adadelta", "optimizer = \"adadelta\""),
    ] {
        let rate = tensors.f64(&format!("{case}.lr"))[0];
        let config = PartialRunConfig::parse(&format!("lr = {rate:?}\n{settings}"), case).unwrap();
        let config = resolve(config, &info).unwrap();
        let options = NetworkOptions {
            slots: 1,
            training: true,
            gradients: true,
            ..NetworkOptions::default()
        };
        let quantization = QuantizationConfig::default();
        let network = Network::new(gpu(), &network_config, &quantization, options).unwrap();
        assert_eq!(network.graph.layout.length, 37);
        gpu().write(network.parameters(), 0, &initial);
        let optimizer = Optimizer::new(gpu(), &network, &config.optimizer, &quantization).unwrap();
        let step = gpu().uniform("step", size_of::<StepRecord>() as u64).unwrap();
        let mut recording = Recording::new();
        optimizer.record_probe(gpu(), &mut recording, &network, &step).unwrap();
        optimizer.record(gpu(), &mut recording, &network, &step).unwrap();
        let schedule = Schedule::new(&config, 5, 5);
        let expected = tensors.f64(&format!("{case}.parameters"));
        for (number, (gradient, expected)) in
            (1..).zip(gradients.chunks_exact(37).zip(expected.chunks_exact(37)))
        {
            let scheduled = schedule.step(number);
            let record = StepRecord {
                step: number as u32,
                learning_rate: scheduled.learning_rate as f32,
                momentum: scheduled.momentum as f32,
                beta1_correction: scheduled.corrections[0] as f32,
                beta2_correction: scheduled.corrections[1] as f32,
                ..StepRecord::default()
            };
            gpu().write(&step, 0, &[record]);
            gpu().write(network.gradients(), 0, gradient);
            recording.submit(gpu()).unwrap();
            let actual = read::<f32>(network.parameters(), 37);
            let what = format!("{case} step {number}");
            assert_close(&what, &actual, expected, 3e-7);
            // Adam's changes are a thousandth of the parameters, so they are compared too, up to
            // the rounding of a parameter.
            let change = |values: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
                values.zip(&initial).map(|(value, start)| value - f64::from(*start)).collect()
            };
            let actual: Vec<f32> = change(&mut actual.iter().map(|&value| f64::from(value)))
                .iter()
                .map(|&x| x as f32)
                .collect();
            assert_close(
                &format!("change of {what}"),
                &actual,
                &change(&mut expected.iter().copied()),
                2e-4,
            );
        }
        assert_eq!(read::<u32>(&optimizer.health, 2), [u32::MAX; 2], "{case}");
    }
}

#[test]
fn schedules() {
    let path = root().join("tests/goldens/schedules.json");
    let golden: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let info = DatasetInfo { name: "test".into(), shape: MNIST, classes: 10 };
    for (name, settings, steps_per_epoch, total) in [
        ("cosine", "schedule = \"cosine\"", 10, 50),
        ("one_cycle", "schedule = \"one-cycle\"\noptimizer = \"momentum\"", 10, 50),
        ("step", "schedule = \"step\"\ngamma = 0.5\nstep-epochs = 2", 7, 42),
    ] {
        let config = PartialRunConfig::parse(&format!("lr = 0.1\n{settings}"), name).unwrap();
        let config = resolve(config, &info).unwrap();
        let schedule = Schedule::new(&config, steps_per_epoch, total);
        let list = |key: &str| -> Vec<f64> {
            golden[name][key].as_array().map_or(Vec::new(), |list| {
                list.iter().map(|value| value.as_f64().unwrap()).collect()
            })
        };
        let (rates, momenta) = (list("learning_rate"), list("momentum"));
        assert_eq!(rates.len() as u64, total);
        assert_eq!(momenta.is_empty(), name != "one_cycle");
        let close = |actual: f64, expected: f64| {
            (actual - expected).abs() <= 1e-12 * expected.abs().max(1e-3)
        };
        for (step, &rate) in (1..).zip(&rates) {
            let actual = schedule.step(step);
            assert!(
                close(actual.learning_rate, rate),
                "{name} step {step}: {} for {rate}",
                actual.learning_rate
            );
            if let Some(&momentum) = momenta.get(step as usize - 1) {
                assert!(
                    close(actual.momentum, momentum),
                    "{name} step {step}: momentum {} for {momentum}",
                    actual.momentum
                );
            }
        }
    }
}

#[test]
fn a_network_of_odd_sizes() {
    let tensors = Tensors::golden("odd_network");
    let shape = Shape::new(3, 11, 13);
    let activation = |name: &str| LayerConfig::activation(name);
    let config = NetworkConfig {
        input: shape,
        classes: 4,
        layers: vec![
            LayerConfig::conv("conv1", 5, [3, 2, 1]),
            activation("act1"),
            LayerConfig::conv("conv2", 7, [2, 1, 1]),
            activation("act2"),
            LayerConfig::max_pool(3, 2),
            LayerConfig::linear("fc1", 9),
            activation("act3"),
            LayerConfig::linear("fc2", 4),
        ],
    };
    let options =
        NetworkOptions { slots: 3, training: true, gradients: true, ..NetworkOptions::default() };
    let network = Network::new(gpu(), &config, &QuantizationConfig::default(), options).unwrap();
    let mut parameters = vec![0.0f32; network.graph.layout.padded_length() as usize];
    for parameter in &network.graph.layout.parameters {
        parameters[parameter.range()].copy_from_slice(&tensors.f32(&parameter.name));
    }
    gpu().write(network.parameters(), 0, &parameters);
    let pixels = shape.pixels() as usize;
    let input = tensors.f32("input");
    let padded_input: Vec<f32> = (0..3 * pixels)
        .flat_map(|at| (0..4).map(move |channel| (at / pixels, at % pixels, channel)))
        .map(
            |(image, pixel, channel)| {
                if channel < 3 { input[(image * 3 + channel) * pixels + pixel] } else { 0.0 }
            },
        )
        .collect();
    gpu().write(network.input(), 0, &padded_input);
    let batch = Batch::new(gpu(), 3, false, 1).unwrap();
    batch.write_table(
        gpu(),
        &[StepRecord { count: 3, batch: 3, epoch_images: 3, ..StepRecord::default() }],
    );
    let labels: Vec<u32> = tensors.i64("labels").into_iter().map(|label| label as u32).collect();
    gpu().write(&batch.labels, 0, &labels);
    let metrics = Metrics::new(gpu(), 3, 1).unwrap();
    let sgt = SgtConfig { enabled: false, ..SgtConfig::default() };
    let mut recording = Recording::new();
    network.record_weights(gpu(), &mut recording).unwrap();
    batch.record_begin(gpu(), &mut recording).unwrap();
    network.record_forward(gpu(), &mut recording, batch.clean(), None).unwrap();
    let losses = Losses { sgt: &sgt, class_weights: None, metrics: &metrics };
    record_loss(gpu(), &mut recording, &network, &batch, losses).unwrap();
    network
        .record_backward(gpu(), &mut recording, batch.clean(), None, Gradients::Parameters)
        .unwrap();
    recording.submit(gpu()).unwrap();
    let classes = 4;
    assert_images_close(
        "logits",
        &read::<f32>(network.logits(), 3 * classes),
        &tensors.f64("logits_f64"),
        3,
        1e-5,
    );
    let sums = read::<[f32; 4]>(&metrics.sums, 1)[0];
    assert_close("loss", &[sums[0] / sums[3]], &tensors.f64("loss_f64"), 1e-5);
    let gradients = read::<f32>(network.gradients(), network.graph.layout.length as usize);
    for parameter in &network.graph.layout.parameters {
        let expected = tensors.f64(&format!("gradient.{}_f64", parameter.name));
        assert_close(
            &format!("gradient of {}", parameter.name),
            &gradients[parameter.range()],
            &expected,
            1e-5,
        );
    }
    // The backward pass for the parameters has overwritten the activations.
    let mut recording = Recording::new();
    network.record_forward(gpu(), &mut recording, batch.clean(), None).unwrap();
    let losses = Losses { sgt: &sgt, class_weights: None, metrics: &metrics };
    record_loss(gpu(), &mut recording, &network, &batch, losses).unwrap();
    let gradient = network
        .record_backward(gpu(), &mut recording, batch.clean(), None, Gradients::Input)
        .unwrap();
    recording.submit(gpu()).unwrap();
    assert_images_close(
        "input gradient",
        &nchw(gradient.buffer(), shape, 3),
        &tensors.f64("input_gradient_f64"),
        3,
        1e-5,
    );
}
