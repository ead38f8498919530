//! Attribution methods: the influence of each pixel on a network's output. Gradients go through the
//! fake-quantized forward pass with the straight-through estimator.
//!
//! [`Explainer`] is the core: it computes attributions of normalised images in GPU memory by one
//! [`Method`]. [`explain_data`] applies it to images of a data set and makes the images with masked
//! features.

mod applicability;
mod data;
mod explainer;
mod folding;
mod layer;
mod method;
mod options;
mod quadrature;

pub use applicability::check_applicable;
pub use data::{Attributions, DataOptions, Target, explain_data};
pub use explainer::{ExplainedNetwork, Explainer, ImageSet, Recorded};
pub use method::Method;
pub use options::{Baseline, LrpRule, MethodOptions, Output};
pub use quadrature::Quadrature;
