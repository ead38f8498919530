//! What the files of a run folder are called, beside the model and the checkpoints.

/// Resolved configuration, enough to repeat the run.
pub const CONFIG_FILE: &str = "config.toml";

/// A line for every logged step and every epoch.
pub(super) const METRICS_FILE: &str = "metrics.jsonl";

/// The data set of a model in a folder that is no run's.
pub const DATA_FILE: &str = "data.toml";
