//! What models are deployed as, against the kernels that trained them.

mod common;

use common::{Random, gpu, read};
use saliq::{
    config::{
        LayerBits, LayerConfig, ModelConfig, NetworkConfig, PactKind, PixelNormalization, QuantizationConfig, Shape,
        WeightQuantizer, expand_bits,
    },
    deploy::{DeployableActivation, DeployableModel, DeployableWeights, Operation},
    gpu::Recording,
    model::Model,
    nn::{Network, NetworkOptions, ParameterLayout, ParameterRole},
};

fn conv(name: &str, out_channels: u32, [kernel, stride, padding]: [u32; 3]) -> LayerConfig {
    LayerConfig::Conv { name: name.into(), out_channels, kernel, stride, padding }
}

fn activation(name: &str) -> LayerConfig {
    LayerConfig::Activation { name: name.into() }
}

/// Odd shapes, batch norms behind both kinds of layers, dropout.
fn network() -> NetworkConfig {
    let layers = vec![
        conv("conv1", 6, [3, 1, 1]),
        LayerConfig::BatchNorm { name: "bn1".into() },
        activation("act1"),
        LayerConfig::MaxPool { kernel: 2, stride: 2 },
        conv("conv2", 13, [3, 2, 0]),
        activation("act2"),
        LayerConfig::Dropout { rate: 0.5 },
        LayerConfig::Linear { name: "fc1".into(), out_features: 18 },
        LayerConfig::BatchNorm { name: "bn2".into() },
        activation("act3"),
        LayerConfig::Linear { name: "fc2".into(), out_features: 5 },
    ];
    NetworkConfig { input: Shape::new(3, 11, 13), classes: 5, layers }
}

/// A model of random parameters.
fn model(bits: &str, quantization: QuantizationConfig, seed: u64) -> Model {
    let network = network();
    let bits = expand_bits(&LayerBits::parse_list(bits).unwrap(), &network).unwrap();
    let quantization = QuantizationConfig { bits, ..quantization };
    let layout = ParameterLayout::new(&network, &quantization).unwrap();
    let mut random = Random(seed);
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    for parameter in &layout.parameters {
        for value in &mut parameters[parameter.range()] {
            *value = match parameter.role {
                ParameterRole::Weight => (random.signed() + random.signed() + random.signed()) / (parameter.fan_in as f32).sqrt(),
                ParameterRole::Scale | ParameterRole::RunningVariance | ParameterRole::Alpha => 1.2 + random.signed(),
                _ => 0.3 * random.signed(),
            };
        }
    }
    for step in layout.steps() {
        layout.initialize_step(step, &mut parameters);
    }
    let normalize = PixelNormalization { mean: 0.4, deviation: 0.3 };
    let config = ModelConfig {
        network,
        quantization,
        normalize,
        dataset: String::new(),
        class_names: Vec::new(),
        training: Default::default(),
    };
    Model { config, layout, parameters, has_alphas: true, path: Default::default() }
}

/// The kernels' quantized weights of every layer, [out, in, tap].
fn kernel_weights(model: &Model) -> Vec<Vec<f32>> {
    let options = NetworkOptions { slots: 1, ..Default::default() };
    let network = Network::new(gpu(), &model.config.network, &model.config.quantization, options).unwrap();
    gpu().write(&network.parameters, 0, &model.parameters);
    let mut recording = Recording::new();
    network.record_weights(gpu(), &mut recording).unwrap();
    recording.submit(gpu()).unwrap();
    let of_layer = |(name, buffer)| {
        let shape = &model.layout.find(&format!("{name}.weight")).unwrap().shape;
        let (out_channels, in_channels, taps) = match shape[..] {
            [out, input, height, width] => (out, input, height * width),
            // A fully connected layer takes all pixels of its input as taps: fc1 sees 13 channels of 2 × 2 pixels, fc2 18 of 1.
            [out, 52] => (out, 13, 4),
            _ => (shape[0], shape[1], 1),
        };
        let (in_padded, out_padded) = (in_channels.next_multiple_of(4), out_channels.next_multiple_of(4));
        let arranged: Vec<f32> = read(buffer, taps * in_padded * out_padded);
        let at = |o: usize, i: usize, tap: usize| arranged[(tap * in_padded + i) * out_padded + o];
        let channels = (0..out_channels).flat_map(move |o| (0..in_channels).map(move |i| (o, i)));
        channels.flat_map(|(o, i)| (0..taps).map(move |tap| (o, i, tap))).map(|(o, i, tap)| at(o, i, tap)).collect()
    };
    network.layer_weights().map(of_layer).collect()
}

fn weights(model: &DeployableModel) -> Vec<&DeployableWeights> {
    model.layers.iter().filter_map(|layer| layer.operation.weights()).collect()
}

/// Every weight of every quantizer has the level that the kernels gave it, and but for two quantizers the very same bits when dequantized.
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
            let quantization = QuantizationConfig { weight_quant, per_channel, ..Default::default() };
            let model = model(&bits.join(","), quantization, 7);
            let deployed = DeployableModel::new(&model).unwrap();
            for (layer, (made, expected)) in weights(&deployed).into_iter().zip(kernel_weights(&model)).enumerate() {
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
                    assert!((value - expected).abs() <= tolerance, "{what}: weight {at} is {value:e}, not {expected:e}");
                }
            }
        }
    }
}

#[test]
fn batch_norms_and_dropouts_are_gone() {
    let quantization = QuantizationConfig { pact: PactKind::Signed, ..Default::default() };
    let deployed = DeployableModel::new(&model("w4a3,w32a4,w2a32,8", quantization, 3)).unwrap();
    let names: Vec<&str> = deployed.layers.iter().map(|layer| &*layer.name).collect();
    assert_eq!(names, ["conv1", "act1", "pool3", "conv2", "act2", "fc1", "act3", "fc2"]);
    assert!(deployed.layers.windows(2).all(|pair| pair[0].output == pair[1].input));
    assert_eq!(weights(&deployed).iter().map(|weights| weights.levels.is_some()).collect::<Vec<_>>(), [true, false, true, true]);
    let grids: Vec<_> = deployed
        .layers
        .iter()
        .filter_map(|layer| match &layer.operation {
            Operation::Activation(DeployableActivation::Quantized(grid)) => Some([grid.lowest, grid.highest]),
            Operation::Activation(DeployableActivation::Relu) => Some([0, 0]),
            _ => None,
        })
        .collect();
    assert_eq!(grids, [[-3, 3], [-7, 7], [0, 0]]);
}
