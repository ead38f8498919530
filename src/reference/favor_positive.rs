//! Weights of the γ rule, which favours positive contributions.

/// value·(1 + γ) of each that is positive; the others as they are.
pub fn favor_positive(values: &[f64], gamma: f64) -> Vec<f64> {
    let favored = |&value: &f64| if value > 0.0 { value * (1.0 + gamma) } else { value };
    values.iter().map(favored).collect()
}
