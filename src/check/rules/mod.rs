//! Rules of WGSL that naga does not know, on the syntax tree.

mod accesses;
mod behaviour;
mod calls;
mod declarations;
mod filters;
mod io;
mod needs;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod uniformity;

use super::{diagnostic::Diagnostic, semantics::Program, syntax::tree::Module};

pub use declarations::{ENABLE, REQUIRES};
pub use needs::features;
pub use table::{RULES, Rule, explain, page, rule};

/// The findings of all rules in a program, in the order of the text.
pub fn check(module: &Module<'_>, program: &Program<'_, '_>) -> Vec<Diagnostic> {
    let layouts = super::semantics::layout::Layouts::of(program);
    let mut found = program.diagnostics.clone();
    let calls = calls::Calls::of(program);
    let filters = filters::Filters::of(module);
    found.extend(behaviour::check(program));
    found.extend(types::check(program));
    found.extend(io::check(program));
    let (accesses, effects) = accesses::check(program, &calls);
    found.extend(accesses);
    found.extend(uniformity::check(program, &calls, &filters));
    found.extend(declarations::check(program, &layouts, &effects));
    for (span, inner, outer) in &module.mixed_operators {
        let (inner, outer) = (inner.symbol(), outer.symbol());
        let message = format!("{inner} and {outer} are mixed without parentheses");
        found.push(Diagnostic::error("operator-precedence", message).at(Some(span.clone())));
    }
    found.sort_by_key(|one| one.span.as_ref().map_or(0, |span| span.start));
    found
}
