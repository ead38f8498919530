//! Attribution methods against Captum's maps (`goldens/README.md`), and properties that must hold
//! for them.

use saliq::{
    Error,
    config::{
        ActivationFunction, AveragePool, LayerBits, LayerConfig, NetworkConfig, QuantizationConfig,
        QuantizationOverrides, Shape, WeightInit, WeightQuantizer,
    },
    gpu::Buffer,
    graph::{Graph, Parameter, ParameterLayout, ParameterRole},
    layout::{from_nchw, groups, padded, to_nchw},
    model::Model,
    saliency::{
        Baseline, ExplainedNetwork, Explainer, ImageSet, LrpRule, Method, MethodOptions, Output,
        check_applicable,
    },
};

use crate::{
    common::{
        Random, activation, assert_images_close, conv, gpu, random_model, read, relative_error,
        worst_image,
    },
    support::{MNIST, NORMALIZATION, Tensors, golden},
};

/// A network with images to explain.
#[derive(Clone)]
pub(crate) struct Subject {
    config: NetworkConfig,
    quantization: QuantizationConfig,
    parameters: Buffer,
    images: ImageSet,
    pub(crate) count: u32,
}

impl Subject {
    /// `pixels` are normalised, [N, C, H, W].
    pub(crate) fn new(
        config: &NetworkConfig,
        quantization: &QuantizationConfig,
        parameters: &[f32],
        pixels: &[f32],
        classes: &[u32],
    ) -> Subject {
        let count = classes.len() as u32;
        let images = ImageSet::new(gpu(), config.input, count, 0).unwrap();
        gpu().write(&images.pixels, 0, &from_nchw(pixels, config.input));
        gpu().write(&images.classes, 0, classes);
        let parameters = gpu().upload("parameters", parameters).unwrap();
        Subject {
            config: config.clone(),
            quantization: quantization.clone(),
            parameters,
            images,
            count,
        }
    }

    fn network(&self) -> ExplainedNetwork<'_> {
        ExplainedNetwork {
            config: &self.config,
            quantization: &self.quantization,
            parameters: &self.parameters,
        }
    }

    /// [N, C, H, W].
    pub(crate) fn explain(&self, method: Method, options: &MethodOptions) -> Vec<f32> {
        let explainer = Explainer::new(gpu(), self.network(), method, options, self.count).unwrap();
        let maps = self.images.maps(gpu()).unwrap();
        explainer
            .record(gpu(), &self.images, &maps)
            .unwrap()
            .run(gpu(), self.count, &mut |_| {})
            .unwrap();
        self.nchw(&maps)
    }

    /// [N, classes (padded)].
    pub(crate) fn logits(&self) -> Vec<f32> {
        let explainer =
            Explainer::new(gpu(), self.network(), Method::Gradient, &MethodOptions::default(), 2)
                .unwrap();
        let stride = self.config.classes.next_multiple_of(4);
        let logits = gpu().buffer("logits", u64::from(self.count * stride) * 4).unwrap();
        let predicted = gpu().buffer("predicted", u64::from(self.count) * 4).unwrap();
        explainer
            .record_logits(gpu(), &self.images, &logits, &predicted)
            .unwrap()
            .run(gpu(), self.count, &mut |_| {})
            .unwrap();
        read(&logits, (self.count * stride) as usize)
    }

    fn nchw(&self, maps: &Buffer) -> Vec<f32> {
        let shape: Shape = self.config.input;
        to_nchw(
            &read::<f32>(maps, (self.count * shape.pixels() * groups(shape.channels) * 4) as usize),
            shape,
        )
    }
}

