//! Inference on integers: a [`IntegerPlan`](crate::deploy::IntegerPlan) on the GPU, and how its
//! levels, and those of a file that a model was written to, compare with those of fake
//! quantization.

mod agreement;
mod network;
mod verification;

pub use agreement::{Agreement, LayerAgreement};
pub use network::IntegerNetwork;
pub use verification::{Written, verify};
