//! What models are deployed as, against the kernels that trained them.

use saliq::{
    batch::{Batch, GatherOptions, ResidentData},
    config::{
        ActivationFunction, ActivationQuantizer, AveragePool, LayerConfig, NetworkConfig, PactKind,
        QuantizationConfig, Shape, WeightQuantizer,
    },
    data::Split,
    deploy::{
        DeployableActivation, DeployableModel, DeployableWeights, Encoding, IntegerPlan,
        IntegerStep, Operation, StepOperation, StepWeights,
    },
    gpu::Recording,
    integer::{Agreement, IntegerNetwork},
    layout::StepRecord,
    metrics::Classifier,
    model::Model,
    nn::{Network, NetworkOptions, TileTable},
    reference::integer_network::integer_network,
};

use crate::common::{NORMALIZATION, Random, activation, conv, gpu, random_model, read};

/// Odd shapes, batch norms behind both kinds of layers, dropout.
fn network() -> NetworkConfig {
    let layers = vec![
        conv("conv1", 6, [3, 1, 1]),
        LayerConfig::batch_norm("bn1"),
        activation("act1"),
        LayerConfig::max_pool(2, 2),
        conv("conv2", 13, [3, 2, 0]),
        activation("act2"),
        LayerConfig::dropout(0.5),
        LayerConfig::linear("fc1", 18),
        LayerConfig::batch_norm("bn2"),
        activation("act3"),
        LayerConfig::linear("fc2", 5),
    ];
    NetworkConfig { input: Shape::new(3, 11, 13), classes: 5, layers }
}

/// The kernels' quantized weights of every layer, [out, in, tap].
fn kernel_weights(model: &Model) -> Vec<Vec<f32>> {
    let options = NetworkOptions { slots: 1, ..Default::default() };
    let network =
        Network::new(gpu(), &model.config.network, &model.config.quantization, options).unwrap();
    gpu().write(network.parameters(), 0, &model.parameters);
    let mut recording = Recording::new();
    network.record_weights(gpu(), &mut recording).unwrap();
    recording.submit(gpu()).unwrap();
    let of_layer = |(name, _, buffer)| {
        let shape = &model.graph.layout.find(&format!("{name}.weight")).unwrap().shape;
        let (out_channels, in_channels, taps) = match shape[..] {
            [out, input, height, width] => (out, input, height * width),
            // A fully connected layer takes all pixels of its input as taps: fc1 sees 13 channels
            // of 2 × 2 pixels, fc2 18 of 1.
            [out, 52] => (out, 13, 4),
            _ => (shape[0], shape[1], 1),
        };
        let (in_padded, out_padded) =
            (in_channels.next_multiple_of(4), out_channels.next_multiple_of(4));
        let arranged: Vec<f32> = read(buffer, taps * in_padded * out_padded);
        let at = |o: usize, i: usize, tap: usize| arranged[(tap * in_padded + i) * out_padded + o];
        let channels = (0..out_channels).flat_map(move |o| (0..in_channels).map(move |i| (o, i)));
        channels
            .flat_map(|(o, i)| (0..taps).map(move |tap| (o, i, tap)))
            .map(|(o, i, tap)| at(o, i, tap))
            .collect()
    };
    network.layer_weights().map(of_layer).collect()
}

fn weights(model: &DeployableModel) -> Vec<&DeployableWeights> {
    model.layers.iter().filter_map(|layer| layer.operation.weights()).collect()
}

