//! The steps of a run that did not count, as a checkpoint has them.

use serde::{Deserialize, Serialize};

/// The steps of a run that did not count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skips {
    /// How many there were.
    pub total: u64,
    /// How many of them were the last ones.
    pub in_a_row: u64,
    /// The factor on the learning rate that they have led to.
    pub rate_factor: f32,
}

impl Default for Skips {
    fn default() -> Self {
        Skips { total: 0, in_a_row: 0, rate_factor: 1.0 }
    }
}