/// Table I's network with the golden parameters, and MNIST's images with the normalisation of its
/// twin.
fn table_one(tensors: &Tensors, quantized: bool) -> Subject {
    let overrides = QuantizationOverrides {
        bits: quantized.then(|| "4,2".parse().unwrap()),
        weight_quant: Some(WeightQuantizer::Affine),
        ..QuantizationOverrides::default()
    };
    let mut model = Model::load(&golden("table1"), &overrides).unwrap();
    if quantized {
        set_alphas(&model.graph.layout, &mut model.parameters, tensors);
    }
    let (mean, deviation) = NORMALIZATION.channel(0);
    let pixels: Vec<f32> = tensors
        .u8("images")
        .iter()
        .map(|&byte| (f32::from(byte) / 255.0 - mean) / deviation)
        .collect();
    assert_eq!(model.config.network.input, MNIST);
    Subject::new(
        &model.config.network,
        &model.config.quantization,
        &model.parameters,
        &pixels,
        &labels(tensors),
    )
}

fn labels(tensors: &Tensors) -> Vec<u32> {
    tensors.i64("labels").into_iter().map(|label| label as u32).collect()
}

fn set_alphas(layout: &ParameterLayout, parameters: &mut [f32], tensors: &Tensors) {
    let made = tensors.made();
    let alphas = made["alpha"].as_array().unwrap();
    assert_eq!(layout.alphas().count(), alphas.len());
    for (alpha, value) in layout.alphas().zip(alphas) {
        parameters[alpha.offset as usize] = value.as_f64().unwrap() as f32;
    }
}

const ODD: Shape = Shape::new(3, 11, 13);

fn odd_layers() -> NetworkConfig {
    let activation = |name: &str| LayerConfig::activation(name);
    let conv = |name: &str, out_channels, stride, padding| {
        LayerConfig::conv(name, out_channels, [3, stride, padding])
    };
    NetworkConfig {
        input: ODD,
        classes: 4,
        layers: vec![
            conv("conv1", 6, 2, 1),
            activation("act1"),
            conv("conv2", 8, 1, 2),
            activation("act2"),
            LayerConfig::linear("fc1", 9),
            activation("act3"),
            LayerConfig::linear("fc2", 4),
        ],
    }
}

/// Stride 2, padding, 3 channels, no pool; batch norm folded into the convolutions.
fn odd(tensors: &Tensors, quantized: bool) -> Subject {
    let config = odd_layers();
    let bits = if quantized { vec![8, 4] } else { vec![32, 32] };
    let mut bits: Vec<LayerBits> =
        bits.into_iter().map(|bits| LayerBits { weight: bits, activation: bits }).collect();
    bits.resize(4, LayerBits::FLOAT);
    let quantization = QuantizationConfig {
        bits,
        weight_quant: WeightQuantizer::Affine,
        ..QuantizationConfig::default()
    };
    let layout = Graph::new(&config, &quantization).unwrap().layout;
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    for parameter in
        layout.parameters.iter().filter(|parameter| parameter.role != ParameterRole::Alpha)
    {
        let mut values = tensors.f32(&parameter.name);
        let (layer, suffix) = parameter.name.split_once('.').unwrap();
        if let Some(number) = layer.strip_prefix("conv") {
            let norm = |suffix: &str| tensors.f32(&format!("bn{number}.{suffix}"));
            let (gamma, beta, mean, variance) =
                (norm("weight"), norm("bias"), norm("running_mean"), norm("running_var"));
            let per_channel = values.len() / gamma.len();
            for (index, value) in values.iter_mut().enumerate() {
                let channel = index / per_channel;
                let scale =
                    f64::from(gamma[channel]) / (f64::from(variance[channel]) + 1e-5).sqrt();
                let shift = if suffix == "bias" {
                    (f64::from(mean[channel]), f64::from(beta[channel]))
                } else {
                    (0.0, 0.0)
                };
                *value = ((f64::from(*value) - shift.0) * scale + shift.1) as f32;
            }
        }
        parameters[parameter.range()].copy_from_slice(&values);
    }
    if quantized {
        set_alphas(&layout, &mut parameters, tensors);
    }
    Subject::new(&config, &quantization, &parameters, &tensors.f32("input"), &labels(tensors))
}

