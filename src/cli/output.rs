//! Standard output (results as text or JSON) and standard error (notes, warnings), with colours.

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use serde::Serialize;

use crate::{Error, Result};

/// The output settings of `--json`, `--quiet` and `--color`.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Print results as JSON, and nothing else on standard output.
    pub json: bool,
    /// Print no notes, warnings and progress.
    pub quiet: bool,
    /// With `json`: an object a line, also while a training goes on.
    pub lines: bool,
    /// Whether to colour standard output.
    color: bool,
}

/// Escape sequences that begin and end a colour.
const ESCAPES: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"];

/// Styles by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings and the most important values.
    Strong,
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Secondary text.
    Faint,
}

impl Output {
    /// Output with these settings.
    pub fn new(json: bool, quiet: bool, color: bool) -> Output {
        Output { json, quiet, lines: false, color: color && !json }
    }

    /// The same output, with JSON line by line if `lines`.
    pub fn in_lines(self, lines: bool) -> Output {
        Output { lines: self.json && lines, ..self }
    }

    /// Whether standard output is coloured.
    pub fn is_colored(&self) -> bool {
        self.color
    }

    /// Prints `value` as a line of JSON, with `--json=lines` only.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn line<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        if self.lines { write_out(&to_line(value)?) } else { Ok(()) }
    }

    /// Prints a result: `value` as indented JSON with `--json`, else the text of `human`.
    ///
    /// # Errors
    /// [`Error::Io`] if standard output cannot be written; [`super::main`] treats a closed pipe as
    /// a normal end.
    pub fn result<T: Serialize + ?Sized>(
        &self,
        value: &T,
        human: impl FnOnce() -> String,
    ) -> Result<()> {
        match (self.json, self.lines) {
            (true, true) => self.line(value),
            (true, false) => write_out(&to_json(value)?),
            (false, _) => self.text(&human()),
        }
    }

    /// Prints text for people: nothing with `--json`.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn text(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { write_out(&self.for_terminal(text)) }
    }

    /// Prints `text`, which is no result but a program, as it is.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn raw(&self, text: &str) -> Result<()> {
        write_out(text)
    }

    /// A note on standard error, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{}", crate::plain_lines(text));
        }
    }

    /// `warning: …` on standard error, unless `--quiet`.
    pub fn warn(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// `text` in a style, if colours are enabled.
    pub fn style(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Strong => 1,
            Style::Good => 32,
            Style::Bad => 31,
            Style::Faint => 2,
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    /// `text`, which may quote files, without terminal control sequences other than the colours of
    /// [`style`](Self::style).
    fn for_terminal(&self, text: &str) -> String {
        let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(at) = rest.find('\x1b').filter(|_| self.color) {
            let escape = ESCAPES
                .iter()
                .find(|escape| rest[at..].starts_with(*escape))
                .copied()
                .unwrap_or("\x1b");
            shown += &crate::plain_lines(&rest[..at]);
            shown += if escape.len() > 1 { escape } else { " " };
            rest = &rest[at + escape.len()..];
        }
        shown + &crate::plain_lines(rest)
    }
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::io("cannot write", STDOUT)(error.into()))?;
    Ok(escaped(&text))
}

fn to_line<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::io("cannot write", STDOUT)(error.into()))?;
    Ok(escaped(&text))
}

/// The same JSON with characters that control a terminal escaped. They can occur only in strings;
/// JSON itself requires escapes only below U+0020, which serde has written.
fn escaped(json: &str) -> String {
    let hostile = |c: char| crate::is_hostile(c) && c != '\n';
    if !json.contains(hostile) {
        return json.to_string();
    }
    json.chars()
        .map(|c| if hostile(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect()
}

const STDOUT: &str = "standard output";

/// Writes `text` and a line end.
fn write_out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    written.map_err(Error::io("cannot write", STDOUT))
}

/// Whether the reader of standard output has exited (`saliq … | head`).
pub(super) fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { path, source, .. }
        if path == Path::new(STDOUT) && source.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_our_colours_reaches_a_terminal() {
        let output = |color| Output { json: false, quiet: false, lines: false, color };
        let text = format!(
            "{}\x1b]0;x\x07\x1b[2J\u{9b}1m\u{202e}\r\n\té",
            output(true).style(Style::Bad, "bad")
        );
        assert_eq!(output(true).for_terminal(&text), "\x1b[31mbad\x1b[0m ]0;x  [2J 1m  \n\té");
        assert_eq!(output(false).for_terminal(&text), " [31mbad [0m ]0;x  [2J 1m  \n\té");
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({ "a\u{202e}": ["\u{9b}1m\x1b\x7f\\\"\n", "é\u{fffe}"] });
        let text = to_json(&value).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !crate::is_hostile(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
