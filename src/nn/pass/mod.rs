//! Passes over a network's nodes: the weights made ready, forward, and backward.

mod backward;
mod forward;
mod relevance;
mod tangent;
mod walk;

pub use backward::Gradients;
pub(super) use backward::{backward, kept_backward};
pub(super) use forward::{forward, prepare_weights};
pub(super) use relevance::{relevance_backward, relevance_weights};
pub(super) use tangent::tangent;
pub use walk::BackwardRule;
pub(super) use walk::Walk;
