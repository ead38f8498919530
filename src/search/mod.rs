//! Searches the bits of each layer: which widths of weights and activations keep accuracy and
//! explanations at a given cost.
//!
//! 1. [`Sensitivities`]: what each slot (the weights or the output activations of a layer) costs in
//!    loss and in alignment of maps at each width, all others in float.
//! 2. [`solve`]: all assignments of least predicted damage, for every budget, by exact dynamic
//!    programming over the network's cost as [`crate::metrics::Cost`] counts it.
//! 3. [`choose`]: a few candidates of these are quantized and measured, each of which corrects the
//!    prediction; the best one is chosen.
//! 4. [`search`]: that for several budgets in both units, beside baselines at the same budgets.

mod answer;
mod baselines;
mod choice;
mod correction;
mod costs;
#[cfg(feature = "cli")]
mod figure;
mod fisher;
mod frontier;
mod hypervolume;
mod oracle;
mod plan;
mod probe;
mod recovery;
mod sensitivity;
mod settings;
mod slots;
mod solver;
mod text;

pub use answer::answer;
pub use baselines::{random_assignment, uniform};
pub use choice::{Choice, choose};
pub use costs::{Budget, Costs, Term, Unit};
#[cfg(feature = "cli")]
pub use figure::frontier_charts;
pub use fisher::fisher;
pub use frontier::{
    Found, Point, Rule, Watcher, activation_ranges, check_budget, frontier, search,
};
pub use hypervolume::{Outcome, hypervolume};
pub use oracle::{Candidates, Oracle};
pub use plan::{Plan, PlannedLayer};
pub use probe::{Measured, Probe};
pub use recovery::{RecoverySettings, recover};
pub use sensitivity::{Sensitivities, Sensitivity, sensitivities};
pub use settings::{Objective, SearchSettings};
pub use slots::{Assignment, Slot, Space};
pub use solver::{Front, FrontPoint, solve};
pub use text::{bits_toml, frontier_csv};
