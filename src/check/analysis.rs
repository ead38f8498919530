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

/// The module that naga reads of WGSL text, which needs no analysis unless naga refuses what the
/// specification has.
///
/// # Errors
/// The parser's words.
pub(super) fn module_of(wgsl: &str) -> Result<naga::Module, String> {
    let parse =
        |text: &str| naga::front::wgsl::parse_str(text).map_err(|error| error.message().to_owned());
    parse(wgsl).or_else(|said| match syntax::parse(wgsl) {
        Ok(module) => parse(&naga_text(wgsl, &semantics::resolve(&module)).text),
        Err(_) => Err(said),
    })
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
