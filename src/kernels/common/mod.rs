//! What several launchers share, as `shaders/common` does for kernels.

mod activation;
mod batch_norm;
mod epilogue;
mod geometry;
mod grid;
mod images;
mod optimizer;
mod quantizer;
mod strips;
mod weights;
mod windows;

pub(super) use activation::{activated, activated_inputs};
pub use batch_norm::{BatchStatistics, NormIndices};
pub(super) use batch_norm::{first_stage, mode, over_groups, rows, second_stage};
pub use epilogue::{Activated, Epilogue, Gradient, Requantized};
pub use geometry::{Geometry, Pooling};
pub(super) use grid::moved;
pub use grid::{ELEMENTWISE, LANES, flat_workgroups, grid};
pub use images::ImageRange;
pub use optimizer::{ParameterRules, Update};
pub(super) use quantizer::{quantized, quantized_levels};
pub use strips::{SlicedWeights, StripTiles};
pub(super) use strips::{over_strips, strip_constants};
pub use weights::WeightShape;
pub use windows::PoolShape;