/// Every weight of every quantizer has the level that the kernels gave it, and but for two
/// quantizers the very same bits when dequantized.
#[test]
fn levels_are_the_kernels() {
    use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
    let cases = [
        (Affine, "w2,w3,w5,w8"),
        (Dorefa, "w1,w2,w5,w8"),
        (Sawb, "w2,w3,w4,w8"),
        (Symmetric, "w2,w4,w6,w8"),
        (Lsq, "w2,w3,w7,w8"),
        (Binary, "w1,w1,w32,w1"),
    ];
    for (weight_quant, bits) in cases {
        for per_channel in [false, true] {
            let bits: Vec<String> = bits.split(',').map(|bits| format!("{bits}a32")).collect();
            let quantization =
                QuantizationConfig { weight_quant, per_channel, ..Default::default() };
            let model = random_model(network(), &bits.join(","), quantization, 7);
            let deployed = DeployableModel::new(&model).unwrap();
            for (layer, (made, expected)) in
                weights(&deployed).into_iter().zip(kernel_weights(&model)).enumerate()
            {
                let what = format!("{weight_quant:?} {bits:?} {per_channel} layer {layer}");
                let Some(levels) = &made.levels else {
                    assert_eq!(bits[layer], "w32a32", "{what}");
                    continue;
                };
                let values = levels.dequantize(made.channels());
                let exact = !matches!(levels.quantizer, Sawb | Dorefa);
                let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                for (at, (&value, &expected)) in values.iter().zip(&expected).enumerate() {
                    let tolerance = if exact { 0.0 } else { 3e-7 * largest };
                    assert!(
                        (value - expected).abs() <= tolerance,
                        "{what}: weight {at} is {value:e}, not {expected:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn batch_norms_and_dropouts_are_gone() {
    let quantization = QuantizationConfig { pact: PactKind::Signed, ..Default::default() };
    let deployed =
        DeployableModel::new(&random_model(network(), "w4a3,w32a4,w2a32,8", quantization, 3))
            .unwrap();
    let names: Vec<&str> = deployed.layers.iter().map(|layer| &*layer.name).collect();
    assert_eq!(names, ["conv1", "act1", "pool3", "conv2", "act2", "fc1", "act3", "fc2"]);
    assert!(deployed.layers.windows(2).all(|pair| pair[0].output == pair[1].input));
    assert_eq!(
        weights(&deployed).iter().map(|weights| weights.levels.is_some()).collect::<Vec<_>>(),
        [true, false, true, true]
    );
    let grids: Vec<_> = deployed
        .layers
        .iter()
        .filter_map(|layer| match &layer.operation {
            Operation::Activation(DeployableActivation::Quantized(grid)) => {
                Some([grid.lowest, grid.highest])
            }
            Operation::Activation(DeployableActivation::Function(ActivationFunction::Relu)) => {
                Some([0, 0])
            }
            _ => None,
        })
        .collect();
    assert_eq!(grids, [[-3, 3], [-7, 7], [0, 0]]);
}

/// Activations and pools on their own, in front of the first weights too.
fn detached() -> NetworkConfig {
    let layers = vec![
        LayerConfig::max_pool(2, 1),
        activation("act0"),
        conv("conv1", 9, [2, 1, 1]),
        LayerConfig::max_pool(3, 2),
        activation("act1"),
        conv("conv2", 4, [3, 1, 0]),
        activation("act2"),
        activation("act3"),
        LayerConfig::linear("fc1", 5),
    ];
    NetworkConfig { input: Shape::new(2, 9, 10), classes: 5, layers }
}

/// Average-pools of pixels, of levels and of floats, with and without an activation behind.
fn averaged() -> NetworkConfig {
    let average = |kernel, stride, ceil_mode, count_include_pad| {
        let padding = 1;
        LayerConfig::average_pool(AveragePool {
            window: [kernel, stride, padding].into(),
            ceil_mode,
            count_include_pad,
        })
    };
    let layers = vec![
        average(3, 2, true, true),
        conv("conv1", 9, [2, 1, 1]),
        activation("act1"),
        average(3, 2, true, false),
        activation("act2"),
        conv("conv2", 4, [3, 1, 1]),
        average(3, 1, false, true),
        activation("act3"),
        average(2, 2, false, false),
        LayerConfig::linear("fc1", 5),
    ];
    NetworkConfig { input: Shape::new(2, 15, 12), classes: 5, layers }
}

pub fn images(shape: Shape, count: usize, seed: u64) -> Split {
    let mut random = Random(seed);
    let images = (0..count * shape.elements() as usize).map(|_| random.below(256) as u8).collect();
    Split { images, labels: vec![0; count] }
}

/// Every step of integer inference, with the kernels of software drivers and of GPUs, against exact
/// arithmetic. Levels are equal, floats but for their own rounding.
fn check(what: &str, model: &Model) -> IntegerPlan {
    check_by(what, model, 4)
}

/// As [`check`], `slots` of 7 images at a time.
pub fn check_by(what: &str, model: &Model, slots: u32) -> IntegerPlan {
    let model = DeployableModel::new(model).unwrap();
    let normalization = model.normalization;
    let plan = IntegerPlan::new(&model);
    let split = images(plan.input, 7, 5);
    let expected = integer_network(&plan, &split.images);
    let data = ResidentData::new(gpu(), &split, plan.input).unwrap();
    for software in [true, false] {
        let network =
            IntegerNetwork::with_tiles(gpu(), &plan, slots, TileTable::for_kind(software)).unwrap();
        let table = StepRecord::in_file_order(7, slots, 0);
        let batch = Batch::new(gpu(), slots, false, table.len() as u64).unwrap();
        let options = GatherOptions::in_file_order(normalization);
        let mut part = Recording::new();
        batch.record_begin(gpu(), &mut part).unwrap();
        network.record_gather(gpu(), &mut part, &batch, &data, &options).unwrap();
        network.record_forward(gpu(), &mut part, batch.clean()).unwrap();
        batch.write_table(gpu(), &table);
        for record in &table {
            part.submit(gpu()).unwrap();
            for (index, step) in plan.steps.iter().enumerate() {
                let what = format!("{what}, software {software}, {}", step.name);
                let made =
                    pollster::block_on(network.read_step(gpu(), index, record.count)).unwrap();
                let size = step.output.elements() as usize;
                let expected = &expected[index][record.position as usize * size..]
                    [..record.count as usize * size];
                assert_eq!(made.len(), expected.len(), "{what}");
                if step.to == Encoding::Float {
                    let largest =
                        expected.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
                    for (made, expected) in made.iter().zip(expected) {
                        assert!(
                            (f64::from(*made) - expected).abs() < 2e-6 * largest,
                            "{what}: {made}, not {expected}"
                        );
                    }
                } else {
                    let different =
                        made.iter().zip(expected).filter(|(a, b)| f64::from(**a) != **b).count();
                    assert_eq!(different, 0, "{what}: of {} levels", made.len());
                    let distinct: std::collections::BTreeSet<i32> =
                        made.iter().map(|&level| level as i32).collect();
                    assert!(distinct.len() > 1, "{what}: all levels are {distinct:?}");
                }
            }
        }
    }
    plan
}

#[test]
fn integer_inference_is_exact() {
    use PactKind::{Signed, SignedAfterRelu, Unsigned};
    use WeightQuantizer::{Affine, Binary, Dorefa, Lsq, Sawb, Symmetric};
    let cases = [
        (Affine, false, Unsigned, "8,w8a3,w8a8,w8a32", 4),
        (Affine, true, Signed, "w2a4,w3a2,w4a8,w5a32", 4),
        (Dorefa, false, Unsigned, "w1a1,w8a2,w5a8,w32a32", 3),
        (Sawb, true, SignedAfterRelu, "w8a8,w2a3,w4a5,w8a32", 4),
        (Symmetric, true, Signed, "w8a8,w6a7,w7a6,w8a32", 4),
        (Lsq, false, Unsigned, "4,2,w32a4,w3a32", 3),
        (Binary, true, Unsigned, "w1a4,w1a8,w32a32,w32a32", 2),
        // Activations of conv1 only; conv2 has quantized weights and its inputs, but no levels
        // behind it.
        (Sawb, false, Unsigned, "w32a4,w2a32,w2a2,w4a32", 2),
    ];
    for (weight_quant, per_channel, pact, bits, integer_steps) in cases {
        let quantization =
            QuantizationConfig { weight_quant, per_channel, pact, ..Default::default() };
        let model = random_model(network(), bits, quantization, 11);
        let plan = check(&format!("{weight_quant:?} {pact:?} {bits}"), &model);
        assert_eq!(plan.integer_steps(), integer_steps, "{bits}");
    }
}

/// Levels with a zero point: in front of padding, pools and averages, behind layers and alone.
#[test]
fn integer_inference_with_offsets_is_exact() {
    let act_quant = ActivationQuantizer::LsqPlus;
    for (weight_quant, pact, bits) in [
        (WeightQuantizer::Affine, PactKind::Signed, "8,w8a3,w8a8,w8a32"),
        (WeightQuantizer::Lsq, PactKind::Signed, "4,2,w32a4,w3a32"),
        (WeightQuantizer::Dorefa, PactKind::Unsigned, "w1a1,w8a4,w5a8,w32a32"),
        (WeightQuantizer::Symmetric, PactKind::Unsigned, "w8a8,w6a7,w7a6,w8a32"),
    ] {
        for per_channel in [false, true] {
            let quantization = QuantizationConfig {
                weight_quant,
                per_channel,
                pact,
                act_quant,
                ..Default::default()
            };
            // Behind an average, sums are of floats: with this seed none is near an edge.
            for (name, network, seed) in [
                ("network", network(), 11),
                ("detached", detached(), 11),
                ("averaged", averaged(), 23),
            ] {
                let layers = network.weight_layers().len();
                let bits = bits.split(',').take(layers).collect::<Vec<_>>().join(",");
                let model = random_model(network, &bits, quantization.clone(), seed);
                let plan = check(&format!("{name} {weight_quant:?} {pact:?} {bits}"), &model);
                let offsets = plan.steps.iter().filter(
                    |step| matches!(&step.to, Encoding::Levels(grid) if grid.zero_point > 0),
                );
                assert!(offsets.count() > 0, "{name} {bits}");
            }
        }
    }
}

#[test]
fn activations_and_pools_on_their_own() {
    for (bits, pact) in [("4,w4a3,w8a4", PactKind::Unsigned), ("w32a4,w2a2,w2a8", PactKind::Signed)]
    {
        let quantization = QuantizationConfig { pact, ..Default::default() };
        let plan = check(bits, &random_model(detached(), bits, quantization, 23));
        assert!(
            plan.steps
                .iter()
                .any(|step| matches!(step.operation, StepOperation::Activation { .. }))
        );
        assert_eq!(plan.steps.last().map(|step| step.to.clone()), Some(Encoding::Float));
    }
}

/// What goes round a block, a projection, three terms, the image and a sum that is no level.
fn residual() -> NetworkConfig {
    let add = LayerConfig::add;
    let layers = vec![
        conv("conv1", 4, [3, 1, 1]),
        activation("act1"),
        conv("conv2", 4, [3, 1, 1]),
        add("add1", &["conv2", "act1"]),
        activation("act2"),
        conv("conv3", 6, [3, 2, 1]),
        activation("act3"),
        conv("short", 6, [1, 2, 0]).reading(&["act2"]),
        add("add2", &["act3", "short", "act3"]),
        activation("act4"),
        add("add3", &["act4", "act3"]),
        LayerConfig::linear("fc1", 5),
    ];
    NetworkConfig { input: Shape::new(4, 9, 10), classes: 5, layers }
}

#[test]
fn sums_of_levels_are_exact() {
    for (bits, pact, act_quant) in [
        ("8,8,4,4,w4a32", PactKind::Unsigned, ActivationQuantizer::Pact),
        ("4,2,w8a3,w4a32,w32a32", PactKind::Signed, ActivationQuantizer::Lsq),
        ("4,4,8,w2a32,w8a32", PactKind::Signed, ActivationQuantizer::LsqPlus),
    ] {
        let quantization = QuantizationConfig { pact, act_quant, ..Default::default() };
        let plan = check(bits, &random_model(residual(), bits, quantization, 23));
        let sums =
            plan.steps.iter().filter(|step| matches!(step.operation, StepOperation::Add { .. }));
        let sums: Vec<(&str, bool)> =
            sums.map(|step| (&step.name[..], step.to == Encoding::Float)).collect();
        let names = [("add1", false), ("add2_1", true), ("add2", false), ("add3", true)];
        assert_eq!(sums, names, "{bits}");
        // The way round the first block waits for the second step.
        assert_eq!(plan.readers(0).collect::<Vec<_>>(), [1, 2]);
    }
}

#[test]
fn averages_are_floats() {
    for (bits, pact) in [
        ("w4a4,w4a3,w8a32", PactKind::Unsigned),
        ("w8a5,w2a2,w4a32", PactKind::Signed),
        ("w32a32,w4a32,w32a32", PactKind::Unsigned),
    ] {
        let quantization = QuantizationConfig { pact, ..Default::default() };
        let plan = check(bits, &random_model(averaged(), bits, quantization, 23));
        let of = |step: &&IntegerStep| matches!(step.operation, StepOperation::AveragePool { .. });
        let pools: Vec<&IntegerStep> = plan.steps.iter().filter(of).collect();
        assert_eq!(pools.len(), 4);
        assert!(pools.iter().all(|pool| pool.to == Encoding::Float));
        let levels = pools.iter().any(|pool| matches!(pool.from, Encoding::Levels(_)));
        assert_eq!(pools[0].from, Encoding::Pixels);
        assert_ne!(levels, bits.starts_with("w32"));
    }
}

/// What the bound of a layer's sums is worth, and when sums stop being integers.
#[test]
fn sums_are_bounded() {
    let quantization =
        QuantizationConfig { weight_quant: WeightQuantizer::Symmetric, ..Default::default() };
    let plan = IntegerPlan::new(
        &DeployableModel::new(&random_model(network(), "8,8,8,8", quantization, 2)).unwrap(),
    );
    let sums = |input: &[i64], values: &[i32]| {
        values.iter().zip(input).map(|(&w, a)| i64::from(w) * a).sum::<i64>()
    };
    for step in &plan.steps {
        let StepOperation::Weighted(weighted) = &step.operation else { continue };
        let (StepWeights::Integer { values, .. }, Some([low, high])) =
            (&weighted.weights, step.from.range())
        else {
            panic!("{}: not on integers", step.name)
        };
        let worst = |own: &[i32]| {
            let most: Vec<i64> =
                own.iter().map(|&w| i64::from(if w > 0 { high } else { low })).collect();
            let least: Vec<i64> =
                own.iter().map(|&w| i64::from(if w > 0 { low } else { high })).collect();
            sums(&most, own).max(-sums(&least, own))
        };
        let expected =
            values.chunks_exact(values.len() / weighted.channels()).map(worst).max().unwrap();
        assert_eq!(weighted.bound([low, high]), expected, "{}", step.name);
    }
}

/// Against fake quantization in floats: levels agree but where rounding reaches an edge.
#[test]
fn levels_are_those_of_fake_quantization() {
    use ActivationQuantizer::{LsqPlus, Pact};
    for (bits, per_channel, act_quant, pact) in [
        ("4,2", false, Pact, PactKind::Unsigned),
        ("w2a4,w8a3,w4a4,8", true, Pact, PactKind::Signed),
        ("8", false, Pact, PactKind::SignedAfterRelu),
        ("w2a4,w8a3,w4a4,8", true, LsqPlus, PactKind::Signed),
        ("8", false, LsqPlus, PactKind::Signed),
        ("4,2", false, LsqPlus, PactKind::Unsigned),
    ] {
        let quantization =
            QuantizationConfig { per_channel, act_quant, pact, ..Default::default() };
        let model = random_model(network(), bits, quantization, 31);
        let plan = IntegerPlan::new(&DeployableModel::new(&model).unwrap());
        let integer = IntegerNetwork::new(gpu(), &plan, 8).unwrap();
        let options = NetworkOptions { slots: 8, ..Default::default() };
        let network =
            Network::new(gpu(), &model.config.network, &model.config.quantization, options)
                .unwrap();
        gpu().write(network.parameters(), 0, &model.parameters);
        let data = ResidentData::new(gpu(), &images(plan.input, 20, 9), plan.input).unwrap();
        let mut progress = |_| {};
        let measured =
            Agreement::measure(gpu(), &network, &integer, &data, NORMALIZATION, 8, &mut progress);
        let agreement = pollster::block_on(measured).unwrap();
        assert_eq!(agreement.images, 20);
        assert!(agreement.largest_logit_difference < 1e-4, "{agreement:?}");
        assert!(!agreement.layers.is_empty());
        for layer in &agreement.layers {
            assert!(
                layer.levels > 0 && layer.unexplained == 0 && layer.different <= layer.near,
                "{agreement:?}"
            );
            assert!(layer.near * 100 < layer.levels, "{agreement:?}");
        }
        // Roundings of integer inference itself, over all images there could be.
        for layer in agreement.layers.iter().filter_map(|layer| layer.margin) {
            // Numbers with a zero point are larger than the levels that they stand for.
            let share = if act_quant == LsqPlus { 5 } else { 20 };
            assert!(layer.edges > 0 && layer.close * share <= layer.edges, "{agreement:?}");
        }
    }
}
