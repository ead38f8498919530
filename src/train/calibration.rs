//! Computes initial α's (a high percentile of the activations of the first batches), initial steps
//! (LSQ's 2·E|x|/√Q_p of these activations), and LSQ+'s initial steps and offsets (of least squared
//! error).

use crate::{
    Error, Result,
    batch::ResidentData,
    config::{NetworkConfig, PixelNormalization, QuantizationConfig},
    gpu::Gpu,
    graph::{Graph, Parameter, ParameterLayout, ParameterRole},
    post_training::{ActivationPass, Calibration, Distribution, observe_unquantized},
    quant::{Histogram, initial_step},
};

/// Number of batches that calibration uses.
pub(super) const BATCHES: u32 = 4;
/// Share of the activations that lie below the initial α.
const PERCENTILE: f64 = 0.999;

/// The start of a calibration.
pub struct CalibrationStart<'a> {
    /// The place of each parameter.
    pub layout: &'a ParameterLayout,
    /// All parameters, flat.
    pub parameters: &'a [f32],
    /// Images per batch.
    pub batch_size: u32,
    /// Whether training begins with batch norms that use the statistics of the batch, not the
    /// running ones.
    pub live: bool,
}

/// (name, value) for the α or step, and the offset, of every quantized activation. The values are
/// its float inputs after the ReLU over the first 4 batches in file order, with fake-quantized
/// weights as in training. α is the 99.9th percentile of their magnitudes, and a step is LSQ's for
/// their mean. LSQ+'s step and offset are those of least squared error, as in its paper: the search
/// moves the ends of the range inwards from the least and the largest value. Behind a ReLU the
/// offset is 0. Where LSQ+ has no ReLU (`--pact signed`), its values are those without a ReLU; with
/// another function, they are what the function gives in float.
///
/// Signed PACT replaces the ReLU but is also calibrated on the ReLU's values. Calibrated on its own
/// inputs, α's become several times as large, and models trained from there are worse
/// (docs/results/quantizers.md). With `start.live`, batch norms use the statistics of these
/// batches, as the first steps do. Dropout is off.
pub async fn calibrate_activations(
    gpu: &Gpu,
    network: &NetworkConfig,
    quantization: &QuantizationConfig,
    start: &CalibrationStart<'_>,
    data: &ResidentData,
    normalization: PixelNormalization,
) -> Result<Vec<(String, f32)>> {
    let &CalibrationStart { layout, parameters, batch_size, live } = start;
    let pass = ActivationPass {
        network,
        quantization,
        layout,
        parameters,
        normalization,
        live: live.then_some(batch_size),
    };
    let graph = Graph::new(network, quantization)?;
    let mut images = data.count.min(BATCHES.saturating_mul(batch_size));
    // A batch of a single remaining image has no statistics.
    if live && images > 1 && images % batch_size == 1 && network.single_value_norm()?.is_some() {
        images -= 1;
    }
    let learned = graph.activations().filter_map(|(op, own)| Some((op, own, own.learned?)));
    let mut samples: Vec<(&Parameter, Seen)> = learned
        .map(|(op, own, id)| {
            let elements = u64::from(graph.output_of(op).elements());
            let seen = match own.offset.is_some() {
                true => Seen::All(Histogram::default()),
                false => Seen::Magnitudes(Sample::new(u64::from(images) * elements)),
            };
            (graph.parameter(id), seen)
        })
        .collect();
    observe_unquantized(gpu, &pass, data, images, &mut |activation, values| {
        if let Some((_, own)) =
            samples.iter_mut().find(|(parameter, _)| parameter.layer() == activation)
        {
            match own {
                Seen::Magnitudes(sample) => sample.add(values),
                Seen::All(histogram) => histogram.add(values),
            }
        }
    })
    .await?;
    let mut initial = Vec::new();
    for (parameter, seen) in samples {
        let highest = match parameter.role {
            ParameterRole::ActivationStep { highest } => Some(highest),
            _ => None,
        };
        match (seen, highest) {
            (Seen::Magnitudes(sample), _) if sample.count == 0 => return Err(unseen(parameter)),
            (Seen::All(histogram), _) if histogram.count() == 0 => return Err(unseen(parameter)),
            (Seen::Magnitudes(sample), None) => {
                initial.push((parameter.name.clone(), sample.percentile()));
            }
            (Seen::Magnitudes(sample), Some(highest)) => {
                initial.push((parameter.name.clone(), initial_step(sample.mean(), highest)));
            }
            (Seen::All(histogram), highest) => {
                let distribution = Distribution::of_histogram(&histogram);
                let range = distribution.offset_range(highest.unwrap_or(1), Calibration::Mse);
                let offset = layout.offset_beside(parameter).map(|own| own.name.clone());
                initial.push((parameter.name.clone(), range.step));
                initial.extend(offset.map(|name| (name, range.offset())));
            }
        }
    }
    Ok(initial)
}

