//! Names of the files in a run folder, other than the model and the checkpoints.

/// Resolved configuration, sufficient to repeat the run.
pub const CONFIG_FILE: &str = "config.toml";

/// One line for every logged step and every epoch.
pub(super) const METRICS_FILE: &str = "metrics.jsonl";

/// Location of the data set, for a model in a folder that is not a run folder.
pub const DATA_FILE: &str = "data.toml";
/// Name of the model of the best epoch, by the validation images, in a run folder.
pub const BEST_FILE: &str = "best.safetensors";
