//! Judgements against Captum, Quantus, scikit-image and SciPy
//! (`goldens/make_judgement_goldens.py`), on an odd network and colour images.

use std::path::PathBuf;

use pollster::block_on;
use saliq::{
    config::{
        LayerConfig, ModelConfig, NetworkConfig, PixelNormalization, QuantizationConfig, Shape,
    },
    data::Split,
    graph::Graph,
    judgement::{
        AccuracyDrop, AlignmentOptions, Fill, Infidelity, InfidelityOptions, MaxSensitivity,
        PixelFlipping, RESAMPLES, SensitivityOptions, Subject, alignment, bootstrap, clarity,
        localization, randomization, removed_images,
    },
    model::Model,
    saliency::{Baseline, Method, MethodOptions},
};

use crate::{
    common::{self, gpu},
    support::Tensors,
};

const SHAPE: Shape = Shape::new(3, 11, 13);
const SEED: u64 = 0x0123_4567_89AB_CDEF;
const SHARES: [f64; 4] = [0.0, 0.3, 0.6, 0.9];

/// The network of `odd_network.safetensors` with the last layer of the golden file.
fn model(tensors: &Tensors) -> Model {
    let activation = |name: &str| LayerConfig::activation(name);
    let network = NetworkConfig {
        input: SHAPE,
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
    let quantization = QuantizationConfig::default();
    let graph = Graph::new(&network, &quantization).unwrap();
    let odd = Tensors::golden("odd_network");
    let mut parameters = vec![0.0; graph.layout.padded_length() as usize];
    for parameter in &graph.layout.parameters {
        let source = if parameter.name.starts_with("fc2") { tensors } else { &odd };
        parameters[parameter.range()].copy_from_slice(&source.f32(&parameter.name));
    }
    let config = ModelConfig {
        network,
        quantization,
        normalize: Some(PixelNormalization::uniform(0.4, 0.25)),
        dataset: String::new(),
        dataset_is_folder: false,
        class_names: Vec::new(),
        training: serde_json::Value::Null,
    };
    Model { config, graph, parameters, missing_alphas: Vec::new(), path: PathBuf::new() }
}

/// The golden file's network on its images, and the explained classes. In batches of 4 the last one
/// is not full.
struct Case {
    tensors: Tensors,
    model: Model,
    images: Split,
    targets: Vec<u32>,
}

impl Case {
    fn new() -> Case {
        let tensors = Tensors::golden("judgements");
        let targets = tensors.i64("targets").into_iter().map(|class| class as u32).collect();
        Case { model: model(&tensors), images: tensors.split(), targets, tensors }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            gpu: gpu(),
            model: &self.model,
            images: &self.images,
            normalization: PixelNormalization::uniform(0.4, 0.25),
            batch_size: 4,
        }
    }

    /// Values of every image against the golden ones, 1e-4 relative.
    #[track_caller]
    fn check(&self, name: &str, actual: &[f64]) {
        let expected = self.tensors.f64(name);
        assert_eq!(actual.len(), expected.len(), "{name}");
        for (image, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
            assert!(
                (actual - expected).abs() <= 1e-4 * expected.abs(),
                "{name} of image {image}: {actual} {expected}"
            );
        }
    }
}

#[test]
fn alignment_is_that_of_scipy_and_scikit_image() {
    let case = Case::new();
    let (a, b) = (case.tensors.f32("a"), case.tensors.f32("b"));
    let options = AlignmentOptions::default();
    let alignments = block_on(alignment(gpu(), SHAPE, &a, &b, &options, &mut |_| {})).unwrap();
    let of = |value: fn(&saliq::judgement::Alignment) -> f32| {
        alignments.iter().map(|one| f64::from(value(one))).collect::<Vec<_>>()
    };
    case.check("spearman", &of(|one| one.spearman));
    case.check("pearson", &of(|one| one.pearson));
    case.check("cosine", &of(|one| one.cosine));
    case.check("ssim", &of(|one| one.ssim));
    case.check("top_overlap", &of(|one| one.top_overlap));
    // Neither the order of the two nor the number of maps compared at once matters.
    let reverse = block_on(alignment(gpu(), SHAPE, &b, &a, &options, &mut |_| {})).unwrap();
    for (one, other) in alignments.iter().zip(&reverse) {
        assert!(
            (one.spearman - other.spearman).abs() < 1e-6 && (one.ssim - other.ssim).abs() < 1e-6
        );
    }
}

