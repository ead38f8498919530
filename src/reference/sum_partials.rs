//! Σ of partial sums, set or added to what is there (the later parts of a batch).

/// The sum, on top of `before` where there is one.
pub fn sum_partials(partial_sums: &[f64], before: Option<f64>) -> f64 {
    before.unwrap_or(0.0) + partial_sums.iter().sum::<f64>()
}
