//! The sum of values of one shape.

/// left + right, value by value.
pub fn add(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left + right).collect()
}
