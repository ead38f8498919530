//! Integer inference of networks of every operation: step by step against exact arithmetic, with
//! the kernels of software drivers and of GPUs, and its levels against those of fake quantization.

use saliq::{
    batch::ResidentData,
    config::{
        ActivationFunction, ActivationQuantizer, ChannelGroups, Convolution, LayerConfig,
        LayerKind, MaxPool, NetworkConfig, PactKind, Padding, QuantizationConfig, Shape,
        WeightQuantizer,
    },
    deploy::{DeployableModel, Encoding, IntegerPlan, IntegerStep, StepOperation},
    integer::{Agreement, IntegerNetwork},
    model::Model,
    nn::{Network, NetworkOptions},
};

use crate::{
    common::{activation, conv, gpu, in_colour, random_model},
    deploy::{check_by, images},
};

fn convolution(name: &str, own: Convolution) -> LayerConfig {
    LayerConfig::convolution(name, own)
}

fn square(channels: u32, window: [u32; 3]) -> Convolution {
    Convolution::square(channels, window)
}

fn depthwise(channels: u32, window: [u32; 3]) -> Convolution {
    Convolution { groups: ChannelGroups::Depthwise, ..square(channels, window) }
}

fn function(name: &str, function: ActivationFunction) -> LayerConfig {
    LayerConfig::activation_of(name, function)
}

fn max_pool(name: &str, pool: MaxPool) -> LayerConfig {
    LayerConfig::named(name, LayerKind::MaxPool(pool))
}

fn network([channels, height, width]: [u32; 3], layers: Vec<LayerConfig>) -> NetworkConfig {
    NetworkConfig { input: Shape::new(channels, height, width), classes: 5, layers }
}

/// Blocks with a way round, of which one halves the plane; no bias in front of the norms; means of
/// planes as scores.
fn residual() -> NetworkConfig {
    let plain = |name: &str, channels, window| {
        convolution(name, Convolution { bias: false, ..square(channels, window) })
    };
    let layers = vec![
        plain("conv1", 6, [3, 1, 1]),
        LayerConfig::batch_norm("bn1"),
        activation("act1"),
        plain("conv2", 6, [3, 1, 1]),
        LayerConfig::batch_norm("bn2"),
        LayerConfig::add("add1", &["bn2", "act1"]),
        activation("act2"),
        plain("conv3", 9, [3, 2, 1]),
        LayerConfig::batch_norm("bn3"),
        activation("act3"),
        plain("short", 9, [1, 2, 0]).reading(&["act2"]),
        LayerConfig::add("add2", &["short", "act3"]),
        activation("act4"),
        conv("conv4", 5, [1, 1, 0]),
        LayerConfig::global_average_pool("gap"),
    ];
    network([3, 9, 11], layers)
}

/// Depthwise convolutions with zeros on some sides and 1×1 convolutions, of sets of channels too; a
/// norm in front of them; rectangles, dilation, taps that are far apart.
fn separable() -> NetworkConfig {
    let layers = vec![
        LayerConfig::batch_norm("bn0"),
        convolution(
            "conv1",
            Convolution {
                kernel: [3, 4],
                padding: Padding::Sides([1, 0, 2, 3]),
                ..square(6, [3, 1, 1])
            },
        ),
        activation("act1"),
        convolution(
            "deep1",
            Convolution {
                stride: [2, 1],
                padding: Padding::Same,
                bias: false,
                ..depthwise(6, [3, 1, 1])
            },
        ),
        LayerConfig::batch_norm("bn1"),
        activation("act2"),
        convolution(
            "point1",
            Convolution { groups: ChannelGroups::Count(2), ..square(10, [1, 1, 0]) },
        ),
        activation("act3"),
        convolution(
            "deep2",
            Convolution {
                kernel: [2, 3],
                dilation: [3, 2],
                padding: Padding::Sides([2, 1, 1, 3]),
                ..depthwise(10, [3, 1, 1])
            },
        ),
        activation("act4"),
        convolution(
            "far",
            Convolution {
                dilation: [1, 17],
                padding: Padding::Sides([1, 17, 1, 18]),
                bias: false,
                ..square(7, [3, 1, 1])
            },
        ),
        activation("act5"),
        LayerConfig::linear("fc1", 5),
    ];
    network([3, 10, 11], layers)
}

/// An inverted residual: expanded, convolved channel by channel, projected, and added to what went
/// in.
fn inverted() -> NetworkConfig {
    let relu6 = |name: &str| function(name, ActivationFunction::Relu6);
    let layers = vec![
        conv("stem", 5, [3, 2, 1]),
        relu6("act1"),
        conv("expand", 18, [1, 1, 0]),
        relu6("act2"),
        convolution("deep", depthwise(18, [3, 1, 1])),
        relu6("act3"),
        conv("project", 5, [1, 1, 0]),
        LayerConfig::add("add1", &["project", "act1"]),
        relu6("act4"),
        LayerConfig::global_average_pool("gap"),
        LayerConfig::linear("fc1", 5),
    ];
    network([1, 14, 15], layers)
}

