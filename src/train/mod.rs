//! A training run: the loop around the recorded step, its schedule, metrics, checkpoints and run folder.

mod calibration;
mod checkpoint;
mod folder;
mod lines;
mod ranges;
mod schedule;
mod trainer;

pub use calibration::calibrate_activations;
pub use checkpoint::{Checkpoint, Progressed};
pub use folder::RunFolder;
pub use lines::{EpochLine, StepLine};
pub use ranges::QuantizerState;
pub use schedule::{Schedule, ScheduledStep};
pub use trainer::{Observer, Outcome, Snapshot, Start, Trainer};
