//! The GPU layer: adapters, the device, kernels as cached pipelines, buffers, recorded lists of
//! dispatches, read-back.
//!
//! Nothing here knows what a network is. The device is waited for in three places: [`Gpu::wait`],
//! [`Gpu::submit`] while too many submissions are unfinished, and the read-back futures.

mod adapter;
mod buffer;
mod device;
mod kernel;
mod launch;
mod readback;
mod recording;
mod timestamps;
mod trusted;
mod tuning;

pub use adapter::{AdapterReport, DeviceProfile, adapters, no_adapter};
pub use buffer::{Binding, Buffer, OwnedBinding};
pub use device::{Abilities, Counters, Gpu, GpuOptions};
pub use kernel::{Kernel, numbers};
pub use launch::{Launch, Launcher, Work};
pub use readback::Staging;
pub use recording::{Command, Recording};
pub use tuning::{ProductShape, ProductTiles, TunedProduct, Tuning};
