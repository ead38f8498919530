//! What names mean, the types of expressions and the values of constants, by the specification of
//! WGSL. What is not certain is unknown, and no rule judges it: naga checks types.

pub mod builtins;
mod constants;
pub mod layout;
mod program;
mod resolve;
pub mod types;

pub use program::{
    FunctionId, FunctionInfo, Kind, Meaning, Phase, Program, Stage, StructInfo, Variable,
    VariableId,
};
pub use resolve::resolve;
