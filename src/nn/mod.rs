//! Networks on the GPU: parameters in one flat array, buffers for every activation, and the
//! dispatches of forward and backward passes.

mod body;
mod choices;
mod network;
mod nodes;
mod ops;
mod optimizer;
mod pass;
mod recorder;
mod requantized;
mod routes;
mod slices;
mod tangents;

pub use crate::gpu::{ProductShape, ProductTiles, TunedProduct, Tuning};
pub use choices::{ConvolutionFamily, StripShape, TileTable};
pub use network::{Layers, Network, WeightQuantizerState};
pub use nodes::NetworkOptions;
pub use ops::batch_norm::TrainingPass;
pub(crate) use ops::products::Product;
pub use ops::weights::RelevanceWeights;
pub use optimizer::{ALPHA_FLOOR, Optimizer};
pub use pass::{BackwardRule, Gradients};
pub use requantized::{RequantizedLayer, RequantizedShape, RequantizedWeights};
pub use tangents::GradientMap;
