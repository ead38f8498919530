//! The GPU layer: adapters, the device, kernels as cached pipelines, buffers, recorded lists of
//! dispatches, read-back.
//!
//! Nothing here knows what a network is. The device is waited for in three places:
//! [`Device::wait`], [`Device::submit`] while too many submissions are unfinished, and the
//! read-back futures.

mod abilities;
mod adapter;
mod buffer;
mod context;
mod counters;
mod device;
mod faults;
mod kernel;
mod launch;
mod launcher;
mod lock;
mod readback;
mod recording;
mod timestamps;
mod trusted;
mod tuning;

pub use abilities::Abilities;
pub use adapter::{AdapterReport, DeviceProfile, adapters, no_adapter};
pub use buffer::{Binding, Buffer, OwnedBinding};
pub use context::Gpu;
pub use counters::Counters;
pub use device::{Device, GpuOptions};
pub use kernel::{Kernel, numbers};
pub use launch::{Launch, Work};
pub use launcher::Launcher;
pub use readback::Staging;
pub use recording::{Command, Recording};
pub use timestamps::time_dispatches;
pub use tuning::{ProductShape, ProductTiles, TunedProduct, Tuning};
