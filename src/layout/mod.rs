//! The layout of the buffers that host and kernels share, as plain data: channels in groups of 4,
//! parameters in one flat array, the records of steps and ranges of images.

mod channels;
mod records;

pub use channels::{GROUP, from_nchw, groups, padded, to_nchw};
pub use records::{ChunkRange, ImagesRange, RANGE_STRIDE, StepRecord};
