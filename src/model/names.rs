//! Names in and of model files.

/// Name of the model in a run folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Metadata key of the configuration.
pub const METADATA_KEY: &str = "saliq";