/// The same with its batch norms as layers.
fn odd_with_norms(tensors: &Tensors, quantized: bool) -> Subject {
    let folded = odd(tensors, quantized);
    let mut config = folded.config.clone();
    for (at, name) in [(1, "bn1"), (4, "bn2")] {
        config.layers.insert(at, LayerConfig::batch_norm(name));
    }
    let layout = Graph::new(&config, &folded.quantization).unwrap().layout;
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    let in_file = |parameter: &&Parameter| {
        !matches!(parameter.role, ParameterRole::Alpha | ParameterRole::BatchCount)
    };
    for parameter in layout.parameters.iter().filter(in_file) {
        parameters[parameter.range()].copy_from_slice(&tensors.f32(&parameter.name));
    }
    if quantized {
        set_alphas(&layout, &mut parameters, tensors);
    }
    Subject::new(
        &config,
        &folded.quantization,
        &parameters,
        &tensors.f32("input"),
        &labels(tensors),
    )
}

/// Every method except `random` against the maps `<prefix>.<method>` of a golden file; chunks of 7
/// samples, so that images cross the ends of chunks.
fn against_captum(subject: &Subject, tensors: &Tensors, prefix: &str) {
    let made = tensors.made();
    let number = |key: &str| made[key].as_u64().unwrap();
    let mut failures = Vec::new();
    for method in Method::ALL.into_iter().filter(|&method| method != Method::Random) {
        let mut options =
            MethodOptions { batch_size: 7, seed: number("seed"), ..MethodOptions::default() };
        options.samples =
            Some(if method == Method::Rise { number("rise_samples") } else { number("samples") }
                as u32);
        options.noise = Some(made["noise"].as_f64().unwrap() as f32);
        if method == Method::GradientShap {
            options.baseline = Baseline::Images(tensors.f32("baselines"));
        }
        let actual = subject.explain(method, &options);
        let expected: Vec<f64> = tensors
            .f32(&format!("{prefix}.{}", method.name()))
            .into_iter()
            .map(f64::from)
            .collect();
        let tolerance = match method {
            Method::IntegratedGradients | Method::GradientShap => 1e-3,
            // If an input and its baseline are close together on both sides of a quantizer's edge,
            // Δy/Δx is a level divided by almost nothing. Captum's own float32 run is 6.6e-3 from
            // its float64 run on Table I's network. `attributions_are_complete` holds saliq's to
            // 1e-4.
            Method::Deeplift if prefix == "quantized" => 1.5e-2,
            _ => 1e-4,
        };
        let (error, worst) = (
            relative_error(&actual, &expected),
            worst_image(&actual, &expected, subject.count as usize),
        );
        println!("{prefix} {}: {error:.1e}, worst image {worst:.1e}", method.name());
        if error > tolerance || worst > tolerance {
            failures.push(format!(
                "{}: {error:e}, of one image {worst:e} > {tolerance:e}",
                method.name()
            ));
        }
    }
    assert!(failures.is_empty(), "{prefix}: {failures:?}");
}

#[test]
fn table_one_float() {
    let tensors = Tensors::golden("attributions");
    against_captum(&table_one(&tensors, false), &tensors, "float");
}

#[test]
fn table_one_quantized() {
    let tensors = Tensors::golden("attributions");
    against_captum(&table_one(&tensors, true), &tensors, "quantized");
}

#[test]
fn odd_network_float() {
    let tensors = Tensors::golden("attributions_odd");
    against_captum(&odd_with_norms(&tensors, false), &tensors, "float");
}

#[test]
fn odd_network_quantized() {
    let tensors = Tensors::golden("attributions_odd");
    against_captum(&odd(&tensors, true), &tensors, "quantized");
}

