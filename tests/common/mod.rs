//! Common parts of kernel tests: the device, uploads, comparisons with the f64 references.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod networks;

use std::sync::OnceLock;

use saliq::{
    config::{
        ActivationFunction, ActivationQuantizer, LayerBits, LayerConfig, ModelConfig,
        NetworkConfig, PactKind, PixelNormalization, QuantizationConfig, WeightQuantizer,
        expand_bits,
    },
    gpu::{Buffer, DeviceProfile, Gpu, GpuOptions, Launch, Launcher, Recording},
    graph::{Graph, ParameterRole},
    model::Model,
    quant::{ActivationPlan, WeightQuantizerPlan},
    train::Observer,
};

/// The device that all tests of a binary share; `SALIQ_DEVICE_PROFILE=webgpu` requests WebGPU's
/// default limits and no features.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        device(match std::env::var("SALIQ_DEVICE_PROFILE").as_deref() {
            Ok("webgpu") => DeviceProfile::WebGpuDefaults,
            _ => DeviceProfile::Full,
        })
    })
}

/// A device that belongs to one test, which counts its calls, limits its memory or loses it.
pub fn own_gpu() -> Gpu {
    device(DeviceProfile::Full)
}

/// A device of `profile`. Without an adapter the test fails with a message on how to install one.
pub fn device(profile: DeviceProfile) -> Gpu {
    let options =
        GpuOptions { adapter: std::env::var("SALIQ_ADAPTER").unwrap_or_default(), profile };
    pollster::block_on(Gpu::new(&options)).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads a whole buffer of `count` elements.
pub fn read<T: bytemuck::Pod>(buffer: &Buffer, count: usize) -> Vec<T> {
    pollster::block_on(gpu().read(buffer, 0, count as u64)).unwrap()
}

/// A buffer with `data`.
pub fn upload<T: bytemuck::NoUninit>(data: &[T]) -> Buffer {
    gpu().upload("test", data).unwrap()
}

/// As [`upload`] for floats, where the type could also be f64.
pub fn upload_f32(values: &[f32]) -> Buffer {
    upload(values)
}

/// A uniform buffer with `value`.
pub fn uniform<T: bytemuck::Pod>(value: T) -> Buffer {
    let buffer = gpu().uniform("uniform", size_of::<T>() as u64).unwrap();
    gpu().write(&buffer, 0, &[value]);
    buffer
}

/// A buffer of `count` words that are not 0, so that missing writes of a kernel are visible.
pub fn dirty(count: usize) -> Buffer {
    upload(&vec![0x4122_4466_u32; count])
}

/// Records a dispatch, runs it, and waits for it.
#[track_caller]
pub fn launch(launcher: &impl Launcher) {
    submit(launcher.launch());
}

/// As [`launch`], with other workgroups than those of the launcher.
#[track_caller]
pub fn launch_over(launcher: &impl Launcher, workgroups: [u32; 3]) {
    submit(launcher.launch().over(workgroups));
}

/// As [`launch`], in two rows of workgroups, as for a dispatch that is too long for one row.
#[track_caller]
pub fn launch_in_two_rows(launcher: &impl Launcher) {
    let launch = launcher.launch();
    let [x, y, z] = launch.workgroups();
    assert_eq!(y, 1, "more than a row already");
    submit(launch.over([x.div_ceil(2), 2, z]));
}

/// Runs a dispatch, and waits for it.
#[track_caller]
pub fn submit(launch: Launch<'_>) {
    let name = launch.kernel();
    let mut recording = Recording::new();
    let run = recording
        .launch(gpu(), name, launch)
        .and_then(|()| recording.submit(gpu()))
        .and_then(|()| gpu().wait());
    run.unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// The plan of an activation whose α or step is parameter `index`, and whose offset, if it learns
/// one, comes right behind.
pub fn activation_plan(
    quantizer: (ActivationQuantizer, PactKind, u32),
    index: u32,
) -> ActivationPlan {
    function_plan(ActivationFunction::Relu, quantizer, index)
}

/// The same of another function.
pub fn function_plan(
    function: ActivationFunction,
    (act_quant, pact, bits): (ActivationQuantizer, PactKind, u32),
    index: u32,
) -> ActivationPlan {
    let quantization = QuantizationConfig { act_quant, pact, ..Default::default() };
    let bits = LayerBits { weight: 32, activation: bits };
    let has_offset = quantization.quantizer_of(function) == ActivationQuantizer::LsqPlus;
    let offset = has_offset.then_some(index + 1);
    ActivationPlan::new(&quantization, function, bits, (Some(index), offset)).unwrap()
}

/// The plan of a quantizer of weights.
pub fn weight_plan(
    weight_quant: WeightQuantizer,
    bits: u32,
    per_channel: bool,
) -> WeightQuantizerPlan {
    let quantization = QuantizationConfig { weight_quant, per_channel, ..Default::default() };
    let bits = LayerBits { weight: bits, activation: 32 };
    WeightQuantizerPlan::new(&quantization, bits).unwrap()
}

/// An observer of a run that prints nothing.
pub struct Silent;
impl Observer for Silent {}

/// ‖actual − expected‖ / ‖expected‖ (or the plain norm if the expected values are all 0).
pub fn relative_error(actual: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let difference =
        actual.iter().zip(expected).map(|(a, e)| (f64::from(*a) - e).powi(2)).sum::<f64>().sqrt();
    let norm = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
    assert!(difference.is_finite(), "not finite");
    if norm > 0.0 { difference / norm } else { difference }
}

/// Asserts [`relative_error`] ≤ `tolerance`.
#[track_caller]
pub fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    let error = relative_error(actual, expected);
    assert!(error <= tolerance, "{what}: relative error {error:e} > {tolerance:e}");
}

/// The largest [`relative_error`] of the `count` images of equal size, so that a small wrong image
/// is not hidden by large ones.
pub fn worst_image(actual: &[f32], expected: &[f64], count: usize) -> f64 {
    assert!(
        count > 0 && actual.len().is_multiple_of(count),
        "{} values are not {count} images",
        actual.len()
    );
    let size = actual.len() / count;
    let errors = actual
        .chunks_exact(size)
        .zip(expected.chunks_exact(size))
        .map(|(actual, expected)| relative_error(actual, expected));
    errors.fold(0.0, f64::max)
}

/// [`assert_close`] of all images together, and [`worst_image`] ≤ `tolerance`.
#[track_caller]
pub fn assert_images_close(
    what: &str,
    actual: &[f32],
    expected: &[f64],
    count: usize,
    tolerance: f64,
) {
    assert_close(what, actual, expected, tolerance);
    let worst = worst_image(actual, expected, count);
    assert!(worst <= tolerance, "{what}: relative error {worst:e} of one image > {tolerance:e}");
}

/// Small deterministic generator for test inputs (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// Next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, bound).
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }

    /// Uniform in [-1, 1).
    pub fn signed(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// `count` values of [`Random::signed`].
    pub fn vector(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.signed()).collect()
    }
}

