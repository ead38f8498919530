//! The kernels' twins on the CPU: one file per kernel of `shaders/`, in f64, as plain nested loops over PyTorch's layouts (NCHW activations,
//! [out, in, kh, kw] weights). They are what tests hold the kernels to, so they share no tiling, layout or summation order with them.

pub mod activation;
pub mod activation_gradient;
pub mod convolution;
pub mod convolution_input_gradient;
pub mod convolution_weight_gradient;
pub mod fully_connected_weight_gradient;
pub mod layout;
pub mod matrix_product;
pub mod max_pool;
pub mod max_pool_gradient;
pub mod network;
pub mod prepare_weights;
pub mod reduce_weight_gradient;
pub mod sum_partials;
pub mod weight_range;
pub mod weight_scale;
