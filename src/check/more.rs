//! Further errors of a shader. naga stops at the first: the declaration that has it is left out,
//! and what is left is read again.

use super::diagnostic::{Diagnostic, Platform, Severity};
use super::report::ShaderReport;
use super::{forms, guard};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// Largest text that is read again and again.
const MAX_BYTES: usize = 256 << 10;

/// Adds to a report whose first error is one of syntax or validity the errors of the declarations
/// that do not need the one with the error; up to `most` errors in all.
pub(super) fn add(report: &mut ShaderReport, wgsl: &str, most: usize) {
    if !(report.parse.is_fail() || report.validate.is_fail()) || wgsl.len() > MAX_BYTES {
        return;
    }
    let is_error = |one: &&Diagnostic| one.severity == Severity::Error;
    let Some(first) = report.diagnostics.iter().find(is_error) else { return };
    let start = first.span.as_ref().map(|span| span.start);
    let start = start.or_else(|| forms::offset_of(wgsl, first.line?, first.column.unwrap_or(1)));
    let Some(mut at) = start else { return };
    let mut text = wgsl.to_owned();
    let mut removed: Vec<String> = Vec::new();
    let mut found = report.diagnostics.iter().filter(is_error).count();
    for _ in 0..2 * most {
        let Some((range, name)) = forms::declaration_at(&text, at) else { return };
        let blank: String = text[range.clone()]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        if blank.trim().len() == text[range.clone()].trim().len() {
            return;
        }
        text.replace_range(range, &blank);
        removed.extend(name);
        if guard::bounded_depth(&text).is_err() {
            return;
        }
        let Some(next) = first_error(&text) else { return };
        let Some(span) = next.span.clone() else { return };
        at = span.start;
        // What needs a declaration that was left out has no error of its own.
        let is_consequence = removed.iter().any(|name| next.message.contains(name.as_str()));
        if !is_consequence {
            let mut next = next;
            next.locate(&report.name.clone(), wgsl);
            next.targets = Platform::ALL.to_vec();
            let is_known = report
                .diagnostics
                .iter()
                .any(|one| (one.line, one.column) == (next.line, next.column));
            if !is_known {
                report.diagnostics.push(next);
                found += 1;
            }
            if found >= most {
                return;
            }
        }
    }
}

fn first_error(text: &str) -> Option<Diagnostic> {
    let module = match naga::front::wgsl::parse_str(text) {
        Ok(module) => module,
        Err(error) => {
            let (span, label) = error.labels().next()?;
            let mut message = error.message().to_owned();
            if !message.contains(label) {
                message += &format!(" ({label})");
            }
            return Some(Diagnostic::error("syntax", message).at(span.to_range()));
        }
    };
    let error =
        Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).err()?;
    let ranged = error.spans().filter_map(|(span, _)| span.to_range());
    let span = ranged.min_by_key(std::ops::Range::len);
    let mut message = error.as_inner().to_string();
    let mut cause = std::error::Error::source(error.as_inner());
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    Some(Diagnostic::error("validation", message).at(span))
}