#[test]
fn clarity_is_that_of_quantus() {
    let case = Case::new();
    let clarities = block_on(clarity(gpu(), SHAPE, &case.tensors.f32("a"))).unwrap();
    case.check("gini", &clarities.iter().map(|one| f64::from(one.gini)).collect::<Vec<_>>());
    case.check("entropy", &clarities.iter().map(|one| f64::from(one.entropy)).collect::<Vec<_>>());
}

#[test]
fn max_sensitivity_is_that_of_captum() {
    let case = Case::new();
    let options = SensitivityOptions { seed: SEED, ..SensitivityOptions::default() };
    let settings = MethodOptions::default();
    let sensitivity = MaxSensitivity::record(
        case.subject(),
        Method::Gradient,
        &settings,
        &case.targets,
        &options,
    )
    .unwrap();
    case.check("max_sensitivity", &block_on(sensitivity.run(&mut |_| {})).unwrap());
}

#[test]
fn infidelity_is_that_of_captum() {
    let case = Case::new();
    let options = InfidelityOptions { seed: SEED, ..InfidelityOptions::default() };
    let infidelity = Infidelity::record(case.subject(), &case.targets, &options).unwrap();
    let maps: Vec<f32> = case.tensors.f32("gradients").iter().map(|value| 0.5 * value).collect();
    case.check("infidelity", &block_on(infidelity.run(&maps, &mut |_| {})).unwrap());
    let unscaled = MethodOptions::default();
    case.check(
        "infidelity",
        &block_on(infidelity.run_of(Method::Gradient, &unscaled, &maps, &mut |_| {})).unwrap(),
    );

    // Maps with the image as a factor are divided by it, to get the effect of a unit of a pixel;
    // where the factor is 0, the map is used unchanged.
    let baseline = case.tensors.f64("infidelity.baseline")[0] as f32;
    let pixels = case.images.images.iter().map(|&byte| (f32::from(byte) / 255.0 - 0.4) / 0.25);
    let scaled: Vec<f32> =
        maps.iter().zip(pixels).map(|(map, pixel)| map * (pixel - baseline)).collect();
    assert!(scaled[0] == 0.0 && maps[0] != 0.0);
    let settings =
        MethodOptions { baseline: Baseline::Value(baseline), ..MethodOptions::default() };
    let judged =
        block_on(infidelity.run_of(Method::IntegratedGradients, &settings, &scaled, &mut |_| {}))
            .unwrap();
    case.check("infidelity.multiplied", &judged);
    let images = MethodOptions {
        baseline: Baseline::Images(vec![baseline; 2 * 3 * 11 * 13]),
        ..MethodOptions::default()
    };
    assert_eq!(
        block_on(infidelity.run_of(Method::Deeplift, &images, &scaled, &mut |_| {})).unwrap(),
        judged
    );
    // The factor of input × gradient is the image itself, whatever the baseline; for a pixel of 0
    // the effect is unknown.
    let pixels: Vec<f32> =
        case.images.images.iter().map(|&byte| (f32::from(byte) / 255.0 - 0.4) / 0.25).collect();
    let by_image: Vec<f32> = maps.iter().zip(&pixels).map(|(map, pixel)| map * pixel).collect();
    let said: Vec<f32> = maps
        .iter()
        .zip(&pixels)
        .map(|(map, &pixel)| if pixel == 0.0 { 0.0 } else { *map })
        .collect();
    let judged =
        block_on(infidelity.run_of(Method::InputXGradient, &settings, &by_image, &mut |_| {}))
            .unwrap();
    for (judged, expected) in
        judged.iter().zip(block_on(infidelity.run(&said, &mut |_| {})).unwrap())
    {
        assert!((judged - expected).abs() <= 1e-4 * expected, "{judged} {expected}");
    }
}

