//! A study: many models trained and judged by one plan, its results put into one report (`saliq
//! reproduce`, `saliq report`).
//!
//! [`plan`](plan::Plan::new) says which models there are and under which name each is kept: a name
//! holds a hash of everything that its numbers depend on. [`execute`](execute::execute) trains and
//! judges what has no result yet; [`report`](report::write) reads the results of a folder, whoever
//! wrote them.

pub mod comparison;
pub mod estimate;
pub mod execute;
mod figures;
mod findings;
mod formats;
pub mod judge;
mod names;
pub mod plan;
pub mod preset;
pub mod report;
pub mod result;
mod retraining;
pub mod shard;
pub mod statistics;
pub mod summary;
pub mod tables;
mod terms;
pub mod timing;
pub mod variant;
pub mod watcher;
pub mod work;
