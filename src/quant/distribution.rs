//! A tensor before and after quantization: what a histogram shows.

use super::Histogram;

/// One tensor before and after quantization.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorDistribution {
    /// Its name, such as `conv1.weight` or `act1`.
    pub name: String,
    /// Its bits.
    pub bits: u32,
    /// Float values: the weights that are quantized (with batch norm folded in); the activations of
    /// the same network run in float.
    pub before: Histogram,
    /// The values that the quantized network computes with.
    pub after: Histogram,
    /// The values a level stands for, ascending: all levels of an activation, those in use of a
    /// weight. Empty for weights whose output channels have levels of their own.
    pub levels: Vec<f64>,
}
