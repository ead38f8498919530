//! Nodes of a network: its layers with the buffers that they own.

mod build;
mod node;
mod norm;
mod weights;

pub use build::NetworkOptions;
pub(super) use build::{Assembly, build};
pub(super) use node::{JoinedPool, Node, NodeKind, format_of};
pub(super) use norm::BatchNorm;
pub(super) use weights::Weights;
