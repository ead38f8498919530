//! The forms that shaders have in repositories, each made plain WGSL with a map back to files and
//! lines: WESL, naga_oil, textual includes, preprocessors' conditions, and templates.
//!
//! A form is detected by what it alone has; plain WGSL is not touched. One linker serves all forms:
//! it works on tokens, so that everything that naga reads passes through, and its time is linear.

mod conditions;
mod directives;
mod form;
mod imports;
mod lex;
mod library;
mod lines;
mod link;
mod map;
mod modules;
mod prepare;
mod repair;
mod specialise;
mod syntax;
mod template;
mod texts;
mod values;

pub use form::Form;
pub(super) use library::{Library, normal};
pub(super) use map::offset_of;
pub(super) use prepare::{Prelude, Prepared, Request, plain, prepare};
pub(super) use specialise::{name_of, plan};
pub(super) use syntax::declaration_at;
pub(super) use texts::Text;
pub(super) use values::Values;
