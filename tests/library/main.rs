//! Tests of the library in this process: kernels and networks against their references and
//! PyTorch's numbers, methods, validation, figures. There is one binary for all of them, and one
//! for the tests that run the program (`tests/program`), because linking takes longer than running.
//!
//! Tests share a process and a device. A test that changes or measures its process, or loses its
//! device, is a file of its own in `tests`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../support/mod.rs"]
mod support;

mod adapters;
mod alignment;
mod attribution_kernels;
mod attributions;
mod attributions_of_networks;
mod calibration;
mod check;
mod core_kernels;
mod core_networks;
mod deploy;
mod goldens;
mod host_calls;
mod integer_kernels;
mod integer_networks;
mod judgement_goldens;
mod judgement_kernels;
mod networks;
mod onnx;
mod precision;
mod quantizers;
mod report;
mod search;
mod sgt_kernels;
mod sgt_variants;
mod stepper;
mod tuning;
mod watchdog;
