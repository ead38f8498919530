//! Copies that are in flight from the device.

use crate::gpu::Staging;

/// Copies in flight: the metrics of the steps since the last harvest, and the state after them if
/// it is for a checkpoint.
pub(super) struct Harvest {
    pub staging: Staging,
    pub step: u64,
    pub with_state: bool,
    /// Steps whose quantizer state it contains.
    pub sampled: Vec<u64>,
}

impl Harvest {
    /// Whether it can be read without waiting.
    pub fn is_ready(&self) -> bool {
        self.staging.is_ready()
    }
}