/// A batch norm as a layer gives the same maps as a folded one in every method. Grad-CAM and
/// Grad-CAM++ use the convolution in front of it.
#[test]
fn batch_norms_are_as_good_as_folded() {
    let tensors = Tensors::golden("attributions_odd");
    for quantized in [false, true] {
        let (folded, layers) = (odd(&tensors, quantized), odd_with_norms(&tensors, quantized));
        for method in Method::ALL.into_iter().filter(|method| !method.takes_layer()) {
            let options = MethodOptions { samples: Some(5), ..MethodOptions::default() };
            let expected: Vec<f64> =
                folded.explain(method, &options).into_iter().map(f64::from).collect();
            let what = format!("{}, quantized {quantized}", method.name());
            assert_images_close(
                &what,
                &layers.explain(method, &options),
                &expected,
                layers.count as usize,
                1e-4,
            );
        }
    }
}

/// LRP's z⁺ rule is for values that are not negative, so the golden maps are those of the inputs'
/// absolute values.
#[test]
fn positive_relevance_is_captums() {
    let (tensors, odd_tensors) =
        (Tensors::golden("attributions"), Tensors::golden("attributions_odd"));
    for (subject, tensors, prefix) in [
        (table_one(&tensors, false), &tensors, "float"),
        (table_one(&tensors, true), &tensors, "quantized"),
        (odd(&odd_tensors, true), &odd_tensors, "quantized"),
        // Batch norms are folded for the rule.
        (odd_with_norms(&odd_tensors, false), &odd_tensors, "float"),
        (odd_with_norms(&odd_tensors, true), &odd_tensors, "quantized"),
    ] {
        let shape = subject.config.input;
        let pixels = read::<f32>(
            &subject.images.pixels,
            (subject.count * shape.pixels() * padded(shape.channels)) as usize,
        );
        gpu().write(
            &subject.images.pixels,
            0,
            &pixels.iter().map(|pixel| pixel.abs()).collect::<Vec<f32>>(),
        );
        let options =
            MethodOptions { lrp_rule: LrpRule::ZPlus, batch_size: 2, ..MethodOptions::default() };
        let expected: Vec<f64> = tensors
            .f32(&format!("{prefix}.lrp.z-plus-of-abs"))
            .into_iter()
            .map(f64::from)
            .collect();
        let actual = subject.explain(Method::Lrp, &options);
        assert_images_close(prefix, &actual, &expected, subject.count as usize, 1e-4);
    }
}

/// A batch norm that is not right behind a layer with weights cannot be folded into one.
#[test]
fn batch_norms_that_cannot_be_folded_are_refused() {
    let mut subject = odd(&Tensors::golden("attributions_odd"), false);
    subject.config.layers.insert(2, LayerConfig::batch_norm("late"));
    let z_plus = MethodOptions { lrp_rule: LrpRule::ZPlus, ..MethodOptions::default() };
    for (method, options) in [(Method::Lrp, &z_plus), (Method::LrpGamma, &MethodOptions::default())]
    {
        let refused = Explainer::new(gpu(), subject.network(), method, options, 1).err();
        assert!(matches!(refused, Some(Error::Unfolded { norm }) if norm == "late"));
        let early = check_applicable(method, &subject.config, options).err();
        assert!(matches!(early, Some(Error::Unfolded { norm }) if norm == "late"));
    }
    check_applicable(Method::Lrp, &subject.config, &MethodOptions::default()).unwrap();
}

/// With the ReLU on the sum a map has no negative values; Guided Grad-CAM is its product with
/// guided backprop.
#[test]
fn guided_grad_cam_is_a_product() {
    let tensors = Tensors::golden("attributions_odd");
    for quantized in [false, true] {
        let subject = odd_with_norms(&tensors, quantized);
        let relu = MethodOptions { grad_cam_relu: true, ..MethodOptions::default() };
        let signed = subject.explain(Method::GradCam, &MethodOptions::default());
        assert!(signed.iter().any(|&value| value < 0.0));
        for method in Method::ALL.into_iter().filter(|method| method.takes_grad_cam_relu()) {
            let map = subject.explain(method, &relu);
            assert!(map.iter().all(|&value| value >= 0.0), "{}", method.name());
            assert!(map.iter().any(|&value| value > 0.0), "{}", method.name());
        }
        let guided = subject.explain(Method::GuidedBackprop, &relu);
        let product: Vec<f64> = subject
            .explain(Method::GradCam, &relu)
            .iter()
            .zip(guided)
            .map(|(&map, guided)| f64::from(map) * f64::from(guided))
            .collect();
        for options in [MethodOptions::default(), relu] {
            let actual = subject.explain(Method::GuidedGradCam, &options);
            assert_images_close("product", &actual, &product, subject.count as usize, 1e-5);
        }
    }
}

