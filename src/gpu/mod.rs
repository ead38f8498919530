//! The GPU layer: adapters, the device, kernels as cached pipelines, buffers, recorded lists of dispatches, read-back.
//!
//! Nothing here knows what a network is. Waiting for the device happens only in [`Gpu::wait`] and the read-back futures, so
//! that the same code can run where blocking is not allowed (a browser).

mod adapter;
mod buffer;
mod device;
mod kernel;
mod readback;
mod recording;
mod shaders;
mod timestamps;
mod trusted;
mod unroll;

pub use adapter::{AdapterReport, DeviceProfile, adapters, no_adapter};
pub use buffer::{Binding, Buffer, OwnedBinding};
pub use device::{Abilities, Counters, Gpu, GpuOptions};
pub use kernel::{Kernel, Specialization};
pub use readback::Staging;
pub use recording::{Command, Recording, Work};
pub use shaders::{kernel_names, link, link_user};
