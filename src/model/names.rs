//! Names of model files and of their metadata.

/// Name of the model file in a run folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// Metadata key of the configuration.
pub const METADATA_KEY: &str = "saliq";