/// A convolution by kernel, stride and padding.
pub fn conv(name: &str, out_channels: u32, [kernel, stride, padding]: [u32; 3]) -> LayerConfig {
    LayerConfig::conv(name, out_channels, [kernel, stride, padding])
}

/// An activation.
pub fn activation(name: &str) -> LayerConfig {
    LayerConfig::activation(name)
}

/// Pixels of [`random_model`].
pub const NORMALIZATION: PixelNormalization = PixelNormalization::uniform(0.4, 0.3);

/// `model` with a mean and a standard deviation of each of its channels.
pub fn in_colour(mut model: Model) -> Model {
    let pair = |channel| (0.45 - 0.03 * channel as f32, 0.2 + 0.04 * channel as f32);
    let pairs: Vec<(f32, f32)> = (0..model.config.network.input.channels).map(pair).collect();
    model.config.normalize = Some(PixelNormalization::per_channel(&pairs).unwrap());
    model
}

/// A model of random parameters.
pub fn random_model(
    network: NetworkConfig,
    bits: &str,
    quantization: QuantizationConfig,
    seed: u64,
) -> Model {
    let bits = expand_bits(&LayerBits::parse_list(bits).unwrap(), &network).unwrap();
    let quantization = QuantizationConfig { bits, ..quantization };
    let graph = Graph::new(&network, &quantization).unwrap();
    let layout = &graph.layout;
    let mut random = Random(seed);
    let mut parameters = vec![0.0; layout.padded_length() as usize];
    for parameter in &layout.parameters {
        for value in &mut parameters[parameter.range()] {
            *value = match parameter.role {
                ParameterRole::Weight => {
                    (random.signed() + random.signed() + random.signed())
                        / (parameter.fan_in as f32).sqrt()
                }
                ParameterRole::Scale | ParameterRole::RunningVariance | ParameterRole::Alpha => {
                    1.2 + random.signed()
                }
                ParameterRole::ActivationStep { highest } => {
                    (1.2 + random.signed()) / highest as f32
                }
                ParameterRole::BatchCount => 3.0,
                _ => 0.3 * random.signed(),
            };
        }
    }
    for step in layout.steps() {
        layout.initialize_step(step, &mut parameters);
    }
    // Some levels below 0, but never all.
    for step in layout.activation_steps() {
        if let (ParameterRole::ActivationStep { highest }, Some(offset)) =
            (step.role, layout.offset_beside(step))
        {
            let range = highest as f32 * parameters[step.offset as usize];
            parameters[offset.offset as usize] = -(0.25 + 0.15 * random.signed()) * range;
        }
    }
    let config = ModelConfig {
        network,
        quantization,
        normalize: Some(NORMALIZATION),
        dataset: "mnist-mini".into(),
        dataset_is_folder: false,
        class_names: Vec::new(),
        training: Default::default(),
    };
    Model { config, graph, parameters, missing_alphas: Vec::new(), path: Default::default() }
}
