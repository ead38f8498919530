//! What goes to standard output (results: text or JSON) and to standard error (notes, warnings), and in which colours.

use std::{
    io::{ErrorKind, IsTerminal, Write},
    path::Path,
};

use serde::Serialize;

use super::args::{ColorWhen, GlobalArgs};
use crate::{Error, Result};

/// How results and notes are shown, as `--json`, `--quiet` and `--color` ask for.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Results as JSON, and nothing else on standard output.
    pub json: bool,
    /// No notes, no warnings, no progress.
    pub quiet: bool,
    /// Whether to colour standard output.
    color: bool,
}

/// Colours with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Headings and what matters most.
    Strong,
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Side remarks.
    Faint,
}

impl GlobalArgs {
    /// The output these arguments ask for.
    pub fn output(&self) -> Output {
        let color = match self.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            // https://no-color.org: set and not empty means no colour.
            ColorWhen::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
                std::io::stdout().is_terminal() && !refused && !dumb
            }
        };
        Output { json: self.json, quiet: self.quiet, color: color && !self.json }
    }
}

impl Output {
    /// Prints a result: `value` as indented JSON with `--json`, else the text that `human` makes.
    ///
    /// # Errors
    /// [`Error::Io`] where standard output cannot be written; [`super::main`] takes a closed pipe for a normal end.
    pub fn result<T: Serialize + ?Sized>(&self, value: &T, human: impl FnOnce() -> String) -> Result<()> {
        if self.json { write_out(&to_json(value)?) } else { write_out(&human()) }
    }

    /// Prints text for people: nothing with `--json`.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn text(&self, text: &str) -> Result<()> {
        if self.json { Ok(()) } else { write_out(text) }
    }

    /// A remark on standard error, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// `warning: …` on standard error, unless `--quiet`.
    pub fn warn(&self, text: &str) {
        self.note(&format!("warning: {text}"));
    }

    /// `text` in a colour, where colours are wanted on standard output.
    pub fn style(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Strong => 1,
            Style::Good => 32,
            Style::Bad => 31,
            Style::Faint => 2,
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

fn to_json<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::io("cannot write", STDOUT)(error.into()))
}

const STDOUT: &str = "standard output";

/// Writes `text` and a line end.
fn write_out(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
    written.map_err(Error::io("cannot write", STDOUT))
}

/// Whether the reader of standard output has gone (`saliq … | head`).
pub(super) fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { path, source, .. }
        if path == Path::new(STDOUT) && source.kind() == ErrorKind::BrokenPipe)
}
