//! ONNX files of classifiers as networks.
//!
//! A graph is read node by node, in the order in which the file has them:
//!
//! - Operators on constants are computed (`fold`), among them the arithmetic of shapes.
//! - Transposes, reshapes and flattenings move the axes of a tensor (`layout`); the values stay
//!   where they are, and the weights behind them are put into the order of this program.
//! - Everything else becomes layers (`operators`). A constant factor or term goes into the weights
//!   in front where these have no other reader; else it is a batch norm of its own, which leaves
//!   the function as it is.
//!
//! Sizes, counts and depths are bounded before they are believed: a file may come from anywhere.

mod arithmetic;
mod axes;
mod constant;
mod fallible;
mod fold;
mod functions;
mod integers;
mod layers;
mod layout;
mod levels;
mod lowering;
mod node;
mod operators;
mod pixels;
mod pools;
mod products;
mod reading;
pub mod schema;
mod selection;
mod slices;
#[cfg(test)]
mod tests;
mod value;
mod window;
mod wire;

pub(crate) use constant::element_count;
use fallible::Fallible;

pub use layers::NamedParameter;
pub use reading::{OnnxNetwork, read};
pub(crate) use wire::is_model;
