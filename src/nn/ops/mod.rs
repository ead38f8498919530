//! Operations: what each adds to a pass forward, backward to its input, and backward to its
//! parameters.

pub(super) mod activation;
pub(super) mod add;
pub(super) mod average_pool;
pub(super) mod batch_norm;
pub(super) mod concat;
pub(super) mod convolution;
pub(super) mod dropout;
pub(super) mod linear;
pub(super) mod max_pool;
pub(super) mod multiply;
pub(super) mod prelu;
pub(super) mod products;
pub(super) mod weights;
