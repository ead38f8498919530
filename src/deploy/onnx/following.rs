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
use crate::{
    Result,
    config::Shape,
    deploy::{FUNCTION, UNIT},
};

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
            let all: Option<Vec<&Bound>> = node.input.iter().map(|name| bounds.get(name)).collect();
            match (node.op_type(), all.as_deref()) {
                ("Add", Some([first, second])) => added(first, second, result)?,
                ("Mul", Some([first, second])) => {
                    multiplied(node, inputs, [first, second], result)?
                }
                ("Concat", Some(all)) => joined(node, inputs, all)?,
                _ => {
                    let mut bound = moved(node, inputs, result, bound, &mut gamma)?;
                    let bias = node.input.get(1).and_then(|bias| file.moved_bias(bias));
                    if let Some(bias) = bias {
                        let pixels: usize = result.shape.iter().skip(2).product();
                        for (at, reach) in bound.reach.iter_mut().enumerate() {
                            *reach += bias[at / pixels % bias.len()];
                        }
                    }
                    bound
                }
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

/// `values` in the shape of `like`.
fn shaped(values: Vec<f64>, like: &Tensor) -> Tensor {
    Tensor { shape: like.shape.clone(), elements: Elements::Real(values) }
}

/// What rounding can do to `result`, the product of `inputs`, which it does `bounds` to.
fn multiplied(
    node: &NodeProto,
    inputs: &[&Tensor],
    bounds: [&Bound; 2],
    result: &Tensor,
) -> Result<Bound> {
    let own = |number: usize| bounds[number].reach.clone();
    let most = |number: usize| -> Vec<f64> {
        let Bound { reach, size } = bounds[number];
        reach.iter().zip(size).map(|(reach, size)| reach + size).collect()
    };
    let product = |left: Vec<f64>, right: Vec<f64>| -> Result<Tensor> {
        apply(node, &[&shaped(left, inputs[0]), &shaped(right, inputs[1])])
    };
    let (left, right) = (product(own(0), most(1))?, product(bounds[0].size.clone(), own(1))?);
    let size = sizes(result.real()?);
    let reach = left.real()?.iter().zip(right.real()?).zip(&size);
    let reach = reach.map(|((left, right), size)| left + right + UNIT * size).collect();
    Ok(Bound { reach, size })
}

/// What rounding can do to `inputs` one after another, which it does `bounds` to.
fn joined(node: &NodeProto, inputs: &[&Tensor], bounds: &[&Bound]) -> Result<Bound> {
    let all = |of: fn(&Bound) -> &Vec<f64>| -> Result<Vec<f64>> {
        let own = bounds.iter().zip(inputs).map(|(bound, input)| shaped(of(bound).clone(), input));
        let own: Vec<Tensor> = own.collect();
        Ok(apply(node, &own.iter().collect::<Vec<_>>())?.real()?.to_vec())
    };
    Ok(Bound { reach: all(|bound| &bound.reach)?, size: all(|bound| &bound.size)? })
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
        let first = shaped(reach, inputs[0]);
        let all: Vec<&Tensor> = std::iter::once(&first).chain(others).collect();
        Ok(apply(node, &all)?.real()?.to_vec())
    };
    Ok(match (node.op_type(), inputs) {
        ("Sub", [x, y]) => {
            let size: Vec<f64> =
                x.real()?.iter().zip(y.broadcast(x)?).map(|(x, y)| x.abs() + y.abs()).collect();
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
        ("Div", [x, y]) => {
            let divisors: Vec<f64> = y.broadcast(x)?.into_iter().map(f64::abs).collect();
            let size: Vec<f64> =
                bound.size.iter().zip(&divisors).map(|(size, y)| size / y).collect();
            Bound {
                reach: bound
                    .reach
                    .iter()
                    .zip(size.iter().zip(&divisors))
                    .map(|(reach, (size, y))| reach / y + DIVISION * size)
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
        // Levels are exact.
        ("Clip" | "MaxPool" | "Flatten" | "Reshape", [x, ..]) if x.real().is_err() => {
            Bound::default()
        }
        ("MaxPool", [_]) => with(through(bound.reach.clone(), &[])?, result)?,
        ("AveragePool" | "GlobalAveragePool", [x]) => {
            // The sum of a window, and a division.
            let kernel = node.attribute.iter().find(|own| own.name() == "kernel_shape");
            let pixels: f64 = match kernel {
                Some(own) => own.ints.iter().map(|&size| size as f64).product(),
                None => x.shape[2..].iter().map(|&size| size as f64).product(),
            };
            let share = (pixels + 8.0) * UNIT + DIVISION;
            let moved = bound.reach.iter().zip(&bound.size);
            with(through(moved.map(|(reach, size)| reach + share * size).collect(), &[])?, result)?
        }
        ("PRelu", [_, slopes]) => {
            let steepest =
                slopes.real()?.iter().fold(1.0, |most: f64, slope| most.max(slope.abs()));
            let moved = bound.reach.iter().zip(result.real()?);
            let moved = moved.map(|(reach, value)| steepest * reach + FUNCTION * value.abs());
            with(moved.collect(), result)?
        }
        ("LeakyRelu" | "Tanh" | "Sigmoid" | "HardSigmoid", _) => {
            let alpha = node.attribute.iter().find(|own| own.name() == "alpha");
            let alpha = alpha.map_or(1.0, |own| f64::from(own.f()).abs());
            // The largest slope.
            let slope = match node.op_type() {
                "LeakyRelu" => alpha.max(1.0),
                "HardSigmoid" => alpha,
                "Sigmoid" => 0.25,
                _ => 1.0,
            };
            let moved = bound.reach.iter().zip(result.real()?);
            let moved = moved.map(|(reach, value)| slope * reach + FUNCTION * value.abs());
            with(moved.collect(), result)?
        }
        ("DequantizeLinear", _) => {
            let size = sizes(result.real()?);
            Bound { reach: size.iter().map(|size| DIVISION * size).collect(), size }
        }
        // ReLU, ReLU6 and changes of the shape.
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
