//! Networks on the GPU: parameters in one flat array, buffers for every activation, and the
//! dispatches of forward and backward passes.

mod activation;
mod batch_norm;
mod choices;
mod chunks;
mod geometry;
mod network;
mod node;
mod optimizer;
mod quantizer;
mod requantized;
mod rules;
mod slices;
mod strips;
mod tiles;
mod weighted;

pub use crate::gpu::{ProductShape, ProductTiles, TunedProduct, Tuning};
pub use network::{Gradients, Network, NetworkOptions, TrainingPass, WeightQuantizerState};
pub(crate) use network::{elementwise_grid, pool_shape};
pub use optimizer::{ALPHA_FLOOR, Optimizer};
pub use requantized::{RequantizedLayer, RequantizedShape, RequantizedWeights};
pub use rules::{BackwardRule, Layers};
pub use strips::{Pooling, StripShape, StripTiles};
pub use tiles::{CooperativeTiles, TileTable, WeightGradientTiles};
pub(crate) use weighted::record_matrix_product;
