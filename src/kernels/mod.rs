//! A typed launcher for every kernel: its buffers under their names, its sizes, and what it has to
//! do. A file here is called as the kernel's in `shaders/` and its oracle in `reference/`.
//!
//! A [`Launcher`](crate::gpu::Launcher) is a structure with a field a buffer: two of the same type
//! are not mixed up by their order. When its pipeline is made, and in `saliq check`, the names are
//! compared with those that the linked shader declares.

mod activation;
mod activation_gradient;
mod batch_norm;
mod batch_norm_gradient_sums;
mod batch_norm_inference;
mod batch_norm_input_gradient;
mod batch_norm_moments;
mod batch_norm_parameter_gradient;
mod batch_norm_update;
mod common;
mod convolution;
mod convolution_cooperative;
mod convolution_input_gradient;
mod convolution_input_gradient_narrow;
mod convolution_requantized;
mod convolution_tiled;
mod convolution_weight_gradient;
mod convolution_weight_gradient_tiled;
mod dropout;
mod fold_batch_norm;
mod fold_batch_norm_gradient;
mod fully_connected_weight_gradient;
mod guided_gradient;
mod integer_convolution;
mod keep_statistics;
mod learned_step;
mod learned_step_gradient;
mod matrix_product;
mod max_pool;
mod max_pool_gradient;
mod max_pool_rescale;
mod optimizer_adadelta;
mod optimizer_adam;
mod optimizer_sgd;
mod positive_part;
mod prepare_weights;
mod reduce_weight_gradient;
mod relevance_ratio;
mod rescale_multiplier;
mod slice_weights;
mod sum_partials;
mod weight_range;
mod weight_scale;

pub use activation::{Activation, RequantizedActivation};
pub use activation_gradient::ActivationGradient;
pub use batch_norm::BatchNorm;
pub use batch_norm_gradient_sums::BatchNormGradientSums;
pub use batch_norm_inference::BatchNormInference;
pub use batch_norm_input_gradient::{BatchGradient, BatchNormInputGradient};
pub use batch_norm_moments::BatchNormMoments;
pub use batch_norm_parameter_gradient::BatchNormParameterGradient;
pub use batch_norm_update::BatchNormUpdate;
pub use common::{
    Activated, BatchStatistics, ELEMENTWISE, Epilogue, Geometry, Gradient, ImageRange, LANES,
    NormIndices, ParameterRules, PoolShape, Pooling, Requantized, SlicedWeights, StripTiles,
    Update, WeightShape, flat_workgroups, grid,
};
pub use convolution::Convolution;
pub use convolution_cooperative::{ConvolutionCooperative, CooperativeTiles};
pub use convolution_input_gradient::ConvolutionInputGradient;
pub use convolution_input_gradient_narrow::{ConvolutionInputGradientNarrow, NarrowTiles};
pub use convolution_requantized::ConvolutionRequantized;
pub use convolution_tiled::ConvolutionTiled;
pub use convolution_weight_gradient::{ConvolutionWeightGradient, WeightGradientTiles};
pub use convolution_weight_gradient_tiled::ConvolutionWeightGradientTiled;
pub use dropout::Dropout;
pub use fold_batch_norm::FoldBatchNorm;
pub use fold_batch_norm_gradient::FoldBatchNormGradient;
pub use fully_connected_weight_gradient::{FeatureTiles, FullyConnectedWeightGradient};
pub use guided_gradient::GuidedGradient;
pub use integer_convolution::IntegerConvolution;
pub use keep_statistics::KeepStatistics;
pub use learned_step::LearnedStep;
pub use learned_step_gradient::LearnedStepGradient;
pub use matrix_product::{MatrixProduct, RegisterTiles};
pub use max_pool::MaxPool;
pub use max_pool_gradient::MaxPoolGradient;
pub use max_pool_rescale::MaxPoolRescale;
pub use optimizer_adadelta::OptimizerAdadelta;
pub use optimizer_adam::OptimizerAdam;
pub use optimizer_sgd::{Momentum, OptimizerSgd};
pub use positive_part::PositivePart;
pub use prepare_weights::{BackwardLayout, PrepareWeights};
pub use reduce_weight_gradient::ReduceWeightGradient;
pub use relevance_ratio::RelevanceRatio;
pub use rescale_multiplier::RescaleMultiplier;
pub use slice_weights::{SliceShape, SliceWeights};
pub use sum_partials::SumPartials;
pub use weight_range::WeightRange;
pub use weight_scale::WeightScale;
