//! What is on its way from the device.

use crate::gpu::Staging;

/// Copies in flight: the metrics of the steps since the last harvest, and the state after them
/// where it is for a checkpoint.
pub(super) struct Harvest {
    pub staging: Staging,
    pub step: u64,
    pub with_state: bool,
    /// Steps whose quantizers are in it.
    pub sampled: Vec<u64>,
}

impl Harvest {
    /// Whether it can be taken in without waiting.
    pub fn is_ready(&self) -> bool {
        self.staging.is_ready()
    }
}
