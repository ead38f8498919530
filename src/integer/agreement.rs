//! How the levels of integer inference compare with those of fake quantization in f32, activation
//! by activation.
//!
//! Integer sums are exact; those of fake quantization carry rounding errors of at most γ = (n +
//! 4)·2^−24·(Σ|w·a| + |b|) over n products. A level can differ only where the sum is that close to
//! the middle between two levels: such activations are counted, and every difference is one of them
//! unless what the layer reads of the image differed already.

use serde::Serialize;

use super::IntegerNetwork;
use crate::{
    Result,
    batch::{Batch, GatherOptions, ResidentData},
    config::{ActivationFunction, PixelNormalization},
    deploy::{
        Encoding, FUNCTION, IntegerPlan, IntegerStep, Margin, StepOperation, StepWeights, UNIT,
        WeightedStep, first_highest,
    },
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
    /// Differences by more than one level, or where the activation was not near, in images of which
    /// no level differed that the layer's inputs are made of: there should be none.
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

/// What a step makes in fake quantization: the largest magnitude, and how far rounding can move it.
#[derive(Clone, Copy)]
struct Bound {
    largest: f64,
    reach: f64,
}

/// By how much rounding can move the sums of each output channel of `weighted`, whose inputs are as
/// `input` says, and how large they can be. Sums of `floats` are rounded on both paths.
fn sums(weighted: &WeightedStep, (input, floats): (Bound, bool), unit: f64) -> Vec<Bound> {
    let paths = if floats { 2.0 } else { 1.0 };
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
        let largest = sum * input.largest + offset;
        let own = paths * (count as f64 + 4.0) * UNIT * largest;
        Bound { largest, reach: own + sum * input.reach }
    };
    (0..weighted.channels()).map(of).collect()
}

/// What every step of `plan` makes, and the images; floats that nothing bounds have no finite
/// numbers.
struct Bounds {
    images: Bound,
    steps: Vec<Bound>,
}

impl Bounds {
    fn new(plan: &IntegerPlan, normalization: PixelNormalization) -> Bounds {
        let images = of_numbers(&Encoding::Pixels, normalization);
        let unbounded = Bound { largest: f64::INFINITY, reach: f64::INFINITY };
        let mut bounds = Bounds { images: images.unwrap_or(unbounded), steps: Vec::new() };
        for step in &plan.steps {
            let own = of_numbers(&step.to, normalization);
            let own = own.unwrap_or_else(|| of_floats(step, &bounds.inputs(step)));
            bounds.steps.push(own);
        }
        bounds
    }

    /// What goes into `step`.
    fn inputs(&self, step: &IntegerStep) -> Vec<Bound> {
        let input = |read: &Option<usize>| read.map_or(self.images, |index| self.steps[index]);
        step.reads.iter().map(input).collect()
    }
}

/// What numbers of `encoding` stand for, where they are integers.
fn of_numbers(encoding: &Encoding, normalization: PixelNormalization) -> Option<Bound> {
    let range = encoding.range()?;
    let (scale, zero) = encoding.scale(normalization);
    let largest = range.map(|end| (scale * (f64::from(end) - zero)).abs());
    let largest = largest.into_iter().fold(0.0, f64::max);
    // Where levels have a zero point, their numbers are summed.
    let largest = match encoding {
        Encoding::Levels(_) => largest.max(scale * f64::from(range[1])),
        _ => largest,
    };
    Some(Bound { largest, reach: 0.0 })
}

/// The floats that `step` makes of `inputs`.
fn of_floats(step: &IntegerStep, inputs: &[Bound]) -> Bound {
    match &step.operation {
        StepOperation::Weighted(weighted) => {
            let all = sums(weighted, (inputs[0], step.from == Encoding::Float), 1.0);
            let most = |of: fn(&Bound) -> f64| all.iter().map(of).fold(0.0, f64::max);
            Bound { largest: most(|own| own.largest), reach: most(|own| own.reach) }
        }
        StepOperation::Add { .. } => sum(inputs),
        StepOperation::AveragePool { pool, .. } => {
            let pixels = f64::from(pool.window.taps());
            let Bound { largest, reach } = inputs[0];
            // Sums of floats are rounded on both paths.
            let paths = if step.from == Encoding::Float { 2.0 } else { 1.0 };
            Bound { largest, reach: reach + paths * (pixels + 8.0) * UNIT * largest }
        }
        StepOperation::Function(function) => {
            let Bound { largest, reach } = inputs[0];
            let (steepest, most) = growth(*function);
            // Sigmoid is ½ at 0, the others 0.
            let largest = (0.5 + steepest * largest).min(most);
            Bound { largest, reach: steepest * reach + FUNCTION * largest }
        }
        StepOperation::Multiply => {
            let [left, right] = [inputs[0], inputs[1]];
            let largest = left.largest * right.largest;
            let reach = left.largest * right.reach + left.reach * (right.largest + right.reach);
            Bound { largest, reach: reach + 4.0 * UNIT * largest }
        }
        StepOperation::Concat => Bound {
            largest: inputs[0].largest.max(inputs[1].largest),
            reach: inputs[0].reach.max(inputs[1].reach),
        },
        StepOperation::Activation { .. } => sum(inputs),
        StepOperation::MaxPool(_) => inputs[0],
    }
}

/// (the largest slope of `function`, the largest magnitude of its values).
fn growth(function: ActivationFunction) -> (f64, f64) {
    match function {
        ActivationFunction::Identity | ActivationFunction::Relu => (1.0, f64::INFINITY),
        ActivationFunction::Relu6 => (1.0, 6.0),
        ActivationFunction::LeakyRelu { slope } => (f64::from(slope).abs().max(1.0), f64::INFINITY),
        ActivationFunction::Tanh => (1.0, 1.0),
        ActivationFunction::Sigmoid => (0.25, 1.0),
        // At x = 2.4.
        ActivationFunction::Silu => (1.1, f64::INFINITY),
        // At x = 3.
        ActivationFunction::HardSwish => (1.5, f64::INFINITY),
    }
}

