//! Common parts of several launchers, as `shaders/common` for kernels.

mod activation;
mod batch_norm;
mod epilogue;
mod geometry;
mod grid;
mod grouped;
mod images;
mod optimizer;
mod pictures;
mod quantizer;
mod samples;
mod slopes;
mod strips;
mod weights;
mod windows;

pub(super) use activation::{activated, activated_inputs};
pub use batch_norm::{BatchStatistics, NormIndices};
pub(super) use batch_norm::{first_stage, mode, over_groups, rows, second_stage};
pub use epilogue::{Activated, Epilogue, Gradient, Requantized};
pub(super) use geometry::linked_window;
pub use geometry::{Geometry, Pooling};
pub use grid::{ELEMENTWISE, LANES, PER_IMAGE, flat_workgroups, grid};
pub(super) use grid::{moved, per_image};
pub use grouped::{DepthwiseTiles, GroupedShape};
pub use images::ImageRange;
pub use optimizer::{ParameterRules, Update};
pub(super) use pictures::{class_rows, elements, flat_picture, layer_of, picture};
pub(super) use quantizer::{quantized, quantized_levels};
pub use samples::{Hiding, Sampling};
pub use slopes::PreluShape;
pub use strips::{SlicedWeights, StripTiles};
pub(super) use strips::{over_strips, strip_constants};
pub use weights::WeightShape;
pub use windows::{AveragePoolShape, PoolShape};
