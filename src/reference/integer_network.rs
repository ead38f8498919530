//! A whole [`IntegerPlan`] in exact arithmetic: integer sums, and f64 where a level is made of
//! them.

use super::{
    add::requantized_add,
    average_pool::average_pool,
    convolution::Convolution,
    integer_convolution::{integer_convolution, requantize},
    max_pool::max_pool,
};
use crate::{
    config::{MaxPool, Shape},
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
            StepOperation::MaxPool { kernel, stride } => {
                max_pool(count, step.input, MaxPool::inside(*kernel, *stride), input).0
            }
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
        None => (Shape::new(step.input.elements(), 1, 1), [1, 1, 0]),
    };
    let shape = Convolution {
        images,
        input: input_shape,
        out_channels: step.output.channels,
        window: window.into(),
    };
    let (sums, inside): (Vec<f64>, Vec<f64>) = match &weighted.weights {
        StepWeights::Integer { values, .. } => {
            let weights: Vec<i64> = values.iter().map(|&w| i64::from(w)).collect();
            let numbers: Vec<i64> = input.iter().map(|&value| value as i64).collect();
            let exact = |input: &[i64]| {
                integer_convolution(&shape, input, &weights).iter().map(|&sum| sum as f64).collect()
            };
            (
                exact(&numbers),
                if weighted.border.is_some() { exact(&vec![1; input.len()]) } else { Vec::new() },
            )
        }
        StepWeights::Float(values) => {
            let weights: Vec<f64> = values.iter().map(|&w| f64::from(w)).collect();
            let sum = |input: &[f64]| {
                super::convolution::convolution(
                    &shape,
                    input,
                    &weights,
                    &vec![0.0; weighted.channels()],
                )
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