/// Squeeze-and-excite: channels are weighed by functions of their means; functions behind
/// convolutions and on their own.
fn squeezed() -> NetworkConfig {
    let layers = vec![
        conv("conv1", 6, [3, 1, 1]),
        function("act1", ActivationFunction::HardSwish),
        LayerConfig::global_average_pool("gap"),
        LayerConfig::named("flat", LayerKind::Flatten {}),
        LayerConfig::linear("fc1", 8),
        activation("act2"),
        LayerConfig::linear("fc2", 6),
        function("gate", ActivationFunction::Sigmoid),
        LayerConfig::multiply("mul1", ["gate", "act1"]),
        conv("conv2", 7, [3, 2, 1]),
        function("act3", ActivationFunction::Silu),
        function("act4", ActivationFunction::Tanh).reading(&["conv2"]),
        LayerConfig::multiply("mul2", ["act3", "act4"]),
        function("act5", ActivationFunction::LeakyRelu { slope: 0.125 }),
        LayerConfig::linear("fc3", 5),
    ];
    network([3, 8, 9], layers)
}

/// A block whose layers read all before them, levels side by side with others, and pools with
/// padding and a last window that reaches beyond the image.
fn dense() -> NetworkConfig {
    let padded = MaxPool { window: [3, 1, 1].into(), ceil_mode: false };
    let reaching = MaxPool { window: [3, 2, 1].into(), ceil_mode: true };
    let layers = vec![
        max_pool("pool0", padded),
        LayerConfig::concat("cat0", &["input", "pool0"]),
        conv("conv1", 5, [3, 1, 1]),
        activation("act1"),
        max_pool("pool1", padded),
        LayerConfig::concat("cat1", &["act1", "pool1", "act1"]),
        conv("conv2", 3, [3, 1, 1]),
        activation("act2"),
        LayerConfig::concat("cat2", &["act2", "act1"]),
        conv("conv3", 6, [1, 1, 0]),
        activation("act3"),
        max_pool("pool2", reaching),
        conv("conv4", 7, [2, 1, 0]),
        max_pool("pool3", reaching),
        activation("act4"),
        LayerConfig::linear("fc1", 5),
    ];
    network([3, 10, 12], layers)
}

