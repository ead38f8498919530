//! What the library does, called in this process: kernels and networks against their references
//! and PyTorch's numbers, methods, validation, figures. One binary for all of it, and one for what
//! runs the program (`tests/program`), since linking costs more than running.
//!
//! Tests share a process and a device. What changes or measures its process, or loses its device,
//! is a file of its own in `tests`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod attribution_kernels;
mod attributions;
mod calibration;
mod check;
mod core_kernels;
mod core_networks;
mod deploy;
mod goldens;
mod integer_kernels;
mod judgement_goldens;
mod judgement_kernels;
mod precision;
mod quantizers;
mod report;
mod sgt_kernels;
mod sgt_variants;
mod tuning;
mod watchdog;
