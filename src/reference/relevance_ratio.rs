//! Layer-wise relevance propagation at an activation.

/// The factor of a multiplier (relevance over value) where the activation's input is `x` and its
/// output `y`: y / (x ± ε), ε = 1e-9.
pub fn relevance_ratio(x: f64, y: f64) -> f64 {
    y / (x + if x < 0.0 { -1e-9 } else { 1e-9 })
}
