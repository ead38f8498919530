//! The report for people: excerpts of the code as a compiler shows them.

use super::diagnostic::{Diagnostic, Severity};
use super::forms;
use super::render::{plain, render_table};
use super::report::ShaderReport;
use codespan_reporting::{
    diagnostic::{Diagnostic as Excerpt, Label, LabelStyle, Severity as Level},
    files::SimpleFile,
    term,
};
use std::collections::HashMap;

/// Longest line of which an excerpt is shown, in bytes.
const MAX_LINE: usize = 400;
/// Most excerpts of one report; what is more is told in one line each.
const MAX_EXCERPTS: usize = 1_000;

/// Findings with excerpts of `texts`, followed by the table.
pub fn render_text(reports: &[ShaderReport], texts: &HashMap<String, String>) -> String {
    let mut text = String::new();
    let mut count = 0;
    for report in reports {
        for one in &report.diagnostics {
            count += 1;
            let source = texts.get(&one.file).filter(|_| count <= MAX_EXCERPTS);
            text.push_str(&excerpt(one, source.map(String::as_str)));
        }
    }
    text.push_str(&render_table(reports));
    text
}

/// One finding.
fn excerpt(one: &Diagnostic, source: Option<&str>) -> String {
    let message = plain(&one.message);
    let place = match (one.line, one.column) {
        (Some(line), Some(column)) => format!(":{line}:{column}"),
        (Some(line), None) => format!(":{line}"),
        _ => String::new(),
    };
    let in_one_line = || {
        let (file, rule) = (plain(&one.file), one.rule);
        format!("{file}{place}: {}[{rule}]: {message}\n", one.severity.name())
    };
    let Some((source, range)) = source.and_then(|source| Some((source, range_of(one, source)?)))
    else {
        return in_one_line();
    };
    // Control characters of hostile files do not reach the terminal.
    let shown: String = source
        .chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c })
        .collect();
    let line = source[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let length = source[line..].find('\n').unwrap_or(source.len() - line);
    if length > MAX_LINE || shown.len() != source.len() {
        return in_one_line();
    }
    let level = match one.severity {
        Severity::Error => Level::Error,
        Severity::Warning => Level::Warning,
        Severity::Info => Level::Note,
    };
    let excerpt = Excerpt::new(level)
        .with_code(one.rule)
        .with_message(message.clone())
        .with_label(Label::new(LabelStyle::Primary, (), range));
    let file = SimpleFile::new(plain(&one.file), shown);
    let config = term::Config::default();
    term::emit_into_string(&config, &file, &excerpt).unwrap_or_else(|_| in_one_line())
}

/// The bytes of a finding; those of its first line if it has several.
fn range_of(one: &Diagnostic, source: &str) -> Option<std::ops::Range<usize>> {
    let start = forms::offset_of(source, one.line?, one.column.unwrap_or(1))?;
    let end = match (one.end_line, one.end_column) {
        (Some(line), Some(column)) => forms::offset_of(source, line, column)?,
        _ => start,
    };
    let line_end = source[start..].find('\n').map_or(source.len(), |at| start + at);
    let end = end.clamp(start, line_end);
    Some(start..end)
}
