//! Inference on integers: a [`IntegerPlan`](crate::deploy::IntegerPlan) on the GPU, with a byte a number between layers, and how its levels compare
//! with those of fake quantization.

mod agreement;
mod network;

pub use agreement::{Agreement, LayerAgreement};
pub use network::IntegerNetwork;
