//! A test of the driver's cooperative matrices, before networks rely on them.

use crate::{
    Result,
    config::{
        ActivationFunction, ActivationQuantizer, LayerBits, PactKind, QuantizationConfig, Shape,
        WeightQuantizer,
    },
    gpu::{Gpu, Launcher, Recording, Work},
    kernels::{Activated, ConvolutionCooperative, CooperativeTiles, Geometry, ImageRange},
    quant::{ActivationPlan, WeightQuantizerPlan},
    storage::Storage,
};

const INPUT: Shape = Shape::new(8, 7, 5);
const OUTPUT: Shape = Shape::new(40, 5, 3);
/// A side of the kernel.
const KERNEL: usize = 3;
const IMAGES: usize = 2;
/// Bits of inputs and weights: the products of their levels are far below the bound of exact sums.
const BITS: u32 = 4;
/// The step of inputs; that of weights is 1.
const STEP: f32 = 0.25;

/// Whether `convolution_cooperative` with `tiles` computes the sums of a convolution of integers,
/// all of them. Drivers are known whose products of such matrices are wrong.
///
/// # Errors
/// Those of recording, of the device and of reading back.
pub fn matrices_multiply(gpu: &Gpu, tiles: CooperativeTiles) -> Result<bool> {
    let quantization = QuantizationConfig {
        act_quant: ActivationQuantizer::Lsq,
        pact: PactKind::Unsigned,
        weight_quant: WeightQuantizer::Symmetric,
        ..QuantizationConfig::default()
    };
    let bits = LayerBits { weight: BITS, activation: BITS };
    let input_activation =
        ActivationPlan::new(&quantization, ActivationFunction::Relu, bits, (Some(0), None))?;
    let plan = WeightQuantizerPlan::new(&quantization, bits)?;

    let (inputs, weights) = (levels(INPUT), weights());
    let (from, weight) = (gpu.upload("inputs", &inputs)?, gpu.upload("weights", &weights)?);
    let channels = OUTPUT.channels as usize;
    let bias: Vec<f32> = (0..channels).map(|channel| channel as f32).collect();
    let bias = gpu.upload("bias", &bias)?;
    let quantizer = gpu.upload("quantizer", &vec![[1.0f32, 0.0, 0.0, 0.0]; channels])?;
    let parameters = gpu.upload("parameters", &[STEP])?;
    let count = IMAGES * OUTPUT.elements() as usize;
    let to = gpu.buffer("outputs", 4 * count as u64)?;
    let record = gpu.uniform("images", 16)?;
    gpu.write(&record, 0, &[0, IMAGES as u32, IMAGES as u32, 0]);

    let launcher = ConvolutionCooperative {
        images: ImageRange { binding: (&record).into(), most: IMAGES as u32 },
        input: (&from).into(),
        weight: &weight,
        output: (&to).into(),
        end: Activated {
            bias: &bias,
            activation: ActivationPlan::NONE,
            pre_activation: None,
            parameters: &parameters,
        },
        quantizer: &quantizer,
        geometry: Geometry::convolution(INPUT, OUTPUT, [KERNEL as u32, 1, 0]),
        input_activation,
        plan,
        tiles,
        storage: Storage::default(),
        work: Work::default(),
    };
    let mut recording = Recording::new();
    launcher.record(gpu, &mut recording, "test of matrices")?;
    recording.submit(gpu)?;
    let found: Vec<f32> = pollster::block_on(gpu.read(&to, 0, count as u64))?;
    Ok(found == expected(&inputs, &weights))
}

/// Inputs [image, row, column, channel], levels times [`STEP`].
fn levels(shape: Shape) -> Vec<f32> {
    let count = IMAGES * shape.elements() as usize;
    (0..count).map(|at| ((at * 7 + at / 9) % (1 << BITS)) as f32 * STEP).collect()
}

/// Weights [tap, in channel, out channel]: levels of both signs.
fn weights() -> Vec<f32> {
    let count = KERNEL * KERNEL * (INPUT.channels * OUTPUT.channels) as usize;
    (0..count).map(|at| ((at * 5 + at / 13) % 15) as f32 - 7.0).collect()
}

/// The convolution in f32, which holds every sum.
fn expected(inputs: &[f32], weights: &[f32]) -> Vec<f32> {
    let [channels, height, width] = <[u32; 3]>::from(INPUT).map(|size| size as usize);
    let [out_channels, out_height, out_width] = <[u32; 3]>::from(OUTPUT).map(|size| size as usize);
    let mut sums = Vec::with_capacity(IMAGES * OUTPUT.elements() as usize);
    for image in 0..IMAGES {
        for (y, x) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
            for out in 0..out_channels {
                let terms = (0..KERNEL * KERNEL * channels).map(|term| {
                    let (tap, channel) = (term / channels, term % channels);
                    let (row, column) = (y + tap / KERNEL, x + tap % KERNEL);
                    let at = ((image * height + row) * width + column) * channels + channel;
                    inputs[at] * weights[term * out_channels + out]
                });
                sums.push(terms.sum::<f32>() + out as f32);
            }
        }
    }
    sums
}
