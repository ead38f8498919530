//! The syntax of WGSL as the specification has it. naga's parser takes more, and its module has
//! lost what several rules need: names, parentheses, attributes, constant expressions.

mod lexer;
mod parser;
pub mod tree;

pub use parser::{Failure, parse};
