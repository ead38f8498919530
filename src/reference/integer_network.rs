//! A whole [`IntegerPlan`] in exact arithmetic: integer sums, and f64 where a level is made of
//! them.

use super::{
    activation::Function,
    add::requantized_add,
    average_pool::average_pool,
    convolution::Convolution,
    grouped_convolution::{Group, grouped_convolution},
    integer_convolution::{integer_convolution, requantize},
    max_pool::max_pool,
    multiply::multiply,
};
use crate::{
    config::Shape,
    deploy::{Encoding, IntegerPlan, IntegerStep, StepOperation, StepWeights, WeightedStep},
};

/// What every step makes of `images` [image, channel, row, column] bytes: levels, or floats.
pub fn integer_network(plan: &IntegerPlan, images: &[u8]) -> Vec<Vec<f64>> {
    let count = images.len() / plan.input.elements() as usize;
    // The images, then what every step makes.
    let mut values: Vec<Vec<f64>> = vec![images.iter().map(|&byte| f64::from(byte)).collect()];
    for step in &plan.steps {
        let value = |read: Option<usize>| &values[read.map_or(0, |index| index + 1)];
        let input = value(step.reads[0]);
        let rounding = step.to != Encoding::Float;
        values.push(match &step.operation {
            StepOperation::Weighted(weighted) => layer(step, weighted, count, input, rounding),
            &StepOperation::MaxPool(pool) => max_pool(count, step.input, pool, input).0,
            StepOperation::AveragePool { pool, scale, zero } => {
                let floats: Vec<f64> = input.iter().map(|n| scale * (n - zero)).collect();
                average_pool(count, step.input, *pool, &floats)
            }
            &StepOperation::Add { multipliers, offset, range } => {
                let inputs = [input, value(step.reads[1])].map(Vec::as_slice);
                requantized_add(inputs, multipliers, offset, (range, rounding))
            }
            StepOperation::Activation { multiplier, offset, range } => input
                .iter()
                .map(|value| requantize(value * multiplier + offset, *range, rounding))
                .collect(),
            &StepOperation::Function(function) => {
                input.iter().map(|&x| Function::of(function).value(x)).collect()
            }
            StepOperation::Multiply => multiply(input, value(step.reads[1])),
            StepOperation::Concat => {
                let others = value(step.reads[1]);
                let second = step.output.channels - step.input.channels;
                let sizes = [step.input.channels, second].map(|c| c * step.output.pixels());
                let parts = input
                    .chunks_exact(sizes[0] as usize)
                    .zip(others.chunks_exact(sizes[1] as usize));
                parts.flat_map(|(first, second)| first.iter().chain(second)).copied().collect()
            }
        });
    }
    values.remove(0);
    values
}

fn layer(
    step: &IntegerStep,
    weighted: &WeightedStep,
    images: usize,
    input: &[f64],
    rounding: bool,
) -> Vec<f64> {
    // A fully connected layer is a kernel as large as its input, of one row.
    let (input_shape, window) = match weighted.window {
        Some(window) => (step.input, window),
        None => (Shape::new(step.input.elements(), 1, 1), [1, 1, 0].into()),
    };
    let groups = weighted.groups as usize;
    let shape =
        Convolution { images, input: input_shape, out_channels: step.output.channels, window };
    let (sums, inside): (Vec<f64>, Vec<f64>) = match &weighted.weights {
        StepWeights::Integer { values, .. } => {
            let weights: Vec<i64> = values.iter().map(|&w| i64::from(w)).collect();
            let numbers: Vec<i64> = input.iter().map(|&value| value as i64).collect();
            let exact = |input: &[i64]| -> Vec<f64> {
                let mut sums = vec![0.0; shape.output().elements() as usize * images];
                for group in Group::all(&shape, groups) {
                    let own = integer_convolution(
                        &group.shape,
                        &group.gather(input),
                        group.parameters(&weights),
                    );
                    let own: Vec<f64> = own.iter().map(|&sum| sum as f64).collect();
                    group.scatter(&own, &mut sums);
                }
                sums
            };
            (
                exact(&numbers),
                if weighted.border.is_some() { exact(&vec![1; input.len()]) } else { Vec::new() },
            )
        }
        StepWeights::Float(values) => {
            let weights: Vec<f64> = values.iter().map(|&w| f64::from(w)).collect();
            let sum = |input: &[f64]| {
                let bias = vec![0.0; weighted.channels()];
                grouped_convolution(&shape, groups, input, &weights, &bias)
            };
            (
                sum(input),
                if weighted.border.is_some() { sum(&vec![1.0; input.len()]) } else { Vec::new() },
            )
        }
    };
    let pixels = shape.output().pixels() as usize;
    let of = |(index, sum): (usize, &f64)| {
        let channel = index / pixels % weighted.channels();
        let place = weighted.border.as_ref().map_or(0.0, |border| border[channel] * inside[index]);
        requantize(
            sum * weighted.multiplier[channel] + weighted.offset[channel] + place,
            weighted.range,
            rounding,
        )
    };
    sums.iter().enumerate().map(of).collect()
}
