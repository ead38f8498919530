//! Whole networks against the f64 reference: logits, input gradient and every parameter's gradient,
//! in float and quantized, with the tile sizes of both kinds of adapters. Inputs are chosen so that
//! no activation, weight or pooling window is near a decision that f32 could take otherwise: then
//! nothing may differ but rounding.

use crate::common::{Random, activation, assert_close, conv, gpu, networks::networks, read};
use saliq::{
    Error,
    config::{
        ActivationFunction, ActivationQuantizer, AveragePool, BatchNorm, ChannelGroups,
        Convolution, LayerBits, LayerConfig, LayerKind, MaxPool, NetworkConfig, PactKind, Padding,
        Precision, QuantizationConfig, Shape, WeightQuantizer,
    },
    gpu::{Buffer, Recording},
    graph::{Graph, Parameter, ParameterLayout, ParameterRole},
    kernels::ImageRange,
    nn::{Gradients, Network, NetworkOptions, TileTable},
    reference::{
        layout::{pack, packed_elements, unpack},
        network::ReferenceNetwork,
    },
};

/// Distance from decisions, in levels: far above what f32 gets wrong in these networks.
const MARGIN: f64 = 1e-5;
/// Images of a comparison.
const IMAGES: usize = 3;

fn linear(name: &str, out_features: u32) -> LayerConfig {
    LayerConfig::linear(name, out_features)
}

/// Odd sizes everywhere, stride and padding, overlapping pools, convolutions without an activation
/// in between.
fn odd_network() -> NetworkConfig {
    NetworkConfig {
        input: Shape::new(3, 11, 13),
        classes: 5,
        layers: vec![
            conv("conv1", 7, [3, 1, 1]),
            activation("act1"),
            LayerConfig::max_pool(3, 2),
            conv("conv2", 33, [4, 2, 1]),
            conv("conv3", 5, [2, 1, 1]),
            activation("act2"),
            LayerConfig::dropout(0.25),
            linear("fc1", 9),
            activation("act3"),
            linear("fc2", 5),
        ],
    }
}

/// Activations on their own: behind a pool, behind another activation's dropout, and in front of a
/// pool.
fn detached_network() -> NetworkConfig {
    NetworkConfig {
        input: Shape::new(1, 10, 9),
        classes: 2,
        layers: vec![
            conv("conv1", 5, [3, 2, 1]),
            LayerConfig::max_pool(2, 1),
            activation("act1"),
            conv("conv2", 6, [1, 1, 0]),
            LayerConfig::dropout(0.5),
            activation("act2"),
            LayerConfig::max_pool(2, 3),
            linear("fc1", 2),
        ],
    }
}

/// Pools of 2 × 2 right behind convolutions: of odd and even maps, with and without padding and an
/// activation.
fn pooled_network() -> NetworkConfig {
    pooled_by(|| LayerConfig::max_pool(2, 2))
}

/// Pools whose windows overlap, reach into a padding and beyond the image.
fn padded_network() -> NetworkConfig {
    pooled_by(|| {
        let pool = MaxPool { window: [3, 2, 1].into(), ceil_mode: true };
        LayerKind::MaxPool(pool).into()
    })
}

fn pooled_by(pool: impl Fn() -> LayerConfig) -> NetworkConfig {
    NetworkConfig {
        input: Shape::new(3, 19, 23),
        classes: 3,
        layers: vec![
            conv("conv1", 7, [3, 1, 1]),
            activation("act1"),
            pool(),
            conv("conv2", 18, [3, 1, 1]),
            pool(),
            activation("act2"),
            conv("conv3", 6, [2, 1, 1]),
            activation("act3"),
            pool(),
            linear("fc1", 3),
        ],
    }
}

/// Average-pools of images, behind activations and convolutions, in front of an activation, of
/// dropped values and behind one another.
fn averaged_network() -> NetworkConfig {
    let average = |kernel, stride, padding, ceil_mode| {
        let count_include_pad = ceil_mode;
        LayerConfig::average_pool(AveragePool {
            window: [kernel, stride, padding].into(),
            ceil_mode,
            count_include_pad,
        })
    };
    NetworkConfig {
        input: Shape::new(3, 17, 15),
        classes: 3,
        layers: vec![
            average(2, 1, 1, false),
            conv("conv1", 7, [3, 1, 1]),
            activation("act1"),
            average(3, 2, 1, true),
            conv("conv2", 6, [3, 1, 1]),
            average(2, 1, 0, false),
            activation("act2"),
            conv("conv3", 9, [2, 1, 0]),
            activation("act3"),
            LayerConfig::dropout(0.25),
            average(3, 2, 1, false),
            average(2, 3, 1, true),
            linear("fc1", 3),
        ],
    }
}

/// Convolutions of at most 4 channels behind activations: the gradients of such narrow inputs have
/// a kernel of their own.
fn narrow_network() -> NetworkConfig {
    NetworkConfig {
        input: Shape::new(2, 6, 8),
        classes: 3,
        layers: vec![
            conv("conv1", 2, [3, 1, 1]),
            activation("act1"),
            conv("conv2", 4, [3, 2, 1]),
            activation("act2"),
            LayerConfig::dropout(0.25),
            conv("conv3", 3, [2, 1, 0]),
            activation("act3"),
            linear("fc1", 3),
        ],
    }
}

/// Sums: of a block and what goes round it, of a block and a projection, of three values; a value
/// with four readers, in front of a pool, a dropout, a convolution and a sum.
fn residual_network() -> NetworkConfig {
    let add = LayerConfig::add;
    NetworkConfig {
        input: Shape::new(3, 9, 8),
        classes: 3,
        layers: vec![
            conv("conv1", 6, [3, 1, 1]),
            activation("act1"),
            conv("conv2", 6, [3, 1, 1]),
            add("add1", &["conv2", "act1"]),
            activation("act2"),
            conv("conv3", 9, [3, 2, 1]),
            activation("act3"),
            conv("conv4", 9, [3, 1, 1]),
            conv("short", 9, [1, 2, 0]).reading(&["act2"]),
            add("add2", &["conv4", "short"]),
            activation("act4"),
            conv("conv5", 9, [1, 1, 0]),
            LayerConfig::named("pool", LayerConfig::max_pool(1, 1).kind).reading(&["act4"]),
            LayerConfig::named("drop", LayerConfig::dropout(0.25).kind).reading(&["act4"]),
            add("add3", &["conv5", "pool", "drop", "act4"]),
            activation("act5"),
            LayerConfig::max_pool(2, 2),
            linear("fc1", 3),
        ],
    }
}

