//! A typed launcher for every kernel: its buffers under their names, its sizes, and what it has to
//! do. A file here is called as the kernel's in `shaders/` and its oracle in `reference/`.
//!
//! A [`Launcher`](crate::gpu::Launcher) is a structure with a field a buffer: two of the same type
//! are not mixed up by their order. When its pipeline is made, and in `saliq check`, the names are
//! compared with those that the linked shader declares.

mod activation;
mod begin_step;
mod classify;
mod common;
mod fill_masked;
mod gather_batch;
mod image_statistics;
mod judge_step;
mod max_pool;
mod saliency_seed;
mod select_lowest;
mod sgt_loss;
mod sum_metrics;

pub use activation::{Activation, RequantizedActivation};
pub use begin_step::BeginStep;
pub use classify::Classify;
pub use common::{ELEMENTWISE, ImageRange, LANES, PER_IMAGE, PoolShape, flat_workgroups, grid};
pub use fill_masked::FillMasked;
pub use gather_batch::GatherBatch;
pub use image_statistics::ImageStatistics;
pub use judge_step::JudgeStep;
pub use max_pool::MaxPool;
pub use saliency_seed::{SaliencySeed, Scalar};
pub use select_lowest::SelectLowest;
pub use sgt_loss::SgtLoss;
pub use sum_metrics::SumMetrics;
