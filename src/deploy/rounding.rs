//! What rounding in f32 can do, for comparisons of programs that are both right.

/// Half the distance between 1 and the next float of 32 bits.
pub const UNIT: f64 = 1.0 / (1 << 24) as f64;

/// What a function such as tanh may be off by on a GPU, as a share of its value: what WGSL allows
/// an exponential of numbers below 64, and a division.
pub const FUNCTION: f64 = 256.0 * UNIT;