/// The images among the terms of a sum and in front of layers in place, a value that is added to
/// itself, activations that several layers read.
fn branching_network() -> NetworkConfig {
    let add = LayerConfig::add;
    NetworkConfig {
        input: Shape::new(4, 7, 9),
        classes: 3,
        layers: vec![
            conv("conv1", 4, [3, 1, 1]),
            add("add1", &["input", "conv1"]),
            add("add2", &["add1", "add1"]),
            activation("act1").reading(&["input"]),
            conv("conv2", 4, [1, 1, 0]),
            add("add3", &["add2", "conv2"]),
            activation("act2"),
            activation("act3").reading(&["add3"]),
            add("add4", &["act2", "act3", "add3"]),
            conv("conv3", 5, [3, 2, 0]),
            activation("act4"),
            linear("fc1", 3),
        ],
    }
}

/// Concatenations of parts whose channels are no multiples of 4: of images and values, of one value
/// twice, behind and in front of activations, pools, dropouts and sums.
fn concatenated_network() -> NetworkConfig {
    let concat = LayerConfig::concat;
    NetworkConfig {
        input: Shape::new(3, 7, 8),
        classes: 3,
        layers: vec![
            conv("conv1", 5, [3, 1, 1]),
            activation("act1"),
            concat("cat1", &["act1", "input"]),
            conv("conv2", 6, [3, 1, 1]),
            activation("act2"),
            conv("conv3", 7, [1, 1, 0]).reading(&["cat1"]),
            concat("cat2", &["act2", "conv3", "act1", "conv3"]),
            // A clip would lie where the highest levels are.
            LayerConfig::activation_of("act3", ActivationFunction::Silu),
            conv("conv4", 1, [3, 1, 1]),
            activation("act4"),
            conv("conv5", 2, [1, 1, 0]).reading(&["act3"]),
            activation("act5"),
            LayerConfig::named("drop", LayerConfig::dropout(0.25).kind),
            concat("cat3", &["act4", "drop", "act2"]),
            LayerConfig::named("pool", LayerConfig::max_pool(2, 2).kind),
            concat("cat4", &["pool", "pool"]),
            conv("conv6", 18, [1, 1, 0]),
            LayerConfig::add("add1", &["cat4", "conv6"]),
            linear("fc1", 3),
        ],
    }
}

/// Products: by a value a channel, from either side; of values of one shape, of a value with
/// itself, of images; of what others read too.
fn multiplied_network() -> NetworkConfig {
    let multiply = LayerConfig::multiply;
    let pool = LayerConfig::global_average_pool;
    let sigmoid = |name: &str| LayerConfig::activation_of(name, ActivationFunction::Sigmoid);
    NetworkConfig {
        input: Shape::new(3, 7, 8),
        classes: 3,
        layers: vec![
            conv("conv0", 3, [3, 1, 1]),
            sigmoid("act0"),
            multiply("mul0", ["act0", "input"]),
            conv("conv1", 6, [3, 1, 1]),
            activation("act1"),
            pool("gap1"),
            linear("fc1", 2),
            activation("act2"),
            linear("fc2", 6),
            sigmoid("act3"),
            multiply("mul1", ["act1", "act3"]),
            conv("conv2", 6, [3, 1, 1]),
            activation("act4"),
            multiply("mul2", ["act4", "mul1"]),
            multiply("mul3", ["mul2", "mul2"]),
            pool("gap2"),
            conv("conv3", 6, [1, 1, 0]),
            sigmoid("act5"),
            multiply("mul4", ["act5", "mul3"]),
            // Squares are next to a ReLU's kink.
            LayerConfig::activation_of("act6", ActivationFunction::Silu),
            linear("fc3", 3),
        ],
    }
}

/// No linear layer at all: a mean of every channel of a plane that is not square is the head;
/// another one, of a value with other readers, in front of a convolution and an activation.
fn headless_network() -> NetworkConfig {
    let pool = LayerConfig::global_average_pool;
    NetworkConfig {
        input: Shape::new(3, 7, 9),
        classes: 5,
        layers: vec![
            conv("conv1", 6, [3, 1, 1]),
            activation("act1"),
            pool("gap1"),
            LayerConfig::named("flat", LayerKind::Flatten {}),
            conv("conv2", 5, [1, 1, 0]),
            activation("act2"),
            conv("conv3", 5, [3, 2, 1]).reading(&["act1"]),
            activation("act3"),
            LayerKind::MaxPool(MaxPool { window: [3, 1, 1].into(), ceil_mode: false }).into(),
            pool("gap2"),
            LayerConfig::add("add1", &["gap2", "act2"]),
        ],
    }
}

/// Rows: of a pool, of dropped values, of a value that others read too, and of a row.
fn flattened_network() -> NetworkConfig {
    let flatten = |name: &str| LayerConfig::named(name, LayerKind::Flatten {});
    NetworkConfig {
        input: Shape::new(3, 6, 9),
        classes: 3,
        layers: vec![
            conv("conv1", 7, [3, 1, 1]),
            activation("act1"),
            LayerConfig::max_pool(2, 2),
            flatten("flat1"),
            linear("fc1", 6),
            activation("act2"),
            LayerConfig::global_average_pool("gap").reading(&["act1"]),
            LayerConfig::dropout(0.5),
            flatten("flat2"),
            linear("fc2", 6),
            LayerConfig::add("add1", &["act2", "fc2"]),
            flatten("flat3"),
            flatten("flat4"),
            linear("fc3", 5),
            activation("act3"),
            flatten("flat5").reading(&["act1"]),
            // A clip would lie where the highest levels are.
            LayerConfig::activation_of("act4", ActivationFunction::Silu),
            linear("fc4", 5),
            LayerConfig::add("add2", &["act3", "fc4"]),
            linear("fc5", 3),
        ],
    }
}

/// Functions other than ReLUs: behind convolutions, sums, pools, batches of one another and fully
/// connected layers; in front of pools, sums and dropouts.
fn functions_network() -> NetworkConfig {
    let act = |name: &str, function| LayerConfig::activation_of(name, function);
    NetworkConfig {
        input: Shape::new(3, 11, 9),
        classes: 3,
        layers: vec![
            conv("conv1", 6, [3, 1, 1]),
            act("act1", ActivationFunction::Silu),
            conv("conv2", 6, [3, 1, 1]),
            LayerConfig::add("add1", &["conv2", "act1"]),
            act("act2", ActivationFunction::Relu6),
            LayerConfig::max_pool(2, 2),
            conv("conv3", 9, [3, 1, 1]),
            act("act3", ActivationFunction::Sigmoid),
            act("act4", ActivationFunction::LeakyRelu { slope: 0.125 }).reading(&["conv3"]),
            LayerConfig::add("add2", &["act3", "act4"]),
            conv("conv4", 5, [2, 1, 0]),
            act("act5", ActivationFunction::HardSwish),
            LayerConfig::dropout(0.25),
            conv("conv5", 6, [1, 1, 0]),
            act("act6", ActivationFunction::LeakyRelu { slope: 0.01 }),
            LayerConfig::max_pool(2, 1),
            act("act7", ActivationFunction::Sigmoid),
            linear("fc1", 9),
            act("act8", ActivationFunction::Tanh),
            linear("fc2", 3),
        ],
    }
}

