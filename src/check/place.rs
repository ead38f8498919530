//! Positions in a shader.

use naga::Span;

/// 1-based line and column (in characters) of a span's start.
pub(super) fn place(wgsl: &str, span: Span) -> (Option<u32>, Option<u32>) {
    let Some(before) = span.to_range().and_then(|range| wgsl.get(..range.start)) else {
        return (None, None);
    };
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).ok(), u32::try_from(column).ok())
}
