//! The interpreter along another program's own levels: what a layer of the file makes of the levels
//! that the other program has in front of that layer.
//!
//! Two correct programs may choose different levels where a sum comes as close to the edge between
//! two levels as rounding in f32 can move it. From there on they compute on different numbers, and
//! comparing their logits says nothing. Here every layer starts from the other program's levels,
//! so that each layer of each image can be judged: a level is right where it is one of those that
//! rounding leaves open.
//!
//! How far rounding reaches is carried along with the values: γ·(Σ|w·a| + |b|) with
//! γ = (n + 8)·2^−24 for a sum of n products, as `eval --compare-levels` has it, and what reached
//! the sum's inputs before.

use std::collections::HashMap;

use super::{
    interpreter::{Interpreter, apply},
    schema::NodeProto,
    tensor::{Elements, Tensor, bad},
};
use crate::{Result, config::Shape};

/// Half the distance between 1 and the next float of 32 bits.
const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// What a division, and a scale that is a quotient, may be off by on a GPU, as a share: twice 2.5
/// ulp, rounded up.
const DIVISION: f64 = 12.0 * UNIT;

/// What quantized weights may be off by in a GPU's kernels, as a share of the largest weight.
const WEIGHT: f64 = 5.0 * UNIT;

/// A quantized activation of the file, a number a value: [image, channel, row, column].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FollowedActivation {
    /// Name of the file's node.
    pub name: String,
    /// The file's levels in exact arithmetic.
    pub levels: Vec<i32>,
    /// The lowest and the highest level that rounding in f32 can make of it; lowest above highest
    /// where a number is not finite.
    pub open: Vec<[i32; 2]>,
}

/// What a file makes of images and of another program's levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// First to last.
    pub activations: Vec<FollowedActivation>,
    /// [N, classes], from the other program's last levels.
    pub logits: Vec<f64>,
}

/// What rounding can do to a value, a number an element; nothing to integers.
#[derive(Clone, Debug, Default)]
struct Bound {
    /// How far it can move the value.
    reach: Vec<f64>,
    /// The largest number that a program may add up on its way: more than the value where a mean
    /// was taken off.
    size: Vec<f64>,
}

fn sizes(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}

/// What `file` makes of `images` [N, C, H, W] where its quantized activations, first to last,
/// have the levels `own`.
///
/// # Errors
/// As [`Interpreter::run`]; [`crate::Error::Model`] where it does not have as many quantized
/// activations of these sizes.
pub fn follow(
    file: &Interpreter,
    images: &[f64],
    shape: Shape,
    own: &[&[i32]],
) -> Result<Followed> {
    let mut followed = Followed::default();
    let size = sizes(images);
    let largest = size.iter().copied().fold(0.0, f64::max);
    let mut bounds = HashMap::new();
    bounds.insert(
        file.input().to_string(),
        Bound { reach: vec![4.0 * UNIT * largest; size.len()], size },
    );
    // Of the last sum: a bias may be added at its beginning.
    let mut gamma = 8.0 * UNIT;
    let logits = file.walk(images, shape, &mut |node, inputs, result| {
        // The others are weights, which depend on no image.
        let Some(bound) = node.input.first().and_then(|name| bounds.get(name)) else {
            return Ok(());
        };
        let bound = if let ("QuantizeLinear", [x, scale, zero]) = (node.op_type(), inputs) {
            let range = file.level_range(&node.output[0], zero)?;
            let levels = judge(x.real()?, bound, scale.scalar()?, range);
            let expected =
                own.get(followed.activations.len()).filter(|own| own.len() == levels.0.len());
            let own = expected.ok_or_else(|| {
                bad(format!("{} makes levels that the model does not have", node.name()))
            })?;
            let (data_type, zero) = zero.whole()?;
            let zero = zero.first().copied().unwrap_or(0);
            let replaced = own.iter().map(|&level| i64::from(level) + zero).collect();
            *result = Tensor {
                shape: result.shape.clone(),
                elements: Elements::Whole(data_type, replaced),
            };
            let name = node.name().trim_end_matches("/quantize").to_string();
            followed.activations.push(FollowedActivation {
                name,
                levels: levels.0,
                open: levels.1,
            });
            Bound::default()
        } else {
            let second = node.input.get(1).and_then(|name| bounds.get(name));
            match (node.op_type(), second) {
                ("Add", Some(second)) => added(bound, second, result)?,
                _ => moved(node, inputs, result, bound, &mut gamma)?,
            }
        };
        bounds.insert(node.output[0].clone(), bound);
        Ok(())
    })?;
    if followed.activations.len() != own.len() {
        let (found, needed) = (followed.activations.len(), own.len());
        return Err(bad(format!("has {found} quantized activations, the model has {needed}")));
    }
    followed.logits = logits;
    Ok(followed)
}

/// What rounding can do to `result`, the sum of two values that it does `first` and `second` to.
fn added(first: &Bound, second: &Bound, result: &Tensor) -> Result<Bound> {
    let size = sizes(result.real()?);
    let reach = first.reach.iter().zip(&second.reach).zip(&size);
    let reach = reach.map(|((first, second), size)| first + second + UNIT * size).collect();
    Ok(Bound { reach, size })
}