/// Convolutions of every kind: rectangular, with zeros on some sides, dilated, of groups of
/// channels, depthwise with and without a bias, "same" with a stride; pools and sums between them.
fn convolutions_network() -> NetworkConfig {
    let plain = |channels| Convolution::square(channels, [3, 1, 1]);
    let depthwise = |channels| Convolution { groups: ChannelGroups::Depthwise, ..plain(channels) };
    let convolution = LayerConfig::convolution;
    NetworkConfig {
        input: Shape::new(3, 14, 11),
        classes: 3,
        layers: vec![
            convolution(
                "conv1",
                Convolution { kernel: [3, 4], padding: Padding::Sides([1, 0, 2, 3]), ..plain(6) },
            ),
            activation("act1"),
            convolution("deep1", depthwise(6)),
            activation("act2"),
            convolution(
                "conv2",
                Convolution {
                    kernel: [1, 3],
                    stride: [1, 2],
                    padding: Padding::Same,
                    bias: false,
                    ..plain(10)
                },
            ),
            activation("act3"),
            convolution(
                "deep2",
                Convolution {
                    stride: [2, 2],
                    padding: Padding::Same,
                    bias: false,
                    ..depthwise(10)
                },
            ),
            convolution(
                "wide",
                Convolution {
                    dilation: [2, 1],
                    padding: Padding::Same,
                    groups: ChannelGroups::Count(2),
                    ..plain(8)
                },
            ),
            activation("act4"),
            convolution(
                "deep3",
                Convolution {
                    kernel: [2, 3],
                    dilation: [3, 2],
                    padding: Padding::Sides([2, 1, 1, 3]),
                    ..depthwise(8)
                },
            ),
            LayerConfig::add("add1", &["deep3", "act4"]),
            activation("act5"),
            convolution(
                "far",
                Convolution {
                    dilation: [1, 17],
                    padding: Padding::Sides([1, 17, 1, 18]),
                    bias: false,
                    ..plain(5)
                },
            ),
            activation("act6"),
            linear("fc1", 3),
        ],
    }
}

/// A graph of `random` layers. Each reads any of the values in front of it, the images among them;
/// linear layers take what is left over, and their sum is classified. Batch norms if `norms`.
fn random_network(random: &mut Random, norms: bool) -> NetworkConfig {
    let input = Shape::new(2 + random.below(4), 5 + random.below(5), 5 + random.below(5));
    let network = |layers| NetworkConfig { input, classes: 3, layers };
    let mut layers: Vec<LayerConfig> = Vec::new();
    let mut values = vec![("input".to_string(), input)];
    let mut read = vec![true];
    for number in 0..4 + random.below(8) {
        // The newest value is read more often than the others.
        let place = match random.below(2) {
            0 => values.len() - 1,
            _ => random.below(values.len() as u32) as usize,
        };
        let shape = values[place].1;
        let alike: Vec<usize> = (0..values.len()).filter(|&own| values[own].1 == shape).collect();
        let mut reads = vec![place];
        let large = shape.height >= 3 && shape.width >= 3;
        let channels = shape.channels;
        let windows = |random: &mut Random| Convolution {
            kernel: [1 + random.below(3), 1 + random.below(3)],
            dilation: [1 + random.below(2), 1],
            padding: Padding::Same,
            bias: random.below(2) == 0,
            ..Convolution::square(channels, [1, 1, 0])
        };
        let kind = match random.below(16) {
            0 | 1 => conv("", channels, [3, 1, 1]).kind,
            2 if large => conv("", 3 + random.below(4), [3, 2, 1]).kind,
            3 | 4 => LayerKind::Activation(ActivationFunction::Relu),
            5 if large => LayerKind::MaxPool(MaxPool {
                window: [2 + random.below(2), 1 + random.below(2), random.below(2)].into(),
                ceil_mode: random.below(2) == 1,
            }),
            6 if large => LayerKind::AveragePool(AveragePool {
                window: [3, 1 + random.below(2), 1].into(),
                ceil_mode: random.below(2) == 1,
                count_include_pad: random.below(2) == 1,
            }),
            7 => LayerKind::Dropout { rate: 0.25 },
            8 => {
                LayerKind::Conv(Convolution { groups: ChannelGroups::Depthwise, ..windows(random) })
            }
            9 if channels % 2 == 0 => {
                LayerKind::Conv(Convolution { groups: ChannelGroups::Count(2), ..windows(random) })
            }
            10 => LayerKind::Activation(match random.below(3) {
                0 => ActivationFunction::Silu,
                1 => ActivationFunction::Sigmoid,
                _ => ActivationFunction::LeakyRelu { slope: 0.25 },
            }),
            11 if norms => LayerKind::BatchNorm(BatchNorm::default()),
            12 => {
                let planes = |own: &usize| {
                    let other = values[*own].1;
                    other.pixels() == shape.pixels() && other.height == shape.height
                };
                let planes: Vec<usize> = (0..values.len()).filter(planes).collect();
                reads.push(planes[random.below(planes.len() as u32) as usize]);
                LayerKind::Concat {}
            }
            13 => {
                reads.push(alike[random.below(alike.len() as u32) as usize]);
                LayerKind::Multiply {}
            }
            _ => {
                let any = |_| alike[random.below(alike.len() as u32) as usize];
                let more: Vec<usize> = (0..2).map(any).collect();
                reads.extend(&more[..1 + random.below(2) as usize]);
                LayerKind::Add {}
            }
        };
        let names: Vec<&str> = reads.iter().map(|&own| values[own].0.as_str()).collect();
        let name = format!("layer{number}");
        let layer = LayerConfig::named(&name, kind).reading(&names);
        // The channels of a concatenation are those of all that it reads; other shapes are those of
        // the layer alone, on images of the shape of what it reads.
        let made = if let LayerKind::Concat {} = layer.kind {
            let channels = reads.iter().map(|&own| values[own].1.channels).sum();
            Shape { channels, ..shape }
        } else {
            let alone = LayerConfig { inputs: vec!["input".into(); reads.len()], ..layer.clone() };
            let alone = NetworkConfig { input: shape, ..network(vec![alone, linear("fc", 3)]) };
            alone.shapes().unwrap()[0]
        };
        reads.iter().for_each(|&own| read[own] = true);
        values.push((name, made));
        read.push(false);
        layers.push(layer);
    }
    let left: Vec<String> = values
        .iter()
        .zip(&read)
        .filter(|(_, read)| !**read)
        .map(|(own, _)| own.0.clone())
        .collect();
    let heads: Vec<String> = (0..left.len()).map(|number| format!("head{number}")).collect();
    for (head, value) in heads.iter().zip(&left) {
        layers.push(linear(head, 4).reading(&[value]));
    }
    if let [_, _, ..] = heads[..] {
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        layers.push(LayerConfig::add("sum", &heads));
    }
    layers.extend([activation("last"), linear("fc", 3)]);
    network(layers)
}

