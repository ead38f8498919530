//! A typed launcher for every kernel: its buffers under their names, its sizes, and what it has to
//! do. A file here is called as the kernel's in `shaders/` and its oracle in `reference/`.
//!
//! A [`Launcher`](crate::gpu::Launcher) is a structure with a field a buffer: two of the same type
//! are not mixed up by their order. When its pipeline is made, and in `saliq check`, the names are
//! compared with those that the linked shader declares.

mod accumulate_gradients;
mod accumulate_scores;
mod activation;
mod begin_step;
mod channel_means;
mod class_score;
mod classify;
mod collect_logits;
mod common;
mod compare_maps;
mod fill_masked;
mod gather_batch;
mod grad_cam;
mod image_statistics;
mod impute_linear;
mod judge_step;
mod map_clarity;
mod mask_ranked;
mod max_pool;
mod perturb_images;
mod random_attribution;
mod rank_values;
mod saliency_seed;
mod sample_images;
mod select_lowest;
mod sgt_loss;
mod structural_similarity;
mod sum_metrics;
mod top_overlap;

pub use accumulate_gradients::{AccumulateGradients, GradientSum};
pub use accumulate_scores::AccumulateScores;
pub use activation::{Activation, RequantizedActivation};
pub use begin_step::BeginStep;
pub use channel_means::ChannelMeans;
pub use class_score::{ClassScore, Score};
pub use classify::Classify;
pub use collect_logits::CollectLogits;
pub use common::{
    ELEMENTWISE, Hiding, ImageRange, LANES, PER_IMAGE, PoolShape, Sampling, flat_workgroups, grid,
};
pub use compare_maps::CompareMaps;
pub use fill_masked::FillMasked;
pub use gather_batch::GatherBatch;
pub use grad_cam::GradCam;
pub use image_statistics::ImageStatistics;
pub use impute_linear::ImputeLinear;
pub use judge_step::JudgeStep;
pub use map_clarity::MapClarity;
pub use mask_ranked::MaskRanked;
pub use max_pool::MaxPool;
pub use perturb_images::PerturbImages;
pub use random_attribution::RandomAttribution;
pub use rank_values::{RankOrder, RankValues};
pub use saliency_seed::{SaliencySeed, Scalar};
pub use sample_images::SampleImages;
pub use select_lowest::SelectLowest;
pub use sgt_loss::SgtLoss;
pub use structural_similarity::StructuralSimilarity;
pub use sum_metrics::SumMetrics;
pub use top_overlap::TopOverlap;
