//! Rules of WGSL that naga does not know, on the syntax tree.

mod accesses;
mod behaviour;
mod calls;
mod filters;
mod uniformity;

use super::{diagnostic::Diagnostic, semantics, syntax};

/// The findings of all rules in WGSL text, in the order of the text.
pub fn check(wgsl: &str) -> Result<Vec<Diagnostic>, syntax::Failure> {
    let module = syntax::parse(wgsl)?;
    let program = semantics::resolve(&module);
    let mut found = program.diagnostics.clone();
    let calls = calls::Calls::of(&program);
    let filters = filters::Filters::of(&module);
    found.extend(behaviour::check(&program));
    let (accesses, _effects) = accesses::check(&program, &calls);
    found.extend(accesses);
    found.extend(uniformity::check(&program, &calls, &filters));
    for (span, inner, outer) in &module.mixed_operators {
        let message =
            format!("{} and {} are mixed without parentheses", inner.symbol(), outer.symbol());
        found.push(Diagnostic::error("operator-precedence", message).at(Some(span.clone())));
    }
    found.sort_by_key(|one| one.span.as_ref().map_or(0, |span| span.start));
    Ok(found)
}