/// Operations that are part of a node, with others between them in the list: activations, a pool.
fn interleaved_network() -> NetworkConfig {
    let pool = || LayerConfig::max_pool(2, 2).kind;
    NetworkConfig {
        input: Shape::new(3, 8, 6),
        classes: 3,
        layers: vec![
            conv("conv1", 5, [3, 1, 1]),
            conv("conv2", 5, [3, 1, 1]).reading(&["input"]),
            activation("act1").reading(&["conv1"]),
            conv("conv3", 5, [1, 1, 0]).reading(&["conv2"]),
            LayerConfig::named("pool1", pool()).reading(&["act1"]),
            LayerConfig::named("pool2", pool()).reading(&["conv3"]),
            LayerConfig::add("add1", &["pool1", "pool2"]),
            conv("conv4", 5, [3, 1, 1]).reading(&["pool1"]),
            activation("act2").reading(&["add1"]),
            LayerConfig::add("add2", &["act2", "conv4"]),
            linear("fc1", 3),
        ],
    }
}

fn quantized(
    bits: &str,
    weight_quant: WeightQuantizer,
    per_channel: bool,
    pact: PactKind,
) -> QuantizationConfig {
    let bits = LayerBits::parse_list(bits).unwrap();
    QuantizationConfig { bits, weight_quant, per_channel, pact, ..Default::default() }
}

/// Parameters and images of one comparison, as the GPU sees them, and what the reference makes of
/// them.
struct Case {
    layout: ParameterLayout,
    parameters: Vec<f32>,
    input: Vec<f64>,
    logit_gradient: Vec<f64>,
    logits: Vec<f64>,
    input_gradient: Vec<f64>,
    gradients: Vec<f64>,
}

/// The parameters that have a gradient: behind them there are statistics.
fn learned(layout: &ParameterLayout) -> impl Iterator<Item = &Parameter> {
    layout.parameters.iter().filter(|own| own.range().end <= layout.length as usize)
}

impl Case {
    /// The first seed whose numbers keep their distance from every decision and give every
    /// parameter a gradient; none where `seeds` has no such seed.
    fn find(
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        precision: Precision,
        seeds: u64,
    ) -> Option<Case> {
        let images = IMAGES;
        let reference =
            ReferenceNetwork::new(config, quantization, true).unwrap().stored_in(precision);
        let layout = reference.graph.layout.clone();
        for seed in 0..seeds {
            let mut random = Random(seed);
            let mut parameters = vec![0.0; layout.padded_length() as usize];
            for parameter in &layout.parameters {
                let scale = match parameter.role {
                    ParameterRole::Bias => 0.1,
                    _ => (6.0 / parameter.fan_in as f32).sqrt(),
                };
                for value in &mut parameters[parameter.range()] {
                    *value = match parameter.role {
                        ParameterRole::Alpha => 0.875,
                        ParameterRole::ActivationStep { highest } => 0.875 / highest as f32,
                        // 5 of 15, 2 of 7, 1 of 3 steps.
                        ParameterRole::ActivationOffset { .. } => -0.3,
                        ParameterRole::Scale | ParameterRole::RunningVariance => {
                            1.0 + 0.5 * random.signed()
                        }
                        ParameterRole::Shift | ParameterRole::RunningMean => 0.3 * random.signed(),
                        _ => random.signed() * scale,
                    };
                }
            }
            for step in layout.steps() {
                layout.initialize_step(step, &mut parameters);
            }
            let mut vector = |count: u32| {
                random
                    .vector(images * count as usize)
                    .into_iter()
                    .map(f64::from)
                    .collect::<Vec<_>>()
            };
            let (input, logit_gradient) = (vector(config.input.elements()), vector(config.classes));
            let wide: Vec<f64> = parameters.iter().map(|&value| f64::from(value)).collect();
            let scales = reference.scales(&wide);
            let pass = reference.forward(&wide, &scales, &input);
            let margin = reference.margin(&wide, &scales, &pass);
            if margin.activations < MARGIN || margin.weights < MARGIN {
                continue;
            }
            let (input_gradient, gradients) =
                reference.backward(&wide, &scales, &pass, &logit_gradient);
            let is_idle = |parameter: &Parameter| {
                gradients[parameter.range()].iter().all(|&value| value == 0.0)
            };
            if !learned(&layout).any(is_idle) {
                let logits = pass.logits().to_vec();
                return Some(Case {
                    layout,
                    parameters,
                    input,
                    logit_gradient,
                    logits,
                    input_gradient,
                    gradients,
                });
            }
        }
        None
    }
}

fn record(values: [u32; 4]) -> Buffer {
    let buffer = gpu().uniform("images", 16).unwrap();
    gpu().write(&buffer, 0, &values);
    buffer
}

/// Largest relative errors of logits and gradients.
fn tolerances(precision: Precision) -> [f64; 2] {
    match precision {
        Precision::F32 => [1e-5, 1e-4],
        // The reference rounds to 16 bits where the kernels do, but where f32 and f64 lie to both
        // sides of a rounding edge (about one value in 1,000) they differ by one unit: 2^−10 of a
        // value, 2^−7 of a gradient.
        Precision::F16 => [5e-4, 4e-3],
    }
}

fn check(what: &str, config: &NetworkConfig, quantization: &QuantizationConfig, tables: &[bool]) {
    check_in(Precision::F32, what, config, quantization, tables);
}

fn check_in(
    precision: Precision,
    what: &str,
    config: &NetworkConfig,
    quantization: &QuantizationConfig,
    tables: &[bool],
) {
    let case = Case::find(config, quantization, precision, 300);
    let case = case.unwrap_or_else(|| panic!("{what}: every seed is near a decision"));
    compare(&case, precision, what, config, quantization, tables);
    let graph = Graph::new(config, quantization).unwrap();
    if precision == Precision::F32 && graph.is_piecewise_linear() {
        compare_map_gradients(&case, what, config, quantization, tables);
    }
}

