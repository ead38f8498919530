//! What a run is: plain data, serialised as `config.toml` in a run folder and inside
//! `model.safetensors`.
//!
//! [`RunConfig`] is everything `saliq train` needs. The part that the computed numbers depend on
//! ([`RunConfig::model_metadata`]) goes into the model file; paths and logging options do not.
//!
//! The way of a setting: flags and `--config FILE.toml` are both a [`PartialRunConfig`] (one
//! definition, so a key is a flag without its dashes); the one is laid over the other, and
//! [`resolve`](resolve()) fills in the defaults, which depend on the data set.
//! [`RunConfig::to_toml`] goes the way back.

mod activation;
mod bits;
mod bits_table;
mod choices;
mod convolution;
mod layer_kind;
mod layers;
mod misfit;
mod model;
mod network;
mod network_choice;
mod partial;
mod partial_network;
mod pixel_normalization;
pub(crate) mod pointers;
mod pool;
mod presets;
mod quantization;
mod reading;
mod resolve;
mod run;
mod shape;
mod sizes;
mod text;
mod training;
mod window;
mod wiring;

pub(crate) use pool::{MAX_POOL_KERNEL, MAX_POOL_PIXELS};
pub(crate) use run::short_name;
pub(crate) use text::{decimal, real, suggestion};
pub(crate) use window::{count_windows, extent, same_padding};

pub use activation::{ActivationFunction, Prelu};
pub use bits::LayerBits;
pub use bits_table::{BitsRequest, BitsTable, PartialQuantization};
pub use convolution::{ChannelGroups, Convolution, Padding};
pub use layer_kind::{BatchNorm, LayerKind};
pub use layers::{IMAGES, LayerConfig, WeightLayer};
pub use misfit::NetworkOrigin;
pub use model::ModelConfig;
pub use network::NetworkConfig;
pub use network_choice::NetworkChoice;
pub use partial::PartialRunConfig;
pub use partial_network::PartialNetwork;
pub use pixel_normalization::PixelNormalization;
pub use pool::{AveragePool, MaxPool};
pub use presets::{PRESETS, Preset};
pub use quantization::{
    ActivationQuantizer, PactKind, QuantizationConfig, QuantizationOverrides, WeightQuantizer,
    expand_bits,
};
pub use reading::{ColorMode, ImageSize, ReadOptions};
pub use resolve::{DatasetInfo, resolve};
pub use run::{RunConfig, network_settings};
pub use shape::Shape;
pub use text::{
    AugmentList, Betas, BitsList, Cadence, DropoutRates, LogList, LooseBits, NormalizeSpec,
};
pub use training::{
    AlignTarget, Augmentation, ClassWeighting, LogFormat, MaskFill, MaskRank, Normalize,
    OnNonFinite, OptimizerConfig, OptimizerKind, Precision, SaliencyTarget, ScheduleConfig,
    ScheduleKind, SgtConfig, SgtVariant, TeachingConfig, WeightInit,
};
pub use window::Window;
pub use wiring::{Source, Wiring};
