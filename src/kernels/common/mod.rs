//! What several launchers share, as `shaders/common` does for kernels.

mod activation;
mod grid;
mod images;
mod quantizer;
mod windows;

pub(super) use activation::{activated, activated_inputs};
pub(super) use grid::moved;
pub use grid::{ELEMENTWISE, LANES, flat_workgroups, grid};
pub use images::ImageRange;
pub(super) use quantizer::{quantized, quantized_levels};
pub use windows::PoolShape;