/// How a network is quantized, and how it is run.
#[derive(Clone, Copy, Debug)]
struct Setting {
    /// Of every other layer with weights, and of those between them.
    bits: [&'static str; 2],
    act_quant: ActivationQuantizer,
    pact: PactKind,
    /// Scales of weights: a channel each, or a layer.
    per_channel: bool,
    /// Images at a time.
    slots: u32,
}

fn model(network: NetworkConfig, setting: Setting, seed: u64) -> Model {
    let Setting { bits, act_quant, pact, per_channel, .. } = setting;
    let weight_quant = if per_channel { WeightQuantizer::Symmetric } else { WeightQuantizer::Sawb };
    let quantization =
        QuantizationConfig { weight_quant, act_quant, pact, per_channel, ..Default::default() };
    let layers = network.weight_layers().len();
    let bits: Vec<&str> = bits.into_iter().cycle().take(layers).collect();
    random_model(network, &bits.join(","), quantization, seed)
}

const fn setting(
    bits: [&'static str; 2],
    act_quant: ActivationQuantizer,
    pact: PactKind,
    per_channel: bool,
    slots: u32,
) -> Setting {
    Setting { bits, act_quant, pact, per_channel, slots }
}

const SETTINGS: [Setting; 6] = {
    use ActivationQuantizer::{LsqPlus, Pact};
    use PactKind::{Signed, Unsigned};
    [
        setting(["4", "4"], Pact, Unsigned, false, 4),
        setting(["8", "8"], Pact, Signed, true, 1),
        setting(["4", "2"], Pact, Signed, false, 3),
        setting(["8", "8"], LsqPlus, Signed, false, 7),
        setting(["4", "2"], LsqPlus, Unsigned, true, 4),
        setting(["32", "32"], Pact, Unsigned, false, 4),
    ]
};

/// Checks `network` with all settings and a seed each, with which no sum of floats is near an edge
/// and no layer makes a single level. Returns the plan of the first, of 4 bits everywhere.
fn check(network: fn() -> NetworkConfig, seeds: [u64; 6]) -> IntegerPlan {
    let of = |(setting, seed): (Setting, u64)| {
        check_by(&format!("{setting:?}"), &model(network(), setting, seed), setting.slots)
    };
    SETTINGS.into_iter().zip(seeds).map(of).collect::<Vec<_>>().swap_remove(0)
}

/// How many steps of `plan` are as `is` says.
fn count(plan: &IntegerPlan, is: impl Fn(&StepOperation, &IntegerStep) -> bool) -> usize {
    plan.steps.iter().filter(|step| is(&step.operation, step)).count()
}

#[test]
fn residual_blocks_are_exact() {
    let plan = check(residual, [11; 6]);
    assert_eq!(plan.integer_steps(), 5);
    let sums = |operation: &StepOperation, step: &IntegerStep| {
        matches!(operation, StepOperation::Add { .. }) && step.to != Encoding::Float
    };
    assert_eq!(count(&plan, sums), 2);
    assert!(matches!(plan.steps.last().unwrap().operation, StepOperation::AveragePool { .. }));
}

#[test]
fn separable_convolutions_are_exact() {
    let plan = check(separable, [12; 6]);
    // The norm in front makes floats of pixels.
    assert_eq!(plan.integer_steps(), 5);
    let groups = |operation: &StepOperation, _: &IntegerStep| match operation {
        StepOperation::Weighted(weighted) => weighted.groups > 1,
        _ => false,
    };
    assert_eq!(count(&plan, groups), 4);
    let offsets = |setting: Setting| {
        let model = DeployableModel::new(&model(separable(), setting, 12)).unwrap();
        let is_by_place = |operation: &StepOperation, _: &IntegerStep| match operation {
            StepOperation::Weighted(weighted) => weighted.border.is_some(),
            _ => false,
        };
        count(&IntegerPlan::new(&model), is_by_place)
    };
    // Zero points in front of padding: of both depthwise layers and of the dilated one.
    assert_eq!([SETTINGS[0], SETTINGS[3]].map(offsets), [0, 3]);
}

#[test]
fn inverted_residuals_are_exact() {
    let plan = check(inverted, [11; 6]);
    assert_eq!(plan.integer_steps(), 4);
}

#[test]
fn squeezes_and_excitations_are_exact() {
    let plan = check(squeezed, [12, 12, 26, 12, 12, 12]);
    let of = |is: fn(&StepOperation) -> bool| count(&plan, |operation, _| is(operation));
    assert_eq!(of(|operation| matches!(operation, StepOperation::Multiply)), 2);
    assert_eq!(of(|operation| matches!(operation, StepOperation::Function(_))), 5);
}

#[test]
fn dense_blocks_are_exact() {
    let plan = check(dense, [11; 6]);
    let joined = |is: fn(&Encoding) -> bool| {
        count(&plan, |operation, step| matches!(operation, StepOperation::Concat) && is(&step.to))
    };
    assert_eq!(joined(|to| *to == Encoding::Pixels), 1);
    assert_eq!(joined(|to| matches!(to, Encoding::Levels(_))), 2);
    assert_eq!(joined(|to| *to == Encoding::Float), 1);
    let padded = |operation: &StepOperation, _: &IntegerStep| match operation {
        StepOperation::MaxPool(pool) => pool.window.padding != [0; 4],
        _ => false,
    };
    assert_eq!(count(&plan, padded), 4);
}

fn plan_of(model: &Model) -> IntegerPlan {
    let model = DeployableModel::new(model).unwrap();
    IntegerPlan::new(&model)
}

/// Channels with constants of their own have no scale in common: floats go in.
#[test]
fn channels_are_normalised_each_in_its_own_way() {
    let own = in_colour(model(separable(), SETTINGS[0], 11));
    let plan = check_by("colour", &own, 4);
    assert_eq!((&plan.steps[0].name[..], &plan.steps[0].to), ("normalize", &Encoding::Float));
    let readers: Vec<usize> = plan.readers(0).collect();
    assert!(plan.steps[1..].iter().all(|step| step.from != Encoding::Pixels), "{readers:?}");
    let agreement = agreement(&own);
    for layer in &agreement.layers {
        assert!(layer.levels > 0 && layer.unexplained == 0, "{layer:?}");
        assert!(layer.different * 1000 <= layer.levels, "{layer:?}");
    }
}

/// The levels of `model` beside those of fake quantization, over 20 images.
fn agreement(model: &Model) -> Agreement {
    let plan = plan_of(model);
    let integer = IntegerNetwork::new(gpu(), &plan, 8).unwrap();
    let options = NetworkOptions { slots: 8, ..Default::default() };
    let network =
        Network::new(gpu(), &model.config.network, &model.config.quantization, options).unwrap();
    gpu().write(network.parameters(), 0, &model.parameters);
    let data = ResidentData::new(gpu(), &images(plan.input, 20, 9), plan.input).unwrap();
    let mut progress = |_| {};
    let normalization = model.normalization().unwrap();
    let measured =
        Agreement::measure(gpu(), &network, &integer, &data, normalization, 8, &mut progress);
    pollster::block_on(measured).unwrap()
}

/// Against fake quantization in floats: levels agree but where rounding reaches an edge.
#[test]
fn levels_are_those_of_fake_quantization() {
    for network in [residual, separable, inverted, squeezed, dense] {
        for setting in [SETTINGS[0], SETTINGS[1], SETTINGS[3]] {
            let agreement = agreement(&model(network(), setting, 11));
            assert_eq!(agreement.images, 20);
            assert!(agreement.layers.len() >= 4, "{agreement:?}");
            for layer in &agreement.layers {
                let what = format!("{setting:?}: {layer:?}");
                assert!(layer.levels > 0 && layer.unexplained == 0, "{what}");
                // What reads another level makes others, and no more.
                assert!(layer.different * 1000 <= layer.levels, "{what}");
            }
            assert!(agreement.largest_logit_difference < 1e-2, "{agreement:?}");
        }
    }
}
