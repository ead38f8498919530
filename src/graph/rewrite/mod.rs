//! Rewrites that keep the function of a network: what others compute with is a network without
//! batch norms, or operations in groups that are computed at once.

mod fold_norms;
mod join;

pub use fold_norms::{fold_parameters, without_batch_norms};
pub use join::{Group, join};
