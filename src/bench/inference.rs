//! Compares the times and memory of inference in floats and on integers, by batch size.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{adapter::AdapterName, timing::median};
use crate::{
    Error, Result,
    batch::Batch,
    config::{LayerBits, QuantizationConfig},
    deploy::{DeployableModel, IntegerPlan},
    gpu::{Gpu, Recording},
    integer::IntegerNetwork,
    layout::StepRecord,
    metrics::Classifier,
    model::Model,
    nn::{Network, NetworkOptions},
};

/// Smallest number of images of a timing, in as many batches as needed.
const IMAGES: u32 = 256;

/// The figures of one engine.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct EngineResult {
    /// Median time of a batch, from the images on the device to the logits, in milliseconds.
    pub median_ms: f64,
    /// Images per second.
    pub images_per_second: f64,
    /// Bytes of activations per image.
    pub bytes_per_image: u64,
    /// Number of images computed at once: fewer than a batch if the adapter cannot bind its
    /// activations as a whole.
    #[serde(default)]
    pub images_at_a_time: u32,
}

/// All engines at one batch size.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct InferencePoint {
    /// Images per batch.
    pub batch_size: u32,
    /// Without quantization.
    pub float: EngineResult,
    /// Fake quantization, in floats.
    pub fake_quantized: EngineResult,
    /// On integers.
    pub integer: EngineResult,
    /// Median over the rounds of float's time divided by that of integers in the same round.
    pub speedup: f64,
}

/// The result of `saliq bench --inference`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InferenceResult {
    /// The adapter.
    pub adapter: AdapterName,
    /// Number of layers with integer sums, and number of layers with weights.
    pub integer_layers: [usize; 2],
    /// Figures by batch size.
    pub points: Vec<InferencePoint>,
}

/// Times the model with 1, 4, 16, … images per batch, up to `most`, in `rounds` rounds in which the
/// engines take turns; the figures are medians. If a batch does not fit the adapter, it is split
/// into parts.
///
/// # Errors
/// Those of the device and of [`DeployableModel::new`].
pub fn inference(
    gpu: &Gpu,
    model: &Model,
    most: u32,
    rounds: u32,
    progress: &mut dyn FnMut(&str),
) -> Result<InferenceResult> {
    let deployable = DeployableModel::new(model)?;
    let (config, plan) = (&model.config, IntegerPlan::new(&deployable));
    let layers = model.graph.weighted().count();
    let plain =
        QuantizationConfig { bits: vec![LayerBits::FLOAT; layers], ..config.quantization.clone() };
    let mut points = Vec::new();
    let sizes = (0..).map(|power| 4u32.pow(power)).take_while(|&size| size < most).chain([most]);
    for batch_size in sizes {
        progress(&format!("{batch_size} images a batch"));
        let float = fitting(gpu, batch_size, |slots| filled(gpu, model, &plain, slots))?;
        let fake =
            fitting(gpu, batch_size, |slots| filled(gpu, model, &config.quantization, slots))?;
        let integer = fitting(gpu, batch_size, |slots| IntegerNetwork::new(gpu, &plan, slots))?;
        let passes = [
            Pass::new(gpu, &float.0, batch_size, float.1)?,
            Pass::new(gpu, &fake.0, batch_size, fake.1)?,
            Pass::new(gpu, &integer.0, batch_size, integer.1)?,
        ];
        let batches = IMAGES.div_ceil(batch_size);
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        // The first round includes compilation.
        for round in 0..=rounds {
            for (pass, list) in passes.iter().zip(&mut times) {
                gpu.wait()?;
                let start = Instant::now();
                for _ in 0..batches * pass.parts {
                    pass.recording.submit(gpu)?;
                }
                gpu.wait()?;
                if round > 0 {
                    list.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(batches));
                }
            }
        }
        let mut ratios: Vec<f64> =
            times[0].iter().zip(&times[2]).map(|(float, integer)| float / integer).collect();
        let bytes =
            [float.0.activation_bytes(), fake.0.activation_bytes(), integer.0.activation_bytes()];
        let mut results = times.iter_mut().zip(&passes).zip(bytes).map(|((list, pass), bytes)| {
            let median_ms = median(list);
            let images_per_second = f64::from(batch_size) * 1e3 / median_ms;
            EngineResult {
                median_ms,
                images_per_second,
                bytes_per_image: bytes / u64::from(pass.slots),
                images_at_a_time: pass.slots,
            }
        });
        let mut next = || results.next().unwrap_or_default();
        let (float, fake_quantized, integer) = (next(), next(), next());
        points.push(InferencePoint {
            batch_size,
            float,
            fake_quantized,
            integer,
            speedup: median(&mut ratios),
        });
    }
    let adapter = AdapterName::of(gpu);
    Ok(InferenceResult { adapter, integer_layers: [plan.integer_steps(), layers], points })
}

/// A recorded forward pass.
struct Pass {
    recording: Recording,
    slots: u32,
    /// Number of passes per batch.
    parts: u32,
}

impl Pass {
    fn new(gpu: &Gpu, classifier: &dyn Classifier, batch_size: u32, slots: u32) -> Result<Pass> {
        let batch = Batch::new(gpu, slots, false, 1)?;
        batch.write_table(gpu, &StepRecord::in_file_order(slots, slots, 0));
        let mut once = Recording::new();
        batch.record_begin(gpu, &mut once)?;
        classifier.record_weights(gpu, &mut once)?;
        once.submit(gpu)?;
        let mut recording = Recording::new();
        classifier.record_forward(gpu, &mut recording, batch.clean())?;
        Ok(Pass { recording, slots, parts: batch_size.div_ceil(slots) })
    }
}

/// The result of `build` for a batch, or for as many images of it as fit the adapter, and their
/// number.
fn fitting<T>(
    gpu: &Gpu,
    batch_size: u32,
    mut build: impl FnMut(u32) -> Result<T>,
) -> Result<(T, u32)> {
    let mut slots = batch_size;
    loop {
        match build(slots) {
            Err(Error::OutOfMemory(_)) if slots > 1 => {
                // The memory of the failed attempt is released before the next one.
                gpu.wait()?;
                slots = slots.div_ceil(2);
            }
            made => return Ok((made?, slots)),
        }
    }
}

/// `model` in floats with `quantization`, for `slots` images.
fn filled(
    gpu: &Gpu,
    model: &Model,
    quantization: &QuantizationConfig,
    slots: u32,
) -> Result<Network> {
    let options = NetworkOptions { slots, ..NetworkOptions::default() };
    let network = Network::new(gpu, &model.config.network, quantization, options)?;
    gpu.write(
        network.parameters(),
        0,
        &network.graph.layout.gather(&model.graph.layout, &model.parameters)?,
    );
    Ok(network)
}
