//! Passes over a network's nodes: the weights made ready, forward, and backward.

mod backward;
mod forward;
mod positive;
mod walk;

pub use backward::Gradients;
pub(super) use backward::backward;
pub(super) use forward::{forward, prepare_weights};
pub(super) use positive::{keep_positive_weights, positive_backward};
pub use walk::BackwardRule;
pub(super) use walk::Walk;
