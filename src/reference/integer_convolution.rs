//! Convolutions and fully connected layers on integers, exactly: sums in i64, what becomes of them
//! in f64 ([`crate::deploy::IntegerPlan`]).

use super::convolution::Convolution;

/// Σ (w − z)·a, [images, out_channels, height, width], of inputs NCHW and weights [out, in, kernel,
/// kernel]; 0 outside the image.
pub fn integer_convolution(shape: &Convolution, input: &[i64], weight: &[i64]) -> Vec<i64> {
    let mut output = vec![0; shape.images * shape.output().elements() as usize];
    shape.for_each_term(|term| output[term.output] += input[term.input] * weight[term.weight]);
    output
}

/// clamp(round(x), range), or without rounding where the output is a float.
pub fn requantize(x: f64, range: [f64; 2], rounding: bool) -> f64 {
    (if rounding { x.round_ties_even() } else { x }).clamp(range[0], range[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Shape;

    #[test]
    fn a_hand_computed_example() {
        let shape = Convolution {
            images: 1,
            input: Shape::new(1, 2, 2),
            out_channels: 1,
            window: [2, 1, 1].into(),
        };
        let sums = integer_convolution(&shape, &[1, 2, 3, 4], &[1, -10, 100, -1000]);
        assert_eq!(sums, [-1000, -1900, 200, -3010, -3719, 402, -30, -37, 4]);
        assert_eq!(
            [0.5, 1.5, -0.5, 7.0].map(|x| requantize(x, [0.0, 3.0], true)),
            [0.0, 2.0, 0.0, 3.0]
        );
        assert_eq!(requantize(-0.25, [f64::NEG_INFINITY, f64::INFINITY], false), -0.25);
    }
}
