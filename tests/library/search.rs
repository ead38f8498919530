//! The search of bits: sensitivities against other parts of the library one by one, the plan's
//! passes against those made, and 1-bit layers beside others against the f64 reference.

use std::sync::OnceLock;

use saliq::{
    batch::ResidentData,
    config::{
        LayerBits, LayerConfig, NetworkConfig, PixelNormalization, QuantizationConfig, Shape,
        WeightQuantizer,
    },
    data::Split,
    gpu::Recording,
    graph::Graph,
    judgement::{AlignmentOptions, Subject, alignment},
    kernels::ImageRange,
    layout::from_nchw,
    metrics::Cost,
    model::Model,
    nn::{Network, NetworkOptions},
    post_training::{Calibration, PostTraining, quantize},
    reference::network::ReferenceNetwork,
    saliency::{Method, MethodOptions, Target},
    search::{
        Budget, Found, Objective, Plan, Probe, Rule, SearchSettings, Space, Unit, Watcher, search,
    },
};

use crate::{
    common::{Random, activation, assert_close, conv, gpu, random_model, read, uniform},
    support::colored,
};

const IMAGES: u32 = 20;
const MAPS: u32 = 12;

fn network() -> NetworkConfig {
    let layers = vec![
        conv("conv1", 4, [3, 2, 0]),
        activation("act1"),
        conv("conv2", 4, [3, 2, 0]),
        activation("act2"),
        LayerConfig::linear("fc1", 4),
    ];
    NetworkConfig { input: Shape::new(3, 11, 13), classes: 4, layers }
}

fn images() -> &'static Split {
    static IMAGES_MADE: OnceLock<Split> = OnceLock::new();
    IMAGES_MADE.get_or_init(|| colored(IMAGES as usize, 3))
}

fn model() -> Model {
    random_model(network(), "32", QuantizationConfig::default(), 11)
}

fn settings() -> SearchSettings {
    SearchSettings {
        widths: vec![2, 5],
        tied: false,
        budget: Budget::BitOps(0.06),
        objective: Objective::Both,
        quantization: QuantizationConfig {
            weight_quant: WeightQuantizer::Lsq,
            ..QuantizationConfig::default()
        },
        calibration: Calibration::Mse,
        images: IMAGES,
        map_images: MAPS,
        calibration_images: IMAGES,
        candidates: 4,
        levels: 2,
        random: 2,
        seed: 1,
    }
}

struct Quiet;
impl Watcher for Quiet {
    fn progress(&mut self, _: &str, _: u64, _: u64) -> saliq::Result<()> {
        Ok(())
    }
}

fn found(model: &Model, settings: &SearchSettings) -> Found {
    let data = ResidentData::new(gpu(), images(), network().input).unwrap();
    let normalization = model.normalization().unwrap();
    search(gpu(), model, settings, [&data, &data], normalization, &mut Quiet).unwrap()
}

/// Loss, and mean rank correlation of the maps of the first images with `reference`.
fn judged(model: &Model, reference: Option<&[f32]>) -> (f64, f64, Vec<f32>) {
    let normalization: PixelNormalization = model.normalization().unwrap();
    let of = |images, batch_size| Subject { gpu: gpu(), model, images, normalization, batch_size };
    let evaluation = pollster::block_on(of(images(), 7).evaluate()).unwrap();
    let mut first = images().clone();
    first.truncate(MAPS as usize, network().input);
    let subject = of(&first, 5);
    let targets = subject.targets(Target::Label, &evaluation);
    let methods = [Method::Gradient];
    let options = MethodOptions::default();
    let (targets, mut quiet) = (&targets[..MAPS as usize], |_| {});
    let explained = subject.explain(&methods, &options, targets, &mut quiet);
    let maps = pollster::block_on(explained).unwrap().maps.remove(0);
    let options = AlignmentOptions::default();
    let shape = network().input;
    let reference = reference.unwrap_or(&maps);
    let alike = alignment(gpu(), shape, reference, &maps, &options, &mut quiet);
    let alike = pollster::block_on(alike).unwrap();
    let mean = alike.iter().map(|own| f64::from(own.spearman)).sum::<f64>() / alike.len() as f64;
    (evaluation.loss, mean, maps)
}