#[test]
fn features_are_removed_as_by_quantus_and_numpy() {
    let case = Case::new();
    let maps = case.tensors.f32("a");
    for (fill, name) in
        [(Fill::Zero, "zero"), (Fill::Mean, "mean"), (Fill::Corner, "corner"), (Fill::Road, "road")]
    {
        let images =
            block_on(removed_images(case.subject(), &maps, fill, &[0.3, 0.9], SEED, &mut |_| {}))
                .unwrap()
                .concat();
        let expected: Vec<f64> =
            case.tensors.f32(&format!("removed.{name}")).into_iter().map(f64::from).collect();
        common::assert_close(name, &images, &expected, 1e-5);
        let drop = AccuracyDrop::record(case.subject(), fill, &SHARES, SEED).unwrap();
        let curve = block_on(drop.run(&maps, &mut |_| {})).unwrap();
        assert_eq!(curve.accuracy, case.tensors.f64(&format!("accuracy.{name}")), "{name}");
    }
}

#[test]
fn deletion_and_insertion() {
    let case = Case::new();
    let flipping =
        PixelFlipping::record(case.subject(), &case.targets, Fill::Zero, 5, SEED).unwrap();
    let areas = block_on(flipping.run(&case.tensors.f32("a"), &mut |_| {})).unwrap();
    case.check("deletion", &areas.iter().map(|one| one.deletion).collect::<Vec<_>>());
    case.check("insertion", &areas.iter().map(|one| one.insertion).collect::<Vec<_>>());
}

#[test]
fn parameter_randomisation_goes_down_the_layers() {
    let case = Case::new();
    let settings = MethodOptions { seed: SEED, ..MethodOptions::default() };
    let subject = case.subject();
    let maps =
        block_on(subject.explain(&[Method::Gradient], &settings, &case.targets, &mut |_| {}))
            .unwrap()
            .maps
            .remove(0);
    let expected: Vec<f64> = case.tensors.f32("gradients").into_iter().map(f64::from).collect();
    common::assert_close("gradients", &maps, &expected, 1e-5);
    let layers = block_on(randomization(
        &subject,
        Method::Gradient,
        &settings,
        &case.targets,
        &maps,
        &mut |_| {},
    ))
    .unwrap();
    assert_eq!(
        layers.iter().map(|one| one.layer.as_str()).collect::<Vec<_>>(),
        ["fc2", "fc1", "conv2", "conv1"]
    );
    for (one, expected) in layers.iter().zip(case.tensors.f64("randomization").chunks(6)) {
        let mean = expected.iter().sum::<f64>() / 6.0;
        // For gradients that differ in their last bits, some ranks change.
        assert!(
            (one.spearman.mean - mean).abs() < 1e-4,
            "{}: {} {mean}",
            one.layer,
            one.spearman.mean
        );
    }
}

/// The overlap follows from the rank: both have as many pixels as the mask.
#[test]
fn localization_is_that_of_quantus() {
    let tensors = Tensors::golden("localization");
    let masks: Vec<_> = tensors
        .u8("masks")
        .chunks(99)
        .map(|mask| Some(mask.iter().map(|&value| value == 1).collect()))
        .collect();
    let own = localization(Shape::new(3, 9, 11), &tensors.f32("maps"), &masks).unwrap();
    let [pointing, mass, rank] = ["pointing", "mass", "rank"].map(|name| tensors.f64(name));
    for (image, own) in own.iter().enumerate() {
        if image == 6 {
            assert!(own.pointing.is_nan() && own.mass.is_nan() && own.overlap.is_nan());
            continue;
        }
        assert_eq!((own.pointing, own.rank), (pointing[image], rank[image]), "{image}");
        assert!((own.mass - mass[image]).abs() < 1e-12, "{image}");
        assert!((own.overlap - own.rank / (2.0 - own.rank)).abs() < 1e-12, "{image}");
    }
}

#[test]
fn bootstrap_draws_and_sorts_as_numpy_does() {
    let tensors = Tensors::golden("judgements");
    let expected = tensors.f64("bootstrap");
    let interval = bootstrap(&tensors.f64("infidelity"), RESAMPLES, SEED);
    for (actual, expected) in [interval.mean, interval.low, interval.high].iter().zip(expected) {
        assert!((actual - expected).abs() <= 1e-12 * expected.abs(), "{actual} {expected}");
    }
}
