//! A training run: the loop around the recorded step, with schedule, metrics, checkpoints and run
//! folder.

mod best;
mod calibration;
mod checkpoint;
mod collection;
mod data_location;
mod epoch;
mod folder;
mod harvest;
mod health;
mod lines;
mod lock;
mod metrics_file;
mod names;
mod outcome;
mod ranges;
mod recovery;
mod run;
mod running;
mod schedule;
mod session;
mod setup;
mod skips;
mod snapshots;
mod standstill;
mod start;
mod stepper;
mod teacher;
mod trainer;
mod writer;

pub use calibration::calibrate_activations;
pub use checkpoint::{Checkpoint, Progressed};
pub use data_location::DataLocation;
pub use folder::RunFolder;
pub use lines::{EpochLine, StepLine};
pub use lock::RunLock;
pub use names::DATA_FILE;
pub use outcome::{Observer, Outcome, Snapshot, Start};
pub use schedule::{Schedule, ScheduledStep};
pub use setup::DISPATCH_FLOPS;
pub use skips::Skips;
pub use stepper::Stepper;
pub use trainer::Trainer;