#[test]
fn sensitivities_are_what_quantizing_a_slot_alone_does() {
    let (model, settings) = (model(), settings());
    let found = found(&model, &settings);
    let widths = &settings.widths[..];
    let space = Space::new(&network(), &settings.quantization, widths, false).unwrap();
    let data = ResidentData::new(gpu(), images(), network().input).unwrap();
    let normalization = model.normalization().unwrap();
    let (float_loss, same, reference) = judged(&model, None);
    assert!((same - 1.0).abs() < 1e-6);
    assert_eq!(found.sensitivities.0.len(), 5);
    for (slot, own) in found.sensitivities.0.iter().enumerate() {
        for (width, own) in own.iter().enumerate() {
            let mut bits = vec![LayerBits::FLOAT; 3];
            match (slot % 2, &mut bits[slot / 2]) {
                (0, layer) => layer.weight = widths[width],
                (_, layer) => layer.activation = widths[width],
            }
            assert_eq!(space.only(slot, width).bits, bits);
            let quantization = QuantizationConfig { bits, ..settings.quantization.clone() };
            let options = PostTraining { quantization, calibration: Calibration::Mse };
            let made = quantize(gpu(), &model, &options, &data, normalization);
            let (loss, alignment, _) =
                judged(&pollster::block_on(made).unwrap().0, Some(&reference));
            let name = &space.slots[slot].name;
            assert!((own.loss - (loss - float_loss)).abs() < 1e-5, "{name}: {own:?} {loss}");
            assert!((own.alignment - (1.0 - alignment)).abs() < 1e-5, "{name}: {own:?}");
            assert!(own.fisher > 0.0 && own.fisher.is_finite(), "{name}: {own:?}");
        }
        // Wider is closer, by the error that squared gradients are multiplied with.
        assert!(own[1].fisher < own[0].fisher, "{own:?}");
    }
}

#[test]
fn a_search_makes_the_passes_of_its_plan() {
    let (model, settings) = (model(), settings());
    let found = found(&model, &settings);
    let plan = Plan::new(&network(), &settings, IMAGES).unwrap();
    assert!((found.forward_equivalents - plan.sensitivities).abs() < 1e-9, "{plan:?}");
    assert_eq!(plan.layers.iter().map(|layer| layer.slots).collect::<Vec<_>>(), [2, 2, 1]);
    // By default the maps of half of the images are compared.
    let usual = SearchSettings { images: 512, map_images: 256, ..settings };
    for preset in ["table-1", "resnet-8", "ds-cnn"] {
        let preset = saliq::config::Preset::find(preset).unwrap().published();
        for layer in Plan::new(&preset, &usual, 60_000).unwrap().layers {
            assert!(layer.forward_equivalents_per_width <= 3.0, "{layer:?}");
        }
    }
}