/// The derivative of the maps by the parameters along a random direction, of three images behind
/// one that is not to be touched.
fn compare_map_gradients(
    case: &Case,
    what: &str,
    config: &NetworkConfig,
    quantization: &QuantizationConfig,
    tables: &[bool],
) {
    const SLOTS: u32 = 1 + IMAGES as u32;
    let reference = ReferenceNetwork::new(config, quantization, true).unwrap();
    let wide: Vec<f64> = case.parameters.iter().map(|&value| f64::from(value)).collect();
    let scales = reference.scales(&wide);
    let pass = reference.forward(&wide, &scales, &case.input);
    let direction: Vec<f64> =
        Random(77).vector(case.input.len()).into_iter().map(f64::from).collect();
    let expected = reference.map_gradient(&wide, &scales, &pass, &case.logit_gradient, &direction);
    let logit_shape = Shape::new(config.classes, 1, 1);
    for &software in tables {
        let what = format!("{what}, maps, {} tiles", if software { "software" } else { "GPU" });
        let options = NetworkOptions {
            slots: SLOTS,
            training: true,
            gradients: true,
            tangents: SLOTS,
            ..NetworkOptions::default()
        };
        let tiles = TileTable::for_kind(software);
        let network = Network::with_tiles(gpu(), config, quantization, options, tiles).unwrap();
        gpu().write(network.parameters(), 0, &case.parameters);
        let (input_size, logit_size) =
            (packed_elements(config.input), packed_elements(logit_shape));
        gpu().write(network.input(), input_size as u64 * 4, &pack(&case.input, config.input));
        let seed = pack(&case.logit_gradient, logit_shape);
        gpu().write(network.map_logit_gradients().unwrap(), logit_size as u64 * 4, &seed);
        let range = record([1, IMAGES as u32, IMAGES as u32, 0]);
        let range = ImageRange { binding: (&range).into(), most: SLOTS };
        let mut recording = Recording::new();
        network.record_weights(gpu(), &mut recording).unwrap();
        network.record_forward(gpu(), &mut recording, range, None).unwrap();
        let map = network.record_map(gpu(), &mut recording, range).unwrap();
        recording.submit(gpu()).unwrap();
        let actual: Vec<f32> = read(map.map.buffer(), SLOTS as usize * input_size);
        let own = unpack(&actual[input_size..], config.input);
        assert_close(&what, &own, &case.input_gradient, 1e-4);

        gpu().write(map.map.buffer(), input_size as u64 * 4, &pack(&direction, config.input));
        // What was there must not matter.
        let length = case.layout.padded_length() as usize;
        gpu().write(network.map_gradients().unwrap(), 0, &vec![7f32; length]);
        gpu().write(network.gradients(), 0, &vec![2f32; length]);
        let mut recording = Recording::new();
        network.record_map_gradient(gpu(), &mut recording, range, &map).unwrap();
        network.record_adding_map_gradient(gpu(), &mut recording).unwrap();
        recording.submit(gpu()).unwrap();
        let actual: Vec<f32> = read(network.map_gradients().unwrap(), length);
        for parameter in learned(&case.layout) {
            let what = format!("{what}: derivative by {}", parameter.name);
            let range = parameter.range();
            assert_close(&what, &actual[range.clone()], &expected[range], 1e-4);
        }
        let both: Vec<f32> = read(network.gradients(), case.layout.length as usize);
        assert!(both.iter().zip(&actual).all(|(sum, own)| *sum == 2.0 + own), "{what}");
    }
}

/// Three images stand behind one that is not to be touched; gradients of parameters come in two
/// parts, [1, 3) and [3, 4).
fn compare(
    case: &Case,
    precision: Precision,
    what: &str,
    config: &NetworkConfig,
    quantization: &QuantizationConfig,
    tables: &[bool],
) {
    const SLOTS: u32 = 6;
    let [forward, backward] = tolerances(precision);
    let logit_shape = Shape::new(config.classes, 1, 1);
    for &software in tables {
        let what = format!("{what}, {} tiles", if software { "software" } else { "GPU" });
        let options = NetworkOptions {
            slots: SLOTS,
            training: true,
            gradients: true,
            precision,
            masked: false,
            tangents: 0,
        };
        // Those that share loads within subgroups where the adapter has them; core_kernels.rs
        // runs both.
        let tiles = TileTable::for_kind(software)
            .with_subgroups(software && gpu().abilities().subgroup_lanes == Some(8));
        let network = Network::with_tiles(gpu(), config, quantization, options, tiles).unwrap();
        gpu().write(network.parameters(), 0, &case.parameters);
        let (input_size, logit_size) =
            (packed_elements(config.input), packed_elements(logit_shape));
        gpu().write(network.input(), input_size as u64 * 4, &pack(&case.input, config.input));
        let whole = record([1, IMAGES as u32, IMAGES as u32, 0]);
        let mut recording = Recording::new();
        network.record_weights(gpu(), &mut recording).unwrap();
        let range = ImageRange { binding: (&whole).into(), most: 4 };
        network.record_forward(gpu(), &mut recording, range, None).unwrap();
        recording.submit(gpu()).unwrap();
        let logits: Vec<f32> = read(network.logits(), SLOTS as usize * logit_size);
        let own = unpack(&logits[logit_size..(1 + IMAGES) * logit_size], logit_shape);
        assert_close(&format!("{what}: logits"), &own, &case.logits, forward);
        assert!(
            logits[..logit_size]
                .iter()
                .chain(&logits[(1 + IMAGES) * logit_size..])
                .all(|&value| value == 0.0),
            "{what}"
        );

        let packed_gradient = pack(&case.logit_gradient, logit_shape);
        let set_gradient = || {
            gpu().write(network.logit_gradients().unwrap(), logit_size as u64 * 4, &packed_gradient)
        };
        set_gradient();
        let mut recording = Recording::new();
        let to =
            network.record_backward(gpu(), &mut recording, range, None, Gradients::Input).unwrap();
        recording.submit(gpu()).unwrap();
        let actual: Vec<f32> = read(to.buffer(), (1 + IMAGES) * input_size);
        let own = unpack(&actual[input_size..], config.input);
        assert_close(&format!("{what}: input gradient"), &own, &case.input_gradient, backward);

        // Batch norms have gradients of their parameters while training alone.
        let is_norm = |layer: &LayerConfig| matches!(layer.kind, LayerKind::BatchNorm(_));
        if config.layers.iter().any(is_norm) {
            continue;
        }
        set_gradient();
        let mut recording = Recording::new();
        let (first, second) = (record([1, 2, 3, 0]), record([3, 1, 3, 1]));
        for (part, most) in [(&first, 3), (&second, 2)] {
            let range = ImageRange { binding: part.into(), most };
            network
                .record_backward(gpu(), &mut recording, range, None, Gradients::Parameters)
                .unwrap();
        }
        recording.submit(gpu()).unwrap();
        let actual: Vec<f32> = read(network.gradients(), case.layout.length as usize);
        for parameter in learned(&case.layout) {
            let expected = &case.gradients[parameter.range()];
            assert_close(
                &format!("{what}: gradient of {}", parameter.name),
                &actual[parameter.range()],
                expected,
                backward,
            );
        }
    }
}

fn table_one() -> NetworkConfig {
    NetworkConfig::table_one(Shape::new(1, 12, 12), 10, [0.0, 0.0])
}

#[test]
fn table_one_in_float() {
    check("table I, float", &table_one(), &QuantizationConfig::default(), &[true, false]);
}

#[test]
fn table_one_in_4_and_2_bits() {
    let quantization = quantized("4,2", WeightQuantizer::Sawb, false, PactKind::Unsigned);
    check("table I, sawb, unsigned", &table_one(), &quantization, &[true, false]);
}

#[test]
fn table_one_with_signed_pact() {
    let quantization = quantized("4,2", WeightQuantizer::Affine, true, PactKind::SignedAfterRelu);
    check("table I, affine, signed after ReLU", &table_one(), &quantization, &[true]);
    let quantization = quantized("4,2", WeightQuantizer::Dorefa, false, PactKind::Signed);
    check("table I, dorefa, signed", &table_one(), &quantization, &[false]);
}

