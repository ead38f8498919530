//! The kernels again, in plain f64 code on the CPU: a module for each, of the same name and over the same layouts. Kernels are tested against these;
//! whatever is discrete (masks, random numbers, permutations) is exactly equal.

pub mod begin_step;
pub mod classify;
pub mod dropout;
pub mod fill_masked;
pub mod gather_batch;
pub mod image_statistics;
pub mod input_times_gradient;
pub mod optimizer_adadelta;
pub mod optimizer_adam;
pub mod optimizer_sgd;
pub mod parameters;
pub mod random_attribution;
pub mod saliency_seed;
pub mod select_lowest;
pub mod sgt_loss;
pub mod softmax;
pub mod sum_metrics;
