//! The sum of values of one shape.

use super::integer_convolution::requantize;

/// The levels of sums of numbers: left·m₀ + (right·m₁ + offset) with m = `multipliers`, rounded if
/// `rounding`, within `range`.
pub fn requantized_add(
    [left, right]: [&[f64]; 2],
    multipliers: [f64; 2],
    offset: f64,
    (range, rounding): ([f64; 2], bool),
) -> Vec<f64> {
    let of = |(left, right): (&f64, &f64)| {
        let x = left * multipliers[0] + (right * multipliers[1] + offset);
        requantize(x, range, rounding)
    };
    left.iter().zip(right).map(of).collect()
}

/// left + right, value by value.
pub fn add(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left + right).collect()
}
