//! A study trains and judges many models by one plan and combines their results in one report
//! (`saliq reproduce`, `saliq report`).
//!
//! [`plan`](plan::Plan::new) lists the models and the folder of each. The folder's name contains a
//! hash of everything that the model's numbers depend on. [`execute`](execute::execute) trains and
//! judges the models without a result. [`report`](report::write) reads the results of a folder,
//! whichever machine wrote them.

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
mod searches;
pub mod shard;
pub mod statistics;
pub mod summary;
pub mod tables;
mod terms;
pub mod timing;
pub mod variant;
pub mod watcher;
pub mod work;
