//! Initial α's (a high percentile of the activations of the first batches) and steps (LSQ's 2·E|x|/√Q_p of them).

use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData, StepRecord},
    config::{LayerBits, LayerConfig, NetworkConfig, QuantizationConfig},
    gpu::{Gpu, Recording},
    nn::{Network, NetworkOptions, Parameter, ParameterLayout, ParameterRole, TrainingPass, groups, to_nchw},
    quant::initial_step,
};

/// Batches looked at.
const BATCHES: u32 = 4;
/// Share of activations that lie below the initial α.
const PERCENTILE: f64 = 0.999;
/// Images of a calibration batch at most.
const MOST_IMAGES: u32 = 64;

/// The parameters that a calibration starts from.
pub struct CalibrationStart<'a> {
    /// Where each parameter is.
    pub layout: &'a ParameterLayout,
    /// All of them, flat.
    pub parameters: &'a [f32],
    /// Whether batch norms will begin with the statistics of batches, not the running ones.
    pub live: bool,
}

/// (name, value) for the α or step of every quantized activation, from its float input after the ReLU over the first 4 batches in file order,
/// the 99.9th percentile or LSQ's step for the mean, with the weights fake-quantized as they will be. Batch norms take the statistics of those
/// batches, as the first steps will, where `start.live`; dropout is off.
pub async fn calibrate_activations(
    gpu: &Gpu,
    network: &NetworkConfig,
    quantization: &QuantizationConfig,
    start: &CalibrationStart<'_>,
    data: &ResidentData,
    gather: &GatherOptions,
) -> Result<Vec<(String, f32)>> {
    let float_activations = QuantizationConfig {
        bits: quantization.bits.iter().map(|bits| LayerBits { weight: bits.weight, activation: 32 }).collect(),
        ..quantization.clone()
    };
    let most = data.count.min(MOST_IMAGES);
    let options = NetworkOptions { slots: most, training: false, gradients: false, ..NetworkOptions::default() };
    let live = start.live && network.has_batch_norm();
    let is_kept = |layer: &&LayerConfig| !matches!(layer, LayerConfig::Dropout { .. });
    let network_without_dropout =
        NetworkConfig { layers: network.layers.iter().filter(is_kept).cloned().collect(), ..network.clone() };
    let options = NetworkOptions { training: live, ..options };
    let float = Network::new(gpu, &network_without_dropout, &float_activations, options)?;
    gpu.write(&float.parameters, 0, &float.layout.gather(start.layout, start.parameters));
    let table = StepRecord::in_file_order(data.count.min(BATCHES * most), most, 0);
    let batch = Batch::new(gpu, most, false, table.len() as u64)?;
    batch.write_table(gpu, &table);
    let mut recording = Recording::new();
    batch.record_begin(gpu, &mut recording)?;
    let gather = GatherOptions { shuffle: false, augment: Vec::new(), ..gather.clone() };
    batch.record_gather(gpu, &mut recording, data, &gather, &float.input)?;
    float.record_weights(gpu, &mut recording)?;
    let pass = TrainingPass { step: &batch.step, batches: 1, freeze_after: None };
    float.record_forward(gpu, &mut recording, batch.clean(), live.then_some(pass))?;

    let wanted = crate::nn::ParameterLayout::new(network, quantization)?;
    let mut samples: Vec<(&Parameter, Vec<f32>)> = wanted.calibrated().map(|parameter| (parameter, Vec::new())).collect();
    for record in &table {
        recording.submit(gpu)?;
        for (activation, shape, buffer) in float.activations() {
            let Some((_, values)) = samples.iter_mut().find(|(parameter, _)| parameter.layer() == activation) else {
                continue;
            };
            let count = u64::from(record.count) * u64::from(shape.pixels() * groups(shape.channels)) * 4;
            values.extend(to_nchw(&gpu.read::<f32>(buffer, 0, count).await?, shape));
        }
    }
    let initial = |(parameter, values): (&Parameter, Vec<f32>)| {
        let value = match parameter.role {
            ParameterRole::ActivationStep { highest } => initial_step(mean_magnitude(&values), highest),
            _ => percentile(values),
        };
        (parameter.name.clone(), value)
    };
    Ok(samples.into_iter().map(initial).collect())
}

/// The mean magnitude; 1 where all are 0.
fn mean_magnitude(values: &[f32]) -> f64 {
    let mean = values.iter().map(|&value| f64::from(value).abs()).sum::<f64>() / values.len().max(1) as f64;
    if mean.is_finite() && mean > 0.0 { mean } else { 1.0 }
}

/// The value below which [`PERCENTILE`] of the magnitudes lie; 1 where all are 0.
fn percentile(mut values: Vec<f32>) -> f32 {
    if values.is_empty() {
        return 1.0;
    }
    let rank = ((values.len() - 1) as f64 * PERCENTILE).round() as usize;
    let (_, value, _) = values.select_nth_unstable_by(rank, |a, b| a.abs().total_cmp(&b.abs()));
    let value = value.abs();
    if value.is_finite() && value > 0.0 { value } else { 1.0 }
}
