//! Statistics of a layer's weights: smallest, largest, Σ|w| and Σw², per output channel.

/// Statistics of some weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightRange {
    /// Smallest weight.
    pub smallest: f64,
    /// Largest weight.
    pub largest: f64,
    /// Σ|w|.
    pub absolute_sum: f64,
    /// Σw².
    pub square_sum: f64,
    /// How many.
    pub count: f64,
}

/// The statistics of `weights`, which are not empty.
pub fn weight_range(weights: &[f64]) -> WeightRange {
    WeightRange {
        smallest: weights.iter().copied().fold(f64::INFINITY, f64::min),
        largest: weights.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        absolute_sum: weights.iter().map(|w| w.abs()).sum(),
        square_sum: weights.iter().map(|w| w * w).sum(),
        count: weights.len() as f64,
    }
}