/// Sum over channels and pixels of each image's map.
pub(crate) fn totals(maps: &[f32], subject: &Subject) -> Vec<f64> {
    let elements = subject.config.input.elements() as usize;
    maps.chunks_exact(elements).map(|map| map.iter().map(|&value| f64::from(value)).sum()).collect()
}

/// f(x) − f(b) for each image's class, with b = 0.
pub(crate) fn differences(subject: &Subject) -> Vec<f64> {
    let elements = subject.config.input.elements() as usize;
    let blank = Subject {
        images: ImageSet::new(gpu(), subject.config.input, subject.count, 0).unwrap(),
        ..subject.clone()
    };
    assert_eq!(read::<f32>(&blank.images.pixels, elements), vec![0.0; elements]);
    let classes = read::<u32>(&subject.images.classes, subject.count as usize);
    let (of, at) = (subject.logits(), blank.logits());
    let stride = of.len() / classes.len();
    classes
        .iter()
        .enumerate()
        .map(|(image, &class)| image * stride + class as usize)
        .map(|at_class| f64::from(of[at_class]) - f64::from(at[at_class]))
        .collect()
}

#[test]
fn attributions_are_complete() {
    let (tensors, odd_tensors) =
        (Tensors::golden("attributions"), Tensors::golden("attributions_odd"));
    let subjects = [
        table_one(&tensors, false),
        odd(&odd_tensors, false),
        table_one(&tensors, true),
        odd(&odd_tensors, true),
    ];
    for (index, subject) in subjects.iter().enumerate() {
        let expected = differences(subject);
        let close = |what: &str, actual: Vec<f64>, tolerance: f64| {
            let largest = expected.iter().map(|value| value.abs()).fold(0.0, f64::max);
            for (actual, expected) in actual.iter().zip(&expected) {
                assert!(
                    (actual - expected).abs() <= tolerance * largest,
                    "{what} of network {index}: {actual} for {expected}"
                );
            }
        };
        // The sum of multipliers times differences is exact, also through the quantizer's steps;
        // the integral needs a true gradient.
        close(
            "deeplift",
            totals(&subject.explain(Method::Deeplift, &MethodOptions::default()), subject),
            1e-4,
        );
        if index < 2 {
            let options = MethodOptions { steps: 300, ..MethodOptions::default() };
            close(
                "integrated gradients",
                totals(&subject.explain(Method::IntegratedGradients, &options), subject),
                5e-3,
            );
        }
    }
}

#[test]
fn relevance_is_conserved_without_biases() {
    let tensors = Tensors::golden("attributions_odd");
    for quantized in [false, true] {
        let subject = odd(&tensors, quantized);
        let layout = Graph::new(&subject.config, &subject.quantization).unwrap().layout;
        let mut parameters = read::<f32>(&subject.parameters, layout.padded_length() as usize);
        for parameter in
            layout.parameters.iter().filter(|parameter| parameter.role == ParameterRole::Bias)
        {
            parameters[parameter.range()].fill(0.0);
        }
        gpu().write(&subject.parameters, 0, &parameters);
        let classes = labels(&tensors);
        let logits = subject.logits();
        for (image, total) in
            totals(&subject.explain(Method::Lrp, &MethodOptions::default()), &subject)
                .into_iter()
                .enumerate()
        {
            let logit = f64::from(logits[image * 4 + classes[image] as usize]);
            assert!((total - logit).abs() < 1e-4 * logit.abs().max(0.1), "{total} for {logit}");
        }
    }
}

