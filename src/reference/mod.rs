//! The kernels again, in plain f64 code on the CPU: a module for each operation, of its kernel's
//! name. Kernels are tested against these; whatever is discrete (masks, random numbers,
//! permutations) is exactly equal.
//!
//! What several share has the name of its file in `shaders/common`, where there is one; `layout`
//! takes arrays from PyTorch's order to the kernels' and back; [`network`] and [`integer_network`]
//! are whole networks made of the others.

pub mod accumulate_gradients;
pub mod accumulate_scores;
pub mod activation;
pub mod activation_gradient;
pub mod add;
pub mod average_pool;
pub mod average_pool_gradient;
pub mod batch_norm;
pub mod batch_norm_gradient_sums;
pub mod batch_norm_inference;
pub mod batch_norm_input_gradient;
pub mod batch_norm_moments;
pub mod batch_norm_parameter_gradient;
pub mod batch_norm_update;
pub mod begin_step;
pub mod channel_means;
pub mod class_score;
pub mod classify;
pub mod collect_logits;
pub mod compare_maps;
pub mod convolution;
pub mod convolution_input_gradient;
pub mod convolution_weight_gradient;
pub mod depthwise_convolution;
pub mod depthwise_input_gradient;
pub mod depthwise_weight_gradient;
pub mod dropout;
pub mod fill_masked;
pub mod fold_batch_norm;
pub mod fold_batch_norm_gradient;
pub mod fully_connected_weight_gradient;
pub mod gather_batch;
pub mod grad_cam;
pub mod grad_cam_plus_plus_weights;
pub mod grouped_convolution;
pub mod grouped_convolution_input_gradient;
pub mod grouped_convolution_weight_gradient;
pub mod guided_gradient;
pub mod image_statistics;
pub mod impute_linear;
pub mod integer_convolution;
pub mod integer_network;
pub mod judge_step;
pub mod keep_statistics;
pub mod layout;
pub mod learned_step;
pub mod learned_step_gradient;
pub mod logits;
pub mod map_clarity;
pub mod mask_ranked;
pub mod matrix_product;
pub mod max_pool;
pub mod max_pool_gradient;
pub mod max_pool_rescale;
pub mod network;
pub mod optimizer_adadelta;
pub mod optimizer_adam;
pub mod optimizer_sgd;
pub mod parameters;
pub mod perturb_images;
pub mod positive_part;
pub mod prepare_weights;
pub mod random_attribution;
pub mod rank_values;
pub mod reduce_weight_gradient;
pub mod relevance_ratio;
pub mod rescale_multiplier;
pub mod saliency_seed;
pub mod sample_images;
pub mod samples;
pub mod select_lowest;
pub mod sgt_loss;
pub mod slice_weights;
pub mod storage;
pub mod structural_similarity;
pub mod sum_metrics;
pub mod sum_partials;
pub mod top_overlap;
pub mod weight_range;
pub mod weight_scale;