/// What the sum of `inputs` is.
fn sum(inputs: &[Bound]) -> Bound {
    let largest: f64 = inputs.iter().map(|own| own.largest).sum();
    let reach: f64 = inputs.iter().map(|own| own.reach).sum();
    // A level's value is rounded too.
    Bound { largest, reach: reach + 4.0 * UNIT * largest }
}

/// By how much rounding can move an activation of each output channel of `step` in fake
/// quantization, in levels of `unit`.
fn reach(step: &IntegerStep, bounds: &Bounds, unit: f64) -> Vec<f64> {
    let (channels, inputs) = (step.output.channels as usize, bounds.inputs(step));
    match &step.operation {
        StepOperation::Weighted(weighted) => {
            let input = (inputs[0], step.from == Encoding::Float);
            sums(weighted, input, unit).iter().map(|own| own.reach / unit).collect()
        }
        StepOperation::Add { .. } => vec![sum(&inputs).reach / unit; channels],
        _ => vec![(sum(&inputs).reach / unit).max(1e-4); channels],
    }
}

/// What a quantizer takes that `step` ends with, where the layer's activation takes `x`: a function
/// that is part of the same layer is a step, or the end of one, in front.
fn quantized(plan: &IntegerPlan, step: &IntegerStep, x: f64) -> f64 {
    let StepOperation::Activation { .. } = step.operation else { return x };
    let Some(front) = step.reads[0].map(|index| &plan.steps[index]) else { return x };
    let function = format!("{}/function", step.name);
    if front.activation.as_ref().unwrap_or(&front.name) != &function {
        return x;
    }
    match &front.operation {
        &StepOperation::Function(function) => value(function, x),
        StepOperation::Add { range, .. } | StepOperation::Activation { range, .. } => {
            x.clamp(range[0], range[1])
        }
        StepOperation::Weighted(weighted) => x.clamp(weighted.range[0], weighted.range[1]),
        _ => x,
    }
}

/// The value of `function` at `x`.
fn value(function: ActivationFunction, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match function {
        ActivationFunction::Identity => x,
        ActivationFunction::Relu => x.max(0.0),
        ActivationFunction::Relu6 => x.clamp(0.0, 6.0),
        ActivationFunction::LeakyRelu { slope } => x.max(0.0) + f64::from(slope) * x.min(0.0),
        ActivationFunction::Tanh => x.tanh(),
        ActivationFunction::Sigmoid => sigmoid,
        ActivationFunction::Silu => x * sigmoid,
        ActivationFunction::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
    }
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
        normalization: PixelNormalization,
        most: u32,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Agreement> {
        let table = StepRecord::in_file_order(data.count, most, 0);
        let batch = Batch::new(gpu, most, false, table.len() as u64)?;
        let options = GatherOptions::in_file_order(normalization);
        let mut part = Recording::new();
        network.record_weights(gpu, &mut part)?;
        batch.record_begin(gpu, &mut part)?;
        for classifier in [network as &dyn Classifier, integer] {
            classifier.record_gather(gpu, &mut part, &batch, data, &options)?;
            classifier.record_forward(gpu, &mut part, batch.clean())?;
        }
        batch.write_table(gpu, &table);
        let plan = integer.plan();
        let bounds = Bounds::new(plan, normalization);
        let mut agreement = Agreement { images: u64::from(data.count), ..Agreement::default() };
        for record in &table {
            part.submit(gpu)?;
            let mut layer = 0;
            // Images of which a level differs that a step's numbers are made of, by step.
            let mut differing: Vec<Vec<bool>> = Vec::new();
            for (index, step) in plan.steps.iter().enumerate() {
                let reads_other =
                    |image| step.reads.iter().flatten().any(|&read| differing[read][image]);
                let reads_other: Vec<bool> = (0..record.count as usize).map(reads_other).collect();
                differing.push(reads_other.clone());
                let (Encoding::Levels(grid), Some(name)) = (&step.to, &step.activation) else {
                    continue;
                };
                let fake = network.read_activation(gpu, name, record.count).await?;
                // Where a pool is part of the layer in front of it, the network keeps only the
                // largest of a window.
                let whole = record.count * step.output.pixels() * padded(step.output.channels);
                let (own, pool) = (index, plan.readers(index).next());
                let index =
                    if fake.len() == whole as usize { index } else { pool.unwrap_or(index) };
                let shape = plan.steps[index].output;
                let levels = integer.read_step(gpu, index, record.count).await?;
                let fake = to_nchw(&fake, shape);
                let before =
                    to_nchw(&network.read_pre_activation(gpu, name, record.count).await?, shape);
                let unit = f64::from(grid.scale);
                let reach = reach(step, &bounds, unit);
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
                    let position = quantized(plan, step, f64::from(*x)) / unit;
                    let edge = (position - 0.5).round() + 0.5;
                    let inside = edge > f64::from(grid.lowest) && edge < f64::from(grid.highest);
                    let near = inside && (position - edge).abs() <= reach[at / pixels % channels];
                    let level = level - grid.zero_point as f32;
                    let difference = (level - (fake / grid.scale).round_ties_even()).abs();
                    found.near += u64::from(near);
                    if difference != 0.0 {
                        let image = at / (pixels * channels);
                        differing[own][image] = true;
                        found.different += 1;
                        let is_explained = reads_other[image] || (near && difference <= 1.0);
                        found.unexplained += u64::from(!is_explained);
                    }
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