/// An average-pool distributes all of its relevance in every method: differences from the baseline
/// still add up, and relevance is conserved without biases.
#[test]
fn averages_lose_nothing() {
    let average = |kernel, stride, padding, count_include_pad| {
        let ceil_mode = true;
        LayerConfig::average_pool(AveragePool {
            window: [kernel, stride, padding].into(),
            ceil_mode,
            count_include_pad,
        })
    };
    let layers = vec![
        average(2, 1, 1, true),
        conv("conv1", 6, [3, 1, 1]),
        activation("act1"),
        average(3, 2, 1, false),
        conv("conv2", 5, [2, 1, 0]),
        average(2, 1, 0, true),
        activation("act2"),
        LayerConfig::linear("fc1", 3),
    ];
    nothing_is_lost(&NetworkConfig { input: Shape::new(2, 10, 9), classes: 3, layers }, true);
}

/// The same of sums, concatenations, products and functions other than ReLUs.
#[test]
fn joins_lose_nothing() {
    let act = LayerConfig::activation_of;
    let layers = vec![
        conv("conv1", 5, [3, 1, 1]),
        act("act1", ActivationFunction::Silu),
        LayerConfig::global_average_pool("gap"),
        LayerConfig::linear("fc1", 5),
        act("gate", ActivationFunction::Sigmoid),
        LayerConfig::multiply("mul1", ["gate", "act1"]),
        conv("conv2", 5, [3, 1, 1]),
        act("act2", ActivationFunction::LeakyRelu { slope: 0.125 }),
        LayerConfig::multiply("mul2", ["act2", "mul1"]),
        LayerConfig::concat("cat1", &["mul2", "input", "act1"]),
        LayerConfig::max_pool(2, 2),
        conv("conv3", 5, [2, 1, 0]),
        act("act3", ActivationFunction::Relu6),
        LayerConfig::linear("fc2", 3),
    ];
    nothing_is_lost(&NetworkConfig { input: Shape::new(2, 10, 9), classes: 3, layers }, false);
}

/// DeepLIFT's contributions are the difference from the baseline, relevance without biases is the
/// logit; by the z⁺ rule too where it is `positive`.
fn nothing_is_lost(config: &NetworkConfig, positive: bool) {
    for (bits, has_biases) in [("32", true), ("4,4", true), ("32", false), ("4,4", false)] {
        let mut model = random_model(config.clone(), bits, QuantizationConfig::default(), 31);
        let layout = &model.graph.layout;
        for own in layout.parameters.iter().filter(|own| own.role == ParameterRole::Bias) {
            if !has_biases {
                model.parameters[own.range()].fill(0.0);
            }
        }
        let pixels = Random(7).vector(5 * config.input.elements() as usize);
        let classes = [0, 1, 2, 0, 1];
        let quantization = &model.config.quantization;
        let subject = Subject::new(config, quantization, &model.parameters, &pixels, &classes);
        let options = MethodOptions::default();
        let mut checks = if has_biases {
            vec![("deeplift", subject.explain(Method::Deeplift, &options), differences(&subject))]
        } else {
            let logits = subject.logits();
            let of = |(image, &class): (usize, &u32)| f64::from(logits[image * 4 + class as usize]);
            let logits: Vec<f64> = classes.iter().enumerate().map(of).collect();
            vec![("ε", subject.explain(Method::Lrp, &options), logits)]
        };
        if positive && !has_biases {
            let options = MethodOptions { lrp_rule: LrpRule::ZPlus, ..options };
            checks.push(("z⁺", subject.explain(Method::Lrp, &options), checks[0].2.clone()));
        }
        for (what, maps, expected) in checks {
            let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
            for (total, expected) in totals(&maps, &subject).iter().zip(&expected) {
                assert!(
                    (total - expected).abs() < 1e-4 * largest,
                    "{what}, {bits}: {total} for {expected}"
                );
            }
        }
    }
}