#[test]
fn learned_steps_of_activations() {
    for (pact, weight_quant, software) in [
        (PactKind::Unsigned, WeightQuantizer::Sawb, true),
        (PactKind::Signed, WeightQuantizer::Lsq, false),
        (PactKind::SignedAfterRelu, WeightQuantizer::Affine, true),
    ] {
        let act_quant = ActivationQuantizer::Lsq;
        let quantization =
            QuantizationConfig { act_quant, ..quantized("4,2,w4a3", weight_quant, false, pact) };
        check(
            &format!("table I, {weight_quant:?}, lsq {pact:?}"),
            &table_one(),
            &quantization,
            &[software],
        );
        check(
            &format!("detached, {weight_quant:?}, lsq {pact:?}"),
            &detached_network(),
            &quantization,
            &[!software],
        );
    }
}

#[test]
fn learned_offsets_of_activations() {
    let act_quant = ActivationQuantizer::LsqPlus;
    for (pact, weight_quant, software) in [
        (PactKind::Unsigned, WeightQuantizer::Sawb, true),
        (PactKind::Signed, WeightQuantizer::Lsq, false),
    ] {
        let quantization =
            QuantizationConfig { act_quant, ..quantized("4,2,w4a3", weight_quant, false, pact) };
        let what = format!("{weight_quant:?}, lsq-plus {pact:?}");
        check(&format!("table I, {what}"), &table_one(), &quantization, &[software]);
        check(&format!("detached, {what}"), &detached_network(), &quantization, &[!software]);
    }
    // Of levels, sums in front of a pool would be equal here and there in f64, but not in f32.
    for pact in [PactKind::Unsigned, PactKind::Signed] {
        let quantization = QuantizationConfig {
            act_quant,
            ..quantized("w4a32,2,3,w4a32", WeightQuantizer::Affine, false, pact)
        };
        let (pooled, averaged) = (pooled_network(), averaged_network());
        check(&format!("pooled, lsq-plus {pact:?}"), &pooled, &quantization, &[true, false]);
        check(&format!("averaged, lsq-plus {pact:?}"), &averaged, &quantization, &[true]);
        let what = format!("pooled, lsq-plus {pact:?}, f16");
        check_in(Precision::F16, &what, &pooled, &quantization, &[true]);
    }
}

#[test]
fn learned_steps_and_binary_weights() {
    // One step a tensor, of a convolution and of fully connected layers; one an output channel.
    let quantization = quantized("4,2,w3a4", WeightQuantizer::Lsq, false, PactKind::Unsigned);
    check("table I, lsq, unsigned", &table_one(), &quantization, &[true, false]);
    let quantization =
        quantized("w8a4,w2a2,w4a4,w3a32", WeightQuantizer::Lsq, true, PactKind::Signed);
    check("odd, lsq, signed", &odd_network(), &quantization, &[true]);
    let quantization =
        quantized("w1a4,w1a2,w1a4,w1a32", WeightQuantizer::Binary, true, PactKind::Unsigned);
    check("odd, binary, unsigned", &odd_network(), &quantization, &[false]);
    // Every layer its own widths; DoReFa's 1-bit layers are binary.
    let quantization =
        quantized("w1a8,w4a2,w8a4,w2a32", WeightQuantizer::Dorefa, false, PactKind::Unsigned);
    check("odd, mixed, dorefa", &odd_network(), &quantization, &[true]);
    let quantization = quantized(
        "w5a3,w7a4,w32a4,w3a32",
        WeightQuantizer::Symmetric,
        true,
        PactKind::SignedAfterRelu,
    );
    check("odd, mixed, symmetric", &odd_network(), &quantization, &[false]);
}

#[test]
fn an_odd_network() {
    check("odd, float", &odd_network(), &QuantizationConfig::default(), &[true, false]);
    let quantization = quantized("4,2,3,w2a4", WeightQuantizer::Affine, false, PactKind::Unsigned);
    check("odd, affine, unsigned", &odd_network(), &quantization, &[true]);
    let quantization = quantized("4,2,3,w4a3", WeightQuantizer::Sawb, true, PactKind::Signed);
    check("odd, sawb, signed", &odd_network(), &quantization, &[false]);
    let quantization =
        quantized("w32a4,w2a2,w2a3", WeightQuantizer::Dorefa, true, PactKind::SignedAfterRelu);
    check("odd, dorefa, signed after ReLU", &odd_network(), &quantization, &[true]);
}

#[test]
fn narrow_convolutions() {
    check("narrow, float", &narrow_network(), &QuantizationConfig::default(), &[true, false]);
    let quantization = quantized("4,w4a32,3", WeightQuantizer::Affine, false, PactKind::Unsigned);
    check("narrow, quantized", &narrow_network(), &quantization, &[true, false]);
    let float = QuantizationConfig::default();
    check_in(Precision::F16, "narrow, f16", &narrow_network(), &float, &[true]);
}

#[test]
fn operations_of_a_node_stand_anywhere() {
    let float = QuantizationConfig::default();
    check("interleaved, float", &interleaved_network(), &float, &[true, false]);
    let quantization = quantized("4,3,w4a32", WeightQuantizer::Affine, false, PactKind::Unsigned);
    check("interleaved, quantized", &interleaved_network(), &quantization, &[true, false]);
}

#[test]
fn pools_behind_convolutions() {
    check("pooled, float", &pooled_network(), &QuantizationConfig::default(), &[true, false]);
    let quantization = quantized("4,2,3,w4a32", WeightQuantizer::Affine, false, PactKind::Unsigned);
    check("pooled, unsigned", &pooled_network(), &quantization, &[true]);
    let quantization = quantized("4,2,3,w4a32", WeightQuantizer::Affine, false, PactKind::Signed);
    check_in(Precision::F16, "pooled, signed, f16", &pooled_network(), &quantization, &[true]);
    let float = QuantizationConfig::default();
    check("padded pools, float", &padded_network(), &float, &[true, false]);
    // Of levels, sums in front of a pool would be equal here and there in f64, but not in f32.
    let quantization =
        quantized("w4a32,2,3,w4a32", WeightQuantizer::Affine, false, PactKind::Signed);
    check("padded pools, signed", &padded_network(), &quantization, &[true, false]);
    check_in(Precision::F16, "padded pools, f16", &padded_network(), &float, &[true]);
}

#[test]
fn average_pools() {
    check("averaged, float", &averaged_network(), &QuantizationConfig::default(), &[true, false]);
    let quantization = quantized("4,2,3,w4a32", WeightQuantizer::Affine, false, PactKind::Unsigned);
    check("averaged, unsigned", &averaged_network(), &quantization, &[true]);
    let quantization = quantized("4,3,3,w4a32", WeightQuantizer::Sawb, true, PactKind::Signed);
    check("averaged, signed", &averaged_network(), &quantization, &[false]);
    for bits in ["32", "4,2,3,w4a32"] {
        let quantization = quantized(bits, WeightQuantizer::Affine, false, PactKind::Unsigned);
        let what = format!("averaged, f16, {bits}");
        check_in(Precision::F16, &what, &averaged_network(), &quantization, &[true]);
    }
}

