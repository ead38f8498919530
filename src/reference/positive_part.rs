//! The positive part of weights, for the z⁺ rule.

/// max(value, 0) of each.
pub fn positive_part(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.max(0.0)).collect()
}
