//! A typed launcher for every kernel: its buffers under their names, its sizes, and what it has to
//! do. A file here is called as the kernel's in `shaders/` and its oracle in `reference/`.
//!
//! A [`Launcher`](crate::gpu::Launcher) is a structure with a field a buffer: two of the same type
//! are not mixed up by their order. When its pipeline is made, and in `saliq check`, the names are
//! compared with those that the linked shader declares.

mod activation;
mod common;
mod max_pool;

pub use activation::{Activation, RequantizedActivation};
pub use common::{ELEMENTWISE, ImageRange, LANES, PoolShape, flat_workgroups, grid};
pub use max_pool::MaxPool;
