//! Positions in a shader.

use std::ops::Range;

/// A region of a text: 1-based lines and columns (in characters); the end is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Line of the start.
    pub line: u32,
    /// Column of the start.
    pub column: u32,
    /// Line of the end.
    pub end_line: u32,
    /// Column behind the end.
    pub end_column: u32,
}

impl Region {
    /// The region of `bytes` of `text`, if they are in it.
    pub fn of(text: &str, bytes: Range<usize>) -> Option<Self> {
        let (line, column) = line_and_column(text.get(..bytes.start)?)?;
        let (end_line, end_column) = text
            .get(..bytes.end)
            .filter(|_| bytes.end >= bytes.start)
            .and_then(line_and_column)
            .unwrap_or((line, column));
        Some(Region { line, column, end_line, end_column })
    }
}

/// Line and column behind `before`.
fn line_and_column(before: &str) -> Option<(u32, u32)> {
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
}