#[test]
fn convolutions_of_every_kind() {
    let network = convolutions_network();
    check("convolutions, float", &network, &QuantizationConfig::default(), &[true, false]);
    for (weight_quant, pact, tables) in [
        (WeightQuantizer::Affine, PactKind::Unsigned, &[true, false][..]),
        (WeightQuantizer::Lsq, PactKind::Signed, &[true]),
    ] {
        // Without a bias, sums of products of levels are often 0 but for rounding: these layers in
        // front of an activation keep float weights.
        let bits = "4,4,w32a4,4,4,4,w32a4,w4a32";
        for per_channel in [false, true] {
            let quantization = quantized(bits, weight_quant, per_channel, pact);
            let what = format!("convolutions, {weight_quant:?}, per channel {per_channel}");
            check(&what, &network, &quantization, tables);
        }
    }
    let bits = "4,4,w32a4,4,4,4";
    let quantization = quantized(bits, WeightQuantizer::Sawb, true, PactKind::Unsigned);
    let float = QuantizationConfig::default();
    // Its first blocks: every layer more rounds gradients to 8 bits once more.
    let mut blocks = network.clone();
    blocks.layers.truncate(9);
    blocks.layers.push(linear("fc1", 3));
    check_in(Precision::F16, "convolutions, float, f16", &blocks, &float, &[true, false]);
    check_in(Precision::F16, "convolutions, quantized, f16", &blocks, &quantization, &[true]);
}

#[test]
fn fully_connected_layers_without_a_bias() {
    let without = |name: &str, out_features| {
        LayerConfig::named(name, LayerKind::Linear { out_features, bias: false })
    };
    let network = NetworkConfig {
        input: Shape::new(2, 7, 6),
        classes: 3,
        layers: vec![
            LayerConfig::conv("conv1", 5, [3, 1, 0]),
            LayerConfig::activation("act1"),
            without("fc1", 9),
            LayerConfig::activation("act2"),
            without("fc2", 3),
        ],
    };
    check("no bias, float", &network, &QuantizationConfig::default(), &[true, false]);
    // As above: sums of levels in front of an activation.
    let quantization =
        quantized("4,w32a4,w4a32", WeightQuantizer::Affine, true, PactKind::Unsigned);
    check("no bias, quantized", &network, &quantization, &[true, false]);
}

#[test]
fn sums() {
    let networks = [("residual", residual_network()), ("branching", branching_network())];
    for (name, network) in &networks {
        check(&format!("{name}, float"), network, &QuantizationConfig::default(), &[true, false]);
        // The last activation is quantized too: sums of quantized numbers in front of a pool may be
        // equal but for rounding.
        let quantization =
            quantized("8,4,3,4,4,4", WeightQuantizer::Affine, false, PactKind::Unsigned);
        let layers = network.weight_layers().len();
        let bits = quantization.bits[..layers.min(6)].to_vec();
        let quantization = QuantizationConfig { bits, ..quantization };
        check(&format!("{name}, unsigned"), network, &quantization, &[true]);
        let quantization = QuantizationConfig { pact: PactKind::Signed, ..quantization };
        check(&format!("{name}, signed"), network, &quantization, &[true, false]);
    }
    let float = QuantizationConfig::default();
    check_in(Precision::F16, "branching, f16", &branching_network(), &float, &[true]);
    // The first block alone: every block more rounds gradients to 8 bits once more.
    let mut block = residual_network();
    block.layers.truncate(5);
    block.layers.push(linear("fc1", 3));
    check_in(Precision::F16, "residual, f16", &block, &float, &[true, false]);
}

#[test]
fn global_average_pools_and_rows() {
    for (name, network) in [("headless", headless_network()), ("rows", flattened_network())] {
        check(&format!("{name}, float"), &network, &QuantizationConfig::default(), &[true, false]);
        let mut quantization =
            quantized("4,32,3,4,4,w4a32", WeightQuantizer::Affine, false, PactKind::Unsigned);
        quantization.bits.truncate(network.weight_layers().len());
        check(&format!("{name}, unsigned"), &network, &quantization, &[true]);
        let quantization = QuantizationConfig { pact: PactKind::Signed, ..quantization };
        check(&format!("{name}, signed"), &network, &quantization, &[false]);
        let float = QuantizationConfig::default();
        check_in(Precision::F16, &format!("{name}, f16"), &network, &float, &[true]);
    }
}

#[test]
fn concatenations_and_products() {
    let networks = [("concatenated", concatenated_network()), ("multiplied", multiplied_network())];
    for (name, network) in &networks {
        let float = QuantizationConfig::default();
        check(&format!("{name}, float"), network, &float, &[true, false]);
        let quantization =
            quantized("4,4,32,32,4,32", WeightQuantizer::Affine, false, PactKind::Unsigned);
        check(&format!("{name}, unsigned"), network, &quantization, &[true]);
        check_in(Precision::F16, &format!("{name}, f16"), network, &float, &[true]);
    }
}

#[test]
fn functions_of_activations() {
    let network = functions_network();
    check("functions, float", &network, &QuantizationConfig::default(), &[true, false]);
    for (act_quant, pact, software) in [
        (ActivationQuantizer::Pact, PactKind::Unsigned, true),
        (ActivationQuantizer::Lsq, PactKind::Signed, false),
        (ActivationQuantizer::LsqPlus, PactKind::Unsigned, true),
    ] {
        let quantization = QuantizationConfig {
            act_quant,
            ..quantized("w4a4,3,4,w8a4,32,w4a4", WeightQuantizer::Affine, false, pact)
        };
        let what = format!("functions, {act_quant:?}, {pact:?}");
        check(&what, &network, &quantization, &[software]);
    }
    // Every layer more rounds gradients to 8 bits once more: a few layers alone.
    let layers = |first: usize, end: usize, input| {
        let mut layers = network.layers[first..end].to_vec();
        layers.push(linear("fc", 3));
        NetworkConfig { input, layers, classes: 3 }
    };
    let float = QuantizationConfig::default();
    let half = [
        layers(0, 4, Shape::new(3, 11, 9)),
        layers(10, 13, Shape::new(9, 5, 4)),
        layers(13, 17, Shape::new(5, 4, 3)),
    ];
    for (number, network) in half.iter().enumerate() {
        let what = format!("functions, f16, {number}");
        check_in(Precision::F16, &what, network, &float, &[true, false]);
    }
}

