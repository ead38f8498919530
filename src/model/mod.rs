//! Model files: `model.safetensors` with PyTorch's names and shapes, and the configuration under
//! the metadata key `saliq`.

mod file;
mod fill;
mod fold;
mod names;
mod normalization;
mod packed;
mod state_dict;
mod table_one;
mod tensors;

pub use file::{Model, ModelFile, Reading};
pub use fold::fold_batch_norm;
pub use names::{METADATA_KEY, MODEL_FILE};
pub use normalization::Images;
pub use packed::{Codes, PackedWeights, pack};
pub use tensors::{StoredTensor, Tensor, TensorFile, TensorValues};