/// What is kept of an activation's values.
enum Seen {
    /// For α's and LSQ's steps.
    Magnitudes(Sample),
    /// For LSQ+'s ranges.
    All(Histogram),
}

fn unseen(parameter: &Parameter) -> Error {
    Error::Model(format!(
        "{}: the network has no activation {} to calibrate it on",
        parameter.name,
        parameter.layer()
    ))
}

/// Magnitudes with their mean. It stores the largest ones only, as many as are needed for the value
/// below which [`PERCENTILE`] of them lie.
struct Sample {
    largest: Vec<f32>,
    keep: usize,
    sum: f64,
    count: u64,
}

impl Sample {
    /// A sample for `expected` values.
    fn new(expected: u64) -> Sample {
        let rank = (expected.saturating_sub(1) as f64 * PERCENTILE).round() as u64;
        Sample {
            largest: Vec::new(),
            keep: (expected - rank.min(expected)) as usize,
            sum: 0.0,
            count: 0,
        }
    }

    fn add(&mut self, values: &[f32]) {
        self.count += values.len() as u64;
        self.sum += values.iter().map(|&value| f64::from(value).abs()).sum::<f64>();
        self.largest.extend(values.iter().map(|value| value.abs()));
        if let Some(beyond) = self.largest.len().checked_sub(self.keep).filter(|&beyond| beyond > 0)
        {
            self.largest.select_nth_unstable_by(beyond - 1, f32::total_cmp);
            self.largest.drain(..beyond);
        }
    }

    /// The mean; 1 if all values are 0.
    fn mean(&self) -> f64 {
        let mean = self.sum / self.count.max(1) as f64;
        if mean.is_finite() && mean > 0.0 { mean } else { 1.0 }
    }

    /// The value below which [`PERCENTILE`] of the values lie; 1 if all values are 0.
    fn percentile(&self) -> f32 {
        let value = self.largest.iter().copied().min_by(f32::total_cmp).unwrap_or(1.0);
        if value.is_finite() && value > 0.0 { value } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_values_sorted() {
        for count in [1usize, 2, 999, 1000, 1001, 30_000] {
            // Every magnitude from 1 to `count` once, in another order and with signs.
            let values: Vec<f32> = (0..count)
                .map(|index| ((index * 7919) % count + 1) as f32 * [1.0, -1.0][index % 2])
                .collect();
            let mut sample = Sample::new(count as u64);
            values.chunks(777).for_each(|values| sample.add(values));
            let mut sorted: Vec<f32> = values.iter().map(|value| value.abs()).collect();
            sorted.sort_by(f32::total_cmp);
            assert_eq!(
                sample.percentile(),
                sorted[((count - 1) as f64 * 0.999).round() as usize],
                "{count}"
            );
            assert!((sample.mean() - (count + 1) as f64 / 2.0).abs() < 1e-9 * count as f64);
            assert!(sample.largest.len() <= count / 1000 + 2);
        }
        let mut zeros = Sample::new(4);
        zeros.add(&[0.0; 4]);
        assert_eq!((zeros.percentile(), zeros.mean()), (1.0, 1.0));
    }
}
