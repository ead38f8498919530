//! What a benchmark ran on.

use serde::{Deserialize, Serialize};

use crate::gpu::Gpu;

/// The adapter a benchmark ran on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AdapterName {
    /// Name.
    pub name: String,
    /// Name, backend and driver.
    pub description: String,
}

impl AdapterName {
    /// Of `gpu`'s adapter.
    pub fn of(gpu: &Gpu) -> AdapterName {
        AdapterName { name: gpu.adapter_name().into(), description: gpu.adapter_description() }
    }
}
