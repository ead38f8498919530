//! saliq trains small CNNs with Saliency Guided Training and PACT quantization-aware training on
//! any GPU, in WGSL, and explains what quantization does to their saliency maps. See
//! `ARCHITECTURE.md` for the map of this crate.

// But for the module that says why: `gpu::trusted`.
#![deny(unsafe_code)]

pub mod batch;
pub mod bench;
pub mod check;
pub mod cli;
pub mod config;
pub mod data;
pub mod deploy;
mod digest;
mod error;
pub mod files;
pub mod gpu;
pub mod graph;
pub mod integer;
pub mod judgement;
pub mod layout;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod panics;
pub mod pipelines;
pub mod post_training;
pub mod quant;
pub mod random;
pub mod reference;
pub mod report;
pub mod saliency;
pub mod sgt;
pub mod storage;
pub mod study;
pub mod train;

pub use error::{Error, KnownNormalization, Loss, Remedy, Result, Shortage};
pub(crate) use error::{is_hostile, plain, plain_lines};
