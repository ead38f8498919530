//! What the rules find in a shader, and what naga sees of it.

use std::collections::BTreeSet;

use super::{
    diagnostic::Diagnostic,
    naga_text::{NagaText, naga_text},
    rules, semantics, syntax,
};

/// What the rules find in a shader.
pub(super) struct Analysis {
    /// Findings, in the order of the text.
    pub found: Vec<Diagnostic>,
    /// The text for naga.
    pub naga: NagaText,
    /// Features that the shader needs.
    pub features: BTreeSet<String>,
}

/// The text for naga, which refuses some of what the specification has; as it is, if it does not
/// parse.
pub(super) fn text_for_naga(wgsl: &str) -> String {
    let Ok(module) = syntax::parse(wgsl) else { return wgsl.into() };
    naga_text(wgsl, &semantics::resolve(&module)).text
}

/// Applies all rules to WGSL text.
pub(super) fn analyse(wgsl: &str) -> Result<Analysis, syntax::Failure> {
    let module = syntax::parse(wgsl)?;
    let program = semantics::resolve(&module);
    let found = rules::check(&module, &program);
    let naga = naga_text(wgsl, &program);
    let features = rules::features(&program);
    Ok(Analysis { found, naga, features })
}
