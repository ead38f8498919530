//! Rules of WGSL that naga does not know, on the syntax tree.

mod accesses;
mod behaviour;
mod calls;
mod declarations;
mod filters;
mod needs;
mod table;
#[cfg(test)]
mod tests;
mod uniformity;

use std::collections::BTreeSet;

use super::{
    diagnostic::Diagnostic,
    prepare::{Prepared, prepare},
    semantics, syntax,
};

pub use declarations::{ENABLE, REQUIRES};
pub use table::{RULES, Rule, explain, page, rule};

/// What the rules find in a shader.
pub struct Analysis {
    /// Findings, in the order of the text.
    pub found: Vec<Diagnostic>,
    /// The text for naga.
    pub prepared: Prepared,
    /// Features that the shader needs.
    pub features: BTreeSet<String>,
}

/// Applies all rules to WGSL text.
pub fn analyse(wgsl: &str) -> Result<Analysis, syntax::Failure> {
    let module = syntax::parse(wgsl)?;
    let program = semantics::resolve(&module);
    let layouts = semantics::layout::Layouts::of(&program);
    let mut found = program.diagnostics.clone();
    let calls = calls::Calls::of(&program);
    let filters = filters::Filters::of(&module);
    found.extend(behaviour::check(&program));
    let (accesses, effects) = accesses::check(&program, &calls);
    found.extend(accesses);
    found.extend(uniformity::check(&program, &calls, &filters));
    found.extend(declarations::check(&program, &layouts, &effects));
    for (span, inner, outer) in &module.mixed_operators {
        let (inner, outer) = (inner.symbol(), outer.symbol());
        let message = format!("{inner} and {outer} are mixed without parentheses");
        found.push(Diagnostic::error("operator-precedence", message).at(Some(span.clone())));
    }
    found.sort_by_key(|one| one.span.as_ref().map_or(0, |span| span.start));
    let prepared = prepare(wgsl, &program);
    let features = needs::features(&program);
    Ok(Analysis { found, prepared, features })
}
