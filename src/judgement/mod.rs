//! Judges explanations: whether they name the features that the network uses (faithfulness),
//! whether they are stable and clear, and whether they agree between models.
//!
//! Images, networks and rankings stay on the GPU. One number per image and judgement is read back
//! and summed in f64. Every function takes plain data (a [`Subject`], maps as [N, C, H, W]) and
//! returns plain results. The source of each judgement is named at its definition.

mod accuracy_drop;
mod alignment;
mod binomial;
mod bootstrap;
mod clarity;
mod earth_mover;
mod flipping;
mod infidelity;
mod localization;
mod maps;
mod noise;
mod randomization;
mod ranking;
mod removal;
mod retraining;
mod score;
mod sensitivity;
mod subject;

pub use accuracy_drop::{AccuracyDrop, DropCurve, removed_shares};
pub use alignment::{Alignment, AlignmentOptions, Comparison, add_alignments, alignment};
pub use binomial::{wilson, wilson_of_all};
pub(crate) use bootstrap::number;
pub use bootstrap::{Interval, RESAMPLES, bootstrap};
pub use clarity::{Clarity, ClarityPass, add_clarities, clarity};
pub use earth_mover::earth_mover_distance;
pub use flipping::{Flipping, PixelFlipping};
pub use infidelity::{Infidelity, InfidelityOptions};
pub use localization::{Localization, add_localizations, localization};
pub use randomization::{LayerAgreement, randomization};
pub use removal::{Fill, removed_images};
pub use retraining::{RetrainingOptions, retrain};
pub use score::{Metric, Scale, Scores};
pub use sensitivity::{MaxSensitivity, SensitivityOptions};
pub use subject::{Explained, Subject};
