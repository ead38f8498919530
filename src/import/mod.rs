//! Networks that other programs wrote: files become a configuration and named parameters.

pub mod onnx;
