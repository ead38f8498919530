//! saliq trains small CNNs on any GPU in WGSL, with Saliency Guided Training and PACT
//! quantization-aware training, and explains the effect of quantization on their saliency maps.
//! `ARCHITECTURE.md` describes this crate.
//!
//! The library alone is `--no-default-features --features gpu`. A graph needs no GPU (`models`):
//!
//! ```
//! use saliq::{
//!     config::{LayerBits, NetworkConfig, QuantizationConfig, Shape, expand_bits},
//!     graph::Graph,
//! };
//!
//! let network = NetworkConfig::table_one(Shape::new(1, 28, 28), 10, [0.25, 0.0]);
//! let bits = expand_bits(&LayerBits::parse_list("4,2")?, &network)?;
//! let graph = Graph::new(&network, &QuantizationConfig { bits, ..Default::default() })?;
//! let weighted: Vec<_> =
//!     graph.weighted().map(|(op, own)| (op.name.as_str(), own.bits.weight)).collect();
//! assert_eq!(weighted, [("conv1", 4), ("conv2", 2), ("fc1", 32), ("fc2", 32)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/train.rs` trains on any GPU; `examples/explain.rs` explains the trained model.

// The module `gpu::trusted` is the only exception and states its reasons.
#![deny(unsafe_code)]
#![cfg_attr(
    not(feature = "cli"),
    allow(dead_code, unused_imports, unused_macros, reason = "parts that only the program uses")
)]

#[cfg(feature = "gpu")]
pub mod batch;
#[cfg(feature = "cli")]
pub mod bench;
#[cfg(feature = "check")]
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "models")]
pub mod config;
#[cfg(feature = "models")]
pub mod data;
#[cfg(feature = "models")]
pub mod deploy;
#[cfg(feature = "models")]
mod digest;
mod error;
pub mod files;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "models")]
pub mod graph;
#[cfg(feature = "models")]
pub mod import;
#[cfg(feature = "gpu")]
pub mod integer;
#[cfg(feature = "gpu")]
pub mod judgement;
#[cfg(feature = "gpu")]
pub mod kernels;
#[cfg(feature = "models")]
pub mod layout;
#[cfg(feature = "cli")]
pub mod logs;
#[cfg(feature = "models")]
pub mod metrics;
#[cfg(feature = "models")]
pub mod model;
#[cfg(feature = "gpu")]
pub mod nn;
pub mod panics;
#[cfg(feature = "gpu")]
pub mod pipelines;
#[cfg(feature = "gpu")]
pub mod post_training;
#[cfg(feature = "models")]
pub mod quant;
#[cfg(feature = "models")]
pub mod random;
#[cfg(feature = "models")]
pub mod reference;
#[cfg(feature = "cli")]
pub mod report;
#[cfg(feature = "gpu")]
pub mod saliency;
#[cfg(feature = "gpu")]
pub mod search;
#[cfg(feature = "gpu")]
pub mod sgt;
#[cfg(feature = "gpu")]
pub mod shaders;
#[cfg(feature = "gpu")]
pub mod storage;
#[cfg(feature = "cli")]
pub mod study;
#[cfg(feature = "cli")]
pub mod sweep;
#[cfg(feature = "gpu")]
pub mod train;

pub use error::{
    Error, KnownNormalization, Loss, Phrase, Piece, Remedy, Result, Setting, Shortage,
};
pub(crate) use error::{is_hostile, plain, plain_lines};
