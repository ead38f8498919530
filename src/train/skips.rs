//! The steps of a run that did not count, as stored in a checkpoint.

use serde::{Deserialize, Serialize};

/// The steps of a run that did not count.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skips {
    /// Their total number.
    pub total: u64,
    /// How many of them are the last steps in a row.
    pub in_a_row: u64,
    /// The factor on the learning rate that they caused.
    pub rate_factor: f32,
}

impl Default for Skips {
    fn default() -> Self {
        Skips { total: 0, in_a_row: 0, rate_factor: 1.0 }
    }
}
