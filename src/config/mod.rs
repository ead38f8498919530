//! What a run is: plain data, serialised as `config.toml` in a run folder and inside
//! `model.safetensors`.
//!
//! [`RunConfig`] is everything `saliq train` needs. The part that the computed numbers depend on
//! ([`RunConfig::model_metadata`]) goes into the model file; paths and logging options do not.
//!
//! The way of a setting: flags and `--config FILE.toml` are both a [`PartialRunConfig`] (one
//! definition, so a key is a flag without its dashes); the one is laid over the other, and
//! [`PartialRunConfig::resolve`] fills in the defaults, which depend on the data set.
//! [`RunConfig::to_toml`] goes the way back.

mod bits;
mod layers;
mod misfit;
mod model;
mod network;
mod partial;
pub(crate) mod pointers;
mod presets;
mod quantization;
mod resolve;
mod text;
mod training;

pub(crate) use resolve::short_name;
pub(crate) use text::{real, suggestion};

pub use bits::LayerBits;
pub(crate) use layers::MAX_POOL_KERNEL;
pub use layers::WeightLayer;
pub use misfit::NetworkOrigin;
pub use model::{ModelConfig, PixelNormalization};
pub use network::{BATCH_NORM_EPSILON, LayerConfig, NetworkConfig, Shape};
pub use partial::{PartialNetwork, PartialRunConfig};
pub use presets::{NetworkChoice, PRESETS, Preset};
pub use quantization::{QuantizationOverrides, expand_bits, spread_bits};
pub use resolve::DatasetInfo;
pub use text::{AugmentList, Betas, BitsList, Cadence, DropoutRates, NormalizeSpec};
pub use training::{
    ActivationQuantizer, Augmentation, MaskFill, MaskRank, Normalize, OnNonFinite, OptimizerConfig,
    OptimizerKind, PactKind, Precision, QuantizationConfig, RunConfig, SaliencyTarget,
    ScheduleConfig, ScheduleKind, SgtConfig, SgtVariant, WeightInit, WeightQuantizer,
};

/// The decimal number that `value` is printed as: the 0.1 that somebody wrote, not 0.10000000149.
pub(crate) fn decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
