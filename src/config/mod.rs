//! What a run is: plain data, serialised as `config.toml` in a run folder and inside `model.safetensors`.
//!
//! [`RunConfig`] is everything `saliq train` needs. The part that the computed numbers depend on
//! ([`RunConfig::model_metadata`]) goes into the model file; paths and logging options do not.

mod bits;
mod network;
mod training;

pub use bits::LayerBits;
pub use network::{LayerConfig, NetworkConfig, Shape};
pub use training::{
    Augmentation, MaskFill, MaskRank, Normalize, OptimizerConfig, OptimizerKind, PactKind, QuantizationConfig, RunConfig,
    SaliencyTarget, ScheduleConfig, ScheduleKind, SgtConfig, WeightInit, WeightQuantizer,
};
