//! How a backward pass goes through a batch, and which memory holds which gradient when. Plain
//! data: whoever makes buffers reads it.
//!
//! Between two operations a gradient is as large as the value there. Kept for the whole batch, the
//! two that are in use at a time would take almost as much memory as all values together. Two
//! things keep them small. The batch goes back in chunks: a gradient on its way to the images is
//! that of a chunk. And gradients lie where memory is dead:
//!
//! - In the pass that trains, the gradient with respect to a value replaces the value, once its
//!   reader's weight gradient has read it. Where the value is what a ReLU's derivative is computed
//!   from, the kernel that writes the gradient multiplies by it.
//! - Gradients with respect to the clean images of a step are taken before there are masked ones:
//!   they lie in the masked images' half of the values.
//!
//! What fits neither has memory of its own, of two places that are written in turns.

mod chunks;
mod hops;
mod places;
mod steps;
mod turns;

pub use chunks::BackwardPlan;
pub use hops::Passing;
pub use places::{Beside, GradientPlan, ImagePlace, OverValues, PlanOptions, Route};
pub use steps::{Source, Step, StepActivation, Steps, StorageId};

#[cfg(test)]
mod tests;