#[test]
fn the_chosen_bits_are_within_the_budget_and_are_those_of_the_model() {
    let model = model();
    let float = Cost::new(&network(), &model.config.quantization).unwrap();
    for (budget, tied) in [(Budget::BitOps(0.06), false), (Budget::Bytes(300), true)] {
        let settings = SearchSettings { budget, tied, ..settings() };
        let found = found(&model, &settings);
        let unit = budget.unit();
        let first = &found.points[0];
        assert_eq!((first.rule, first.unit, first.limit), (Rule::Search, unit, found.limit));
        assert_eq!(found.limit, budget.limit(&float));
        assert_eq!(found.model.config.quantization.bits, first.bits);
        let cost = Cost::new(&network(), &found.model.config.quantization).unwrap();
        assert!(unit.of(&cost) <= found.limit && cost.bit_ops == first.bit_ops);
        assert_eq!(cost.packed_bytes, first.bytes);
        for point in &found.points {
            let cost = if point.unit == Unit::Bytes { point.bytes } else { point.bit_ops };
            assert!(cost <= point.limit, "{point:?}");
        }
        // On the same images the same figures.
        assert_eq!(first.measured, found.chosen.measured);
        let data = ResidentData::new(gpu(), images(), network().input).unwrap();
        let normalization = model.normalization().unwrap();
        let probe = Probe::new(gpu(), &model, (&data, normalization), MAPS);
        let again = pollster::block_on(pollster::block_on(probe).unwrap().measure(&found.model));
        assert_eq!(again.unwrap(), first.measured);
    }
    let too_little = SearchSettings { budget: Budget::Bytes(100), ..settings() };
    let data = ResidentData::new(gpu(), images(), network().input).unwrap();
    let normalization = model.normalization().unwrap();
    let error = search(gpu(), &model, &too_little, [&data, &data], normalization, &mut Quiet);
    let said = error.err().unwrap().to_string();
    let least = QuantizationConfig {
        bits: LayerBits::parse_list("2,2,w2a32").unwrap(),
        ..too_little.quantization
    };
    let least = Cost::new(&network(), &least).unwrap().packed_bytes;
    assert!(said.contains(&format!("whose least is {least} bytes")), "{said}");
}

#[test]
fn layers_of_1_bit_are_binary_beside_others() {
    for weight_quant in [WeightQuantizer::Lsq, WeightQuantizer::Sawb, WeightQuantizer::Affine] {
        for per_channel in [false, true] {
            let quantization = QuantizationConfig {
                weight_quant,
                per_channel,
                binary_one_bit: true,
                ..QuantizationConfig::default()
            };
            let model = random_model(network(), "w1a4,w4a2,w1a32", quantization.clone(), 5);
            let own = &model.config.quantization;
            own.validate().unwrap();
            let refused = QuantizationConfig { binary_one_bit: false, ..own.clone() };
            assert!(refused.validate().is_err() && Graph::new(&network(), &refused).is_err());
            let mut bits = own.bits.clone();
            // Activations are left out, whose levels rounding can change.
            bits.iter_mut().for_each(|bits| bits.activation = 32);
            let quantization = QuantizationConfig { bits, ..own.clone() };
            let reference = ReferenceNetwork::new(&network(), &quantization, true).unwrap();
            let layout = &reference.graph.layout;
            let parameters = layout.gather(&model.graph.layout, &model.parameters).unwrap();
            let in_f64: Vec<f64> = parameters.iter().map(|&value| f64::from(value)).collect();
            let mut random = Random(9);
            let input = random.vector(2 * network().input.elements() as usize);
            let input_f64: Vec<f64> = input.iter().map(|&value| f64::from(value)).collect();
            let scales = reference.scales(&in_f64);
            let expected = reference.forward(&in_f64, &scales, &input_f64);
            let options = NetworkOptions {
                slots: 2,
                training: false,
                gradients: false,
                ..NetworkOptions::default()
            };
            let gpu_network = Network::new(gpu(), &network(), &quantization, options).unwrap();
            gpu().write(gpu_network.parameters(), 0, &parameters);
            gpu().write(gpu_network.input(), 0, &from_nchw(&input, network().input));
            let two = uniform([0u32, 2, 2, 0]);
            let range = ImageRange { binding: (&two).into(), most: 2 };
            let mut recording = Recording::new();
            gpu_network.record_weights(gpu(), &mut recording).unwrap();
            gpu_network.record_forward(gpu(), &mut recording, range, None).unwrap();
            recording.submit(gpu()).unwrap();
            let own = read::<f32>(gpu_network.logits(), 8);
            assert_close("logits", &own, expected.logits(), 2e-6);
        }
    }
}
