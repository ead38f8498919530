//! A trained model on its way to a device: what other runtimes and formats are made from, as plain data.
//!
//! [`DeployableModel`] is a model file without its batch norms and dropouts, with the integer levels of its quantized weights
//! ([`WeightLevels`]) and the grids of its quantized activations ([`ActivationGrid`]). [`pack_codes`] puts codes of 1 to 8 bits side by side.

mod activation;
mod bits;
mod model;
mod weights;

pub use activation::{ActivationGrid, DeployableActivation};
pub use bits::{pack_codes, packed_bytes, unpack_codes};
pub use model::{DeployableLayer, DeployableModel, DeployableWeights, Operation};
pub use weights::{LevelGrid, WeightLevels};
