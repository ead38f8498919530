//! How the levels of integer inference compare with those of fake quantization in f32, activation
//! by activation.
//!
//! Integer sums are exact; those of fake quantization carry rounding errors of at most γ = (n +
//! 4)·2^−24·(Σ|w·a| + |b|) over n products. A level can differ only where the sum is that close to
//! the middle between two levels: such activations are counted, and every difference is one of them
//! unless the layer's inputs differed already.

use serde::Serialize;

use super::IntegerNetwork;
use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    deploy::{Encoding, IntegerStep, Margin, StepOperation, StepWeights, first_highest},
    gpu::{Gpu, Recording},
    layout::{StepRecord, padded, to_nchw},
    metrics::Classifier,
    nn::Network,
};

/// A layer's levels.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LayerAgreement {
    /// Name of the activation.
    pub name: String,
    /// Levels compared.
    pub levels: u64,
    /// Those that differ.
    pub different: u64,
    /// Activations that rounding in fake quantization could have moved to another level.
    pub near: u64,
    /// Differences by more than one level, or where the activation was not near: none unless the
    /// inputs differed.
    pub unexplained: u64,
    /// Of the integer sums themselves, over all images that there could be; none where they do not
    /// apply.
    pub margin: Option<Margin>,
}

/// Both paths over the same images.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Agreement {
    /// Images compared.
    pub images: u64,
    /// Images whose predicted class differs.
    pub predictions_different: u64,
    /// Largest difference of a logit.
    pub largest_logit_difference: f64,
    /// A record a quantized activation.
    pub layers: Vec<LayerAgreement>,
}

/// By how much rounding can move an activation of each output channel in fake quantization, in
/// levels; any distance where its inputs are floats, which have no bound. An activation on its own
/// takes what a layer's floats were rounded to before.
fn reach(step: &IntegerStep, from: (f64, f64), unit: f64) -> Vec<f64> {
    let StepOperation::Weighted(weighted) = &step.operation else {
        return vec![1e-4; step.output.channels as usize];
    };
    let Some(range) = step.from.range() else { return vec![f64::INFINITY; weighted.channels()] };
    let (scale, zero) = from;
    let largest =
        range.map(|end| (scale * (f64::from(end) - zero)).abs()).into_iter().fold(0.0, f64::max);
    // Where levels have a zero point, their numbers are summed.
    let largest = match &step.from {
        Encoding::Levels(_) => largest.max(scale * f64::from(range[1])),
        _ => largest,
    };
    let magnitudes = |channel: usize| -> (f64, usize) {
        match &weighted.weights {
            StepWeights::Integer { levels, values } => {
                let count = values.len() / weighted.channels();
                let sum: f64 =
                    values[channel * count..][..count].iter().map(|w| f64::from(w.abs())).sum();
                (sum * f64::from(levels.scale(channel)), count)
            }
            StepWeights::Float(values) => {
                let count = values.len() / weighted.channels();
                (values[channel * count..][..count].iter().map(|w| f64::from(w.abs())).sum(), count)
            }
        }
    };
    let of = |channel: usize| {
        let (sum, count) = magnitudes(channel);
        let offset = (weighted.offset[channel] * unit).abs();
        (count as f64 + 4.0) * 2f64.powi(-24) * (sum * largest + offset) / unit
    };
    (0..weighted.channels()).map(of).collect()
}

impl Agreement {
    /// Runs `integer` and `network`, which was filled with the same model, over `data`, `most`
    /// images at a time.
    ///
    /// # Errors
    /// [`crate::Error`] of the device.
    pub async fn measure(
        gpu: &Gpu,
        network: &Network,
        integer: &IntegerNetwork,
        data: &ResidentData,
        (mean, deviation): (f32, f32),
        most: u32,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Agreement> {
        let table = StepRecord::in_file_order(data.count, most, 0);
        let batch = Batch::new(gpu, most, false, table.len() as u64)?;
        let options = GatherOptions { shuffle: false, augment: Vec::new(), mean, deviation };
        let mut part = Recording::new();
        network.record_weights(gpu, &mut part)?;
        batch.record_begin(gpu, &mut part)?;
        for classifier in [network as &dyn Classifier, integer] {
            classifier.record_gather(gpu, &mut part, &batch, data, &options)?;
            classifier.record_forward(gpu, &mut part, batch.clean())?;
        }
        batch.write_table(gpu, &table);
        let normalization = crate::config::PixelNormalization { mean, deviation };
        let plan = integer.plan();
        let mut agreement = Agreement { images: u64::from(data.count), ..Agreement::default() };
        for record in &table {
            part.submit(gpu)?;
            let mut layer = 0;
            for (index, step) in plan.steps.iter().enumerate() {
                let (Encoding::Levels(grid), Some(name)) = (&step.to, &step.activation) else {
                    continue;
                };
                let fake = network.read_activation(gpu, name, record.count).await?;
                // Where a pool is part of the layer in front of it, the network keeps only the
                // largest of a window.
                let whole = record.count * step.output.pixels() * padded(step.output.channels);
                let index = if fake.len() == whole as usize { index } else { index + 1 };
                let shape = plan.steps[index].output;
                let levels = integer.read_step(gpu, index, record.count).await?;
                let fake = to_nchw(&fake, shape);
                let before =
                    to_nchw(&network.read_pre_activation(gpu, name, record.count).await?, shape);
                let unit = f64::from(grid.scale);
                let reach = reach(step, step.from.scale(normalization), unit);
                if agreement.layers.len() == layer {
                    let margin = match &step.operation {
                        StepOperation::Weighted(weighted) => weighted.margin(grid.numbers()),
                        _ => None,
                    };
                    agreement.layers.push(LayerAgreement {
                        name: name.clone(),
                        margin,
                        ..LayerAgreement::default()
                    });
                }
                let found = &mut agreement.layers[layer];
                layer += 1;
                found.levels += levels.len() as u64;
                let (pixels, channels) = (shape.pixels() as usize, shape.channels as usize);
                for (at, ((level, fake), x)) in levels.iter().zip(&fake).zip(&before).enumerate() {
                    let position = f64::from(*x) / unit;
                    let edge = (position - 0.5).round() + 0.5;
                    let inside = edge > f64::from(grid.lowest) && edge < f64::from(grid.highest);
                    let near = inside && (position - edge).abs() <= reach[at / pixels % channels];
                    let level = level - grid.zero_point as f32;
                    let difference = (level - (fake / grid.scale).round_ties_even()).abs();
                    found.near += u64::from(near);
                    found.different += u64::from(difference != 0.0);
                    found.unexplained +=
                        u64::from(difference != 0.0 && (difference > 1.0 || !near));
                }
            }
            let classes = network.classes() as usize;
            let stride = classes.next_multiple_of(4);
            let count = u64::from(record.count) * stride as u64;
            let logits: Vec<f32> = gpu.read(network.logits(), 0, count).await?;
            let others: Vec<f32> = gpu.read(integer.logits(), 0, count).await?;
            for (logits, others) in logits.chunks_exact(stride).zip(others.chunks_exact(stride)) {
                agreement.predictions_different += u64::from(
                    first_highest(&logits[..classes]) != first_highest(&others[..classes]),
                );
                for (a, b) in logits[..classes].iter().zip(others) {
                    let difference = f64::from((a - b).abs());
                    agreement.largest_logit_difference =
                        agreement.largest_logit_difference.max(difference);
                }
            }
            progress(u64::from(record.position + record.count));
        }
        Ok(agreement)
    }
}
