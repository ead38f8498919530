//! Benchmarks of the training step and of each of its dispatches, relative to peaks measured in the
//! same run.

mod adapter;
mod attribution;
mod configuration;
mod inference;
mod peaks;
mod step;
mod sweep;
mod timing;
mod tuning;

pub use adapter::AdapterName;
pub use attribution::AttributionResult;
pub use configuration::configuration;
pub use inference::{EngineResult, InferencePoint, InferenceResult, inference};
pub use peaks::Peaks;
pub use step::{BenchOptions, BenchResult, Floors, KernelResult, StepResult, Timing, run};
pub use sweep::{Sweep, SweepPoint, SweepResult, sweep};
pub use tuning::autotune;