/// What rounding can do to `result`, which `node` made of `inputs`; `bound` is that of the first
/// input.
fn moved(
    node: &NodeProto,
    inputs: &[&Tensor],
    result: &Tensor,
    bound: &Bound,
    gamma: &mut f64,
) -> Result<Bound> {
    let with = |reach: Vec<f64>, values: &Tensor| {
        values.real().map(|values| Bound { reach, size: sizes(values) })
    };
    // Sums and maxima of what each input can be off by.
    let through = |reach: Vec<f64>, others: &[Tensor]| -> Result<Vec<f64>> {
        let first = Tensor { shape: inputs[0].shape.clone(), elements: Elements::Real(reach) };
        let all: Vec<&Tensor> = std::iter::once(&first).chain(others).collect();
        Ok(apply(node, &all)?.real()?.to_vec())
    };
    Ok(match (node.op_type(), inputs) {
        ("Sub", [x, y]) => {
            let y = y.scalar()?.abs();
            let size: Vec<f64> = x.real()?.iter().map(|x| x.abs() + y).collect();
            Bound {
                reach: bound
                    .reach
                    .iter()
                    .zip(&size)
                    .map(|(reach, size)| reach + UNIT * size)
                    .collect(),
                size,
            }
        }
        ("Div", [_, y]) => {
            let y = y.scalar()?.abs();
            let size: Vec<f64> = bound.size.iter().map(|size| size / y).collect();
            Bound {
                reach: bound
                    .reach
                    .iter()
                    .zip(&size)
                    .map(|(reach, size)| reach / y + DIVISION * size)
                    .collect(),
                size,
            }
        }
        ("Conv" | "Gemm", [_, weight, bias @ ..]) => {
            let values = weight.real()?;
            let products = values.len() as f64
                / weight.shape.first().map_or(1, |&channels| channels.max(1)) as f64;
            *gamma = (products + 8.0) * UNIT;
            let largest = sizes(values).into_iter().fold(0.0, f64::max);
            let weights =
                values.iter().map(|value| value.abs() + WEIGHT / *gamma * largest).collect();
            let mut others =
                vec![Tensor { shape: weight.shape.clone(), elements: Elements::Real(weights) }];
            for bias in bias {
                let reach = bias.real()?.iter().map(|bias| *gamma * bias.abs()).collect();
                others.push(Tensor { shape: bias.shape.clone(), elements: Elements::Real(reach) });
            }
            let moved =
                bound.reach.iter().zip(&bound.size).map(|(reach, size)| reach + *gamma * size);
            with(through(moved.collect(), &others)?, result)?
        }
        ("Add", [x, _]) => {
            let added =
                x.real()?.iter().zip(result.real()?).map(|(before, after)| (after - before).abs());
            let reach = bound
                .reach
                .iter()
                .zip(added)
                .map(|(reach, added)| reach + *gamma * added)
                .collect();
            with(reach, result)?
        }
        ("MaxPool", [_]) => with(through(bound.reach.clone(), &[])?, result)?,
        ("AveragePool", [_]) => {
            // The sum of a window, and a division.
            let kernel = node.attribute.iter().find(|own| own.name() == "kernel_shape");
            let pixels: f64 =
                kernel.map_or(1.0, |own| own.ints.iter().map(|&size| size as f64).product());
            let share = (pixels + 8.0) * UNIT + DIVISION;
            let moved = bound.reach.iter().zip(&bound.size);
            with(through(moved.map(|(reach, size)| reach + share * size).collect(), &[])?, result)?
        }
        ("DequantizeLinear", _) => {
            let size = sizes(result.real()?);
            Bound { reach: size.iter().map(|size| DIVISION * size).collect(), size }
        }
        ("Clip", _) => Bound::default(),
        // ReLU and changes of the shape.
        _ => with(bound.reach.clone(), result)?,
    })
}

/// The levels of `x`, from `lowest` to `highest` and `scale` apart, and those that rounding leaves
/// open.
fn judge(
    x: &[f64],
    bound: &Bound,
    scale: f64,
    (lowest, highest): (i64, i64),
) -> (Vec<i32>, Vec<[i32; 2]>) {
    let level =
        |position: f64| (position.round_ties_even().clamp(lowest as f64, highest as f64)) as i32;
    let of = |(x, reach): (&f64, &f64)| {
        let (position, reach) = (x / scale, reach / scale + DIVISION * (x / scale).abs());
        let open = [level(position - reach), level(position + reach)];
        if (position + reach).is_finite() { (level(position), open) } else { (0, [1, 0]) }
    };
    x.iter().zip(&bound.reach).map(of).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_opens_levels_at_edges_alone() {
        let bound = Bound { reach: vec![1e-4; 6], size: Vec::new() };
        let x = [0.2, 0.25001, 0.7499, 9.0, -3.0, f64::NAN];
        let (levels, open) = judge(&x, &bound, 0.5, (0, 3));
        assert_eq!(levels, [0, 1, 1, 3, 0, 0]);
        assert_eq!(open, [[0, 0], [0, 1], [1, 2], [3, 3], [0, 0], [1, 0]]);
    }
}
