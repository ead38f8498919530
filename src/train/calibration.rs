//! Initial α's (a high percentile of the activations of the first batches) and steps (LSQ's 2·E|x|/√Q_p of them).

use crate::{
    Result,
    batch::ResidentData,
    config::{NetworkConfig, QuantizationConfig},
    gpu::Gpu,
    nn::{Parameter, ParameterLayout, ParameterRole},
    post_training::{ActivationPass, OBSERVED_BATCH, float_activations, observe_activations},
    quant::initial_step,
};

/// Batches looked at.
const BATCHES: u32 = 4;
/// Share of activations that lie below the initial α.
const PERCENTILE: f64 = 0.999;

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
    normalization: (f32, f32),
) -> Result<Vec<(String, f32)>> {
    let float = float_activations(quantization);
    let &CalibrationStart { layout, parameters, live } = start;
    let pass = ActivationPass { network, quantization: &float, layout, parameters, normalization, live };
    let wanted = ParameterLayout::new(network, quantization)?;
    let mut samples: Vec<(&Parameter, Vec<f32>)> = wanted.calibrated().map(|parameter| (parameter, Vec::new())).collect();
    observe_activations(gpu, &pass, data, BATCHES * OBSERVED_BATCH, &mut |activation, values| {
        if let Some((_, own)) = samples.iter_mut().find(|(parameter, _)| parameter.layer() == activation) {
            own.extend_from_slice(values);
        }
    })
    .await?;
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