/// SmoothGrad converges with the number n of samples as 1/√n.
#[test]
fn smoothgrad_converges() {
    let tensors = Tensors::golden("attributions_odd");
    let subject = odd(&tensors, false);
    let of = |samples, seed| {
        subject.explain(
            Method::Smoothgrad,
            &MethodOptions { samples: Some(samples), seed, ..MethodOptions::default() },
        )
    };
    let limit: Vec<f64> = of(20_000, 1).into_iter().map(f64::from).collect();
    let errors: Vec<f64> = [50, 800].map(|samples| relative_error(&of(samples, 2), &limit)).into();
    let ratio = errors[0] / errors[1];
    assert!(
        (2.5..6.4).contains(&ratio),
        "16 times the samples, {ratio} times the accuracy: {errors:?}"
    );
}

#[test]
fn maps_depend_on_what_was_learned() {
    let tensors = Tensors::golden("attributions");
    let subject = table_one(&tensors, false);
    let layout = Graph::new(&subject.config, &subject.quantization).unwrap().layout;
    let parameters =
        gpu().upload("parameters", &layout.initialize(3, WeightInit::KaimingUniform)).unwrap();
    let random = Subject { parameters, ..subject.clone() };
    for method in [Method::Gradient, Method::IntegratedGradients, Method::Deeplift, Method::Lrp] {
        let maps = |subject: &Subject| subject.explain(method, &MethodOptions::default());
        let correlation = correlation(&maps(&subject), &maps(&random));
        assert!(correlation.abs() < 0.3, "{}: {correlation}", method.name());
    }
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let mean = |values: &[f32]| {
        values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64
    };
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f(f64::from(a) - mean_a, f64::from(b) - mean_b)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// The map of an image does not depend on the other images or on the cuts between chunks.
#[test]
fn chunks_leave_no_trace() {
    let tensors = Tensors::golden("attributions_odd");
    let subject = odd(&tensors, true);
    for method in Method::ALL {
        let options = |batch_size| MethodOptions {
            batch_size,
            samples: Some(5),
            noise: Some(0.1),
            ..MethodOptions::default()
        };
        assert_eq!(
            subject.explain(method, &options(1)),
            subject.explain(method, &options(256)),
            "{}",
            method.name()
        );
    }
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let tensors = Tensors::golden("attributions_odd");
    let subject = odd(&tensors, false);
    let refusal = |method, options: MethodOptions| match Explainer::new(
        gpu(),
        subject.network(),
        method,
        &options,
        1,
    ) {
        Err(Error::Usage(reason)) => reason,
        Err(Error::Settings(reason)) => reason.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{} was not refused", method.name()),
    };
    let layer = |name: &str| MethodOptions { layer: Some(name.into()), ..MethodOptions::default() };
    assert!(refusal(Method::GradCam, layer("conv9")).contains("conv1, act1, conv2, act2"));
    for method in [Method::GradCam, Method::ScoreCam, Method::GuidedGradCam] {
        assert!(
            refusal(method, layer("fc1")).contains("layers with planes: conv1, act1, conv2, act2")
        );
    }
    for method in [Method::Deeplift, Method::Lrp, Method::LrpGamma] {
        assert!(
            refusal(
                method,
                MethodOptions { output: Output::LogSoftmax, ..MethodOptions::default() }
            )
            .contains("output = logit")
        );
    }
    let half = Baseline::Images(vec![0.0; ODD.elements() as usize / 3]);
    assert!(
        refusal(Method::GradientShap, MethodOptions { baseline: half, ..MethodOptions::default() })
            .contains("no whole images")
    );
    for name in ["conv1", "act1", "act2"] {
        for method in [Method::GradCam, Method::ScoreCam, Method::GuidedGradCam] {
            let map = subject.explain(method, &layer(name));
            assert_eq!(map.len(), 3 * ODD.elements() as usize);
            assert!(map.iter().all(|value| value.is_finite()), "{} {name}", method.name());
        }
    }
}
