//! What several launchers share, as `shaders/common` does for kernels.

mod activation;
mod grid;
mod images;
mod pictures;
mod quantizer;
mod samples;
mod windows;

pub(super) use activation::{activated, activated_inputs};
pub use grid::{ELEMENTWISE, LANES, PER_IMAGE, flat_workgroups, grid};
pub(super) use grid::{moved, per_image};
pub use images::ImageRange;
pub(super) use pictures::{class_rows, elements, flat_picture, picture};
pub(super) use quantizer::{quantized, quantized_levels};
pub use samples::{Hiding, Sampling};
pub use windows::PoolShape;
