//! Attribution: what a network looks at. Gradients go through the fake-quantized forward pass with the straight-through estimator.

mod explainer;

pub use explainer::{Attributions, Explainer, ExplainerOptions, Method};