/// Gradients of values with several readers, in place and not, whatever the order of the layers.
#[test]
fn random_graphs() {
    let mut compared = 0;
    // More seeds: the environment variable `SEEDS`, such as 100.
    let seeds = 0..std::env::var("SEEDS").map_or(12, |seeds| seeds.parse().unwrap());
    for seed in seeds {
        let mut random = Random(1000 + seed);
        let network = random_network(&mut random, seed % 4 == 3);
        let quantization = match seed % 3 {
            0 => QuantizationConfig::default(),
            1 => quantized("8", WeightQuantizer::Affine, false, PactKind::Unsigned),
            _ => quantized("4", WeightQuantizer::Symmetric, true, PactKind::Signed),
        };
        let bits = quantization.bits.first().copied().unwrap_or(LayerBits::FLOAT);
        let bits = vec![bits; network.weight_layers().len()];
        let quantization = QuantizationConfig { bits, ..quantization };
        if let Some(case) = Case::find(&network, &quantization, Precision::F32, 60) {
            let what = format!("graph {seed} {:?}", network.layers);
            let tables = [seed % 2 == 0];
            compare(&case, Precision::F32, &what, &network, &quantization, &tables);
            compared += 1;
        }
    }
    assert!(compared >= 3, "{compared} graphs are far from every decision");
}

/// In training a pool is part of the convolution in front of it, otherwise it is not: the same
/// sums, so the same bits, and in quantized windows, which tie all the time, the same choices.
#[test]
fn pools_in_convolutions_choose_as_pools_behind_them() {
    const IMAGES: u32 = 3;
    let config = pooled_network();
    for (bits, precision) in
        [("32", Precision::F32), ("4,2,3,w4a32", Precision::F32), ("4,2,3,w4a32", Precision::F16)]
    {
        let quantization = quantized(bits, WeightQuantizer::Affine, false, PactKind::Unsigned);
        let run = |training: bool| {
            let options = NetworkOptions {
                slots: IMAGES,
                training,
                gradients: true,
                precision,
                masked: false,
                tangents: 0,
            };
            let network = Network::with_tiles(
                gpu(),
                &config,
                &quantization,
                options,
                TileTable::for_kind(true),
            )
            .unwrap();
            let mut random = Random(5);
            let mut parameters = random.vector(network.graph.layout.padded_length() as usize);
            for parameter in network
                .graph
                .layout
                .parameters
                .iter()
                .filter(|parameter| parameter.role == ParameterRole::Alpha)
            {
                parameters[parameter.range()].fill(1.5);
            }
            gpu().write(network.parameters(), 0, &parameters);
            let images: Vec<f64> = random
                .vector((IMAGES * config.input.elements()) as usize)
                .into_iter()
                .map(f64::from)
                .collect();
            gpu().write(network.input(), 0, &pack(&images, config.input));
            let logit_gradients = [1.0f32, -2.0, 0.5, 0.0].repeat(IMAGES as usize);
            gpu().write(network.logit_gradients().unwrap(), 0, &logit_gradients);
            let whole = record([0, IMAGES, IMAGES, 0]);
            let range = ImageRange { binding: (&whole).into(), most: IMAGES };
            let mut recording = Recording::new();
            network.record_weights(gpu(), &mut recording).unwrap();
            network.record_forward(gpu(), &mut recording, range, None).unwrap();
            let to = network
                .record_backward(gpu(), &mut recording, range, None, Gradients::Input)
                .unwrap();
            recording.submit(gpu()).unwrap();
            let logits: Vec<f32> = read(network.logits(), 4 * IMAGES as usize);
            let gradients: Vec<f32> =
                read(to.buffer(), IMAGES as usize * packed_elements(config.input));
            let pools = network.activations().filter(|(name, ..)| name.starts_with("pool")).count();
            (pools, logits, gradients)
        };
        let (joined, separate) = (run(true), run(false));
        // The first convolution sees a single group of channels: its pool stays on its own.
        assert_eq!((joined.0, separate.0), (1, 3));
        assert!(
            joined.1 == separate.1,
            "{bits} {precision:?}: logits {:?} {:?}",
            joined.1,
            separate.1
        );
        assert!(joined.2 == separate.2, "{bits} {precision:?}: gradients differ");
        assert!(joined.2.iter().any(|&value| value != 0.0));
    }
}

#[test]
fn activations_on_their_own() {
    check("detached, float", &detached_network(), &QuantizationConfig::default(), &[false]);
    for (pact, software) in
        [(PactKind::Unsigned, true), (PactKind::Signed, false), (PactKind::SignedAfterRelu, true)]
    {
        let quantization = quantized("4,2", WeightQuantizer::Affine, false, pact);
        check(&format!("detached, {pact:?}"), &detached_network(), &quantization, &[software]);
    }
}

/// Every kernel that touches activations, with tiles of both kinds of adapters, in 16 bits.
#[test]
fn activations_in_16_bits() {
    let check =
        |what: &str, config: &NetworkConfig, quantization: &QuantizationConfig, tables: &[bool]| {
            check_in(Precision::F16, &format!("{what}, f16"), config, quantization, tables);
        };
    check("table I, float", &table_one(), &QuantizationConfig::default(), &[true, false]);
    let quantization =
        quantized("w32a4,w2a2,w2a3", WeightQuantizer::Dorefa, true, PactKind::SignedAfterRelu);
    check("odd, dorefa, signed after ReLU", &odd_network(), &quantization, &[true, false]);
    let quantization = quantized("4,2", WeightQuantizer::Affine, false, PactKind::Signed);
    check("detached, affine, signed", &detached_network(), &quantization, &[true, false]);
}

#[test]
fn networks_that_cannot_be_are_refused() {
    let options =
        NetworkOptions { slots: 1, training: false, gradients: false, ..NetworkOptions::default() };
    let refused = |config: &NetworkConfig, quantization: &QuantizationConfig| match Network::new(
        gpu(),
        config,
        quantization,
        options,
    ) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    };
    let signed = quantized("2,1", WeightQuantizer::Affine, false, PactKind::Signed);
    assert!(matches!(
        refused(&table_one(), &signed),
        Error::Settings(said) if said.to_string().contains("1 bit")
    ));
    let sawb = quantized("6", WeightQuantizer::Sawb, false, PactKind::Unsigned);
    assert!(matches!(refused(&table_one(), &sawb), Error::Settings(_)));
    let mut wide = table_one();
    wide.input = Shape::new(1, 40, 40);
    wide.layers[4] = LayerConfig::max_pool(16, 2);
    assert!(matches!(refused(&wide, &QuantizationConfig::default()), Error::Model(_)));
    let network =
        Network::new(gpu(), &table_one(), &QuantizationConfig::default(), options).unwrap();
    assert!(network.logit_gradients().is_err());
}

#[test]
fn networks_that_people_deploy() {
    for (name, network) in networks() {
        check(name, &network, &QuantizationConfig::default(), &[true, false]);
        // Their levels are compared where whole networks are integers.
        let bits = vec!["w8a32"; network.weight_layers().len()].join(",");
        let quantization = quantized(&bits, WeightQuantizer::Affine, true, PactKind::Unsigned);
        check(&format!("{name}, {bits}"), &network, &quantization, &[true, false]);
    }
}
