//! Many trainings from one file: a configuration with lists and ranges in it. Plans the runs, makes
//! those of a part, and puts them into tables and figures.

mod axis;
mod epochs;
mod estimate;
mod execute;
mod figures;
mod file;
mod folders;
mod groups;
mod plan;
mod result;
mod table;

pub use axis::Axis;
pub use estimate::expected_seconds;
pub use execute::{Watcher, execute};
pub use figures::{Figure, write_figures};
pub use file::SweepFile;
pub use folders::{FoundRun, differing_keys, find_runs};
pub use groups::{Better, Group, Point, groups};
pub use plan::{PlannedRun, SweepPlan};
pub use result::{RunResult, RunState};
pub use table::{SummaryRun, SweepSummary, summary_table, write_tables};
