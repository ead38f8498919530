//! Reports as a table, as GitHub annotations, as JSON, and as an error.

use super::{
    diagnostic::{Diagnostic, Severity},
    report::{Outcome, ShaderReport},
};
use crate::{Error, Result};
use comfy_table::{Table, presets};
use std::fmt::Write;

/// A table with one row per shader, followed by a line for every failure and warning and for every
/// kind of skip.
pub fn render_table(reports: &[ShaderReport]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "shader",
        "entry points",
        "parse",
        "validate",
        "SPIR-V",
        "MSL",
        "HLSL",
        "GLSL",
        "limits",
        "form",
    ]);
    for report in reports {
        let mut row = vec![plain(&report.name), plain(&report.entry_points.join(", "))];
        row.extend(report.stages().iter().map(|(_, outcome)| word(outcome).to_owned()));
        row.push(report.form_in_words());
        table.add_row(row);
    }
    let mut text = format!("{table}\n");

    // There are only a few reasons for skips, each for many shaders, so there is one line per
    // reason.
    let mut skips: Vec<(String, usize)> = Vec::new();
    for report in reports {
        for (stage, outcome) in report.stages() {
            let (kind, message) = match outcome {
                Outcome::Pass => continue,
                Outcome::Skipped { reason } => {
                    // Stages after a failure add no information.
                    if !report.failed() {
                        let key = format!("{stage}: {}", plain(reason));
                        match skips.iter_mut().find(|(known, _)| *known == key) {
                            Some((_, count)) => *count += 1,
                            None => skips.push((key, 1)),
                        }
                    }
                    continue;
                }
                Outcome::Warn { message, .. } => ("warning", message),
                Outcome::Fail { message, .. } => ("error", message),
            };
            let _ = writeln!(
                text,
                "{}{}: {kind}: {stage}: {}",
                plain(&report.name),
                at(outcome),
                plain(message)
            );
        }
    }
    for (key, count) in skips {
        let _ = writeln!(text, "skipped in {count} of {}: {key}", reports.len());
    }
    let failed = reports.iter().filter(|report| report.failed()).count();
    let _ = writeln!(
        text,
        "{} checked, {} passed, {failed} failed",
        reports.len(),
        reports.len() - failed
    );
    text
}

/// GitHub workflow commands: an `::error` for every error and a `::warning` for every warning, each
/// in the file where it is, and nothing for shaders that pass. saliq's own kernels have no file, so
/// their name is in the title.
pub fn render_github(reports: &[ShaderReport]) -> String {
    let mut text = String::new();
    for report in reports {
        let mut say = |one: &Diagnostic| {
            let command = match one.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => return,
            };
            let mut properties = Vec::new();
            if report.user {
                // GitHub expects forward slashes, and paths from the root of the repository.
                let path = one.file.replace('\\', "/");
                properties
                    .push(format!("file={}", property(path.strip_prefix("./").unwrap_or(&path))));
            }
            properties.extend(one.line.map(|line| format!("line={line}")));
            properties.extend(one.column.map(|column| format!("col={column}")));
            let title = if report.user {
                one.rule.to_owned()
            } else {
                format!("{} {}", report.name, one.rule)
            };
            properties.push(format!("title={}", property(&title)));
            let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&one.message));
        };
        report.diagnostics.iter().for_each(&mut say);
        // A need of more than the default limits is listed, and no finding.
        if let Outcome::Warn { message, line, column } = &report.webgpu_limits
            && report.user
        {
            let mut need = Diagnostic::new("limit", Severity::Warning, message.as_str());
            (need.file, need.line, need.column) = (report.name.clone(), *line, *column);
            say(&need);
        }
    }
    text
}

/// `{"shaders": […], "checked": n, "passed": n, "failed": n}`; a shader is a [`ShaderReport`] and
/// `"failed": bool`.
pub fn to_json(reports: &[ShaderReport]) -> serde_json::Value {
    let shaders: Vec<_> = reports
        .iter()
        .map(|report| {
            let mut value = serde_json::to_value(report).unwrap_or_default();
            value["failed"] = report.failed().into();
            value
        })
        .collect();
    let failed = reports.iter().filter(|report| report.failed()).count();
    serde_json::json!({
        "checked": reports.len(),
        "passed": reports.len() - failed,
        "failed": failed,
        "shaders": shaders,
    })
}

/// `Err(`[`Error::CheckFailed`]`)` if any shader failed, naming the first few: `2 of 31 shaders
/// failed: a, b`.
pub fn verdict(reports: &[ShaderReport]) -> Result<()> {
    const NAMED: usize = 8;
    let failed: Vec<_> =
        reports.iter().filter(|report| report.failed()).map(|report| plain(&report.name)).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut names = failed[..failed.len().min(NAMED)].join(", ");
    if failed.len() > NAMED {
        names += &format!(" and {} more", failed.len() - NAMED);
    }
    let noun = if reports.len() == 1 { "shader" } else { "shaders" };
    Err(Error::CheckFailed(format!("{} of {} {noun} failed: {names}", failed.len(), reports.len())))
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "ok",
        Outcome::Warn { .. } => "warn",
        Outcome::Skipped { .. } => "-",
        Outcome::Fail { .. } => "FAIL",
    }
}

fn at(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Warn { line: Some(line), column, .. }
        | Outcome::Fail { line: Some(line), column, .. } => {
            column.map_or(format!(":{line}"), |column| format!(":{line}:{column}"))
        }
        _ => String::new(),
    }
}

/// Text from a file or its name, on one line and without control characters.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_whitespace() {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Escapes for the message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes for a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(name: &str, user: bool) -> ShaderReport {
        let parse =
            Outcome::Fail { message: "100%: a\nb\r, c".into(), line: Some(3), column: Some(7) };
        ShaderReport::unparsed(name, user, parse)
    }

    #[test]
    fn github_commands_are_escaped() {
        assert_eq!(
            render_github(&[failing("./a,b:c\n.wgsl", true)]),
            "::error file=a%2Cb%3Ac%0A.wgsl,line=3,col=7,title=syntax::100%25: a%0Ab%0D, c\n"
        );
        assert!(
            render_github(&[failing("kernel", false)])
                .starts_with("::error line=3,col=7,title=kernel syntax::")
        );
    }

    #[test]
    fn every_finding_is_a_github_command_in_its_own_file() {
        let mut report = failing("main.wgsl", true);
        let mut imported = Diagnostic::new("alias", Severity::Warning, "b");
        imported.file = "lib.wgsl".into();
        report.diagnostics.extend([imported, Diagnostic::new("x", Severity::Info, "c")]);
        report.webgpu_limits = Outcome::Warn { message: "d".into(), line: None, column: None };
        let text = render_github(&[report]);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["::warning file=lib.wgsl,title=alias::b", "::warning file=main.wgsl,title=limit::d"]
        );
    }

    #[test]
    fn a_table_shows_no_control_characters_of_hostile_names() {
        let table = render_table(&[failing("evil\u{1b}[2J\r.wgsl", true)]);
        assert!(!table.contains(['\u{1b}', '\r']), "{table}");
        assert!(
            table.contains("evil\u{fffd}[2J .wgsl:3:7: error: parse: 100%: a b , c"),
            "{table}"
        );
        assert!(table.contains("1 checked, 0 passed, 1 failed"), "{table}");
    }

    #[test]
    fn json_counts_and_tags() {
        let json = to_json(&[failing("a", true)]);
        assert_eq!((json["checked"].as_u64(), json["failed"].as_u64()), (Some(1), Some(1)));
        assert_eq!(json["shaders"][0]["parse"]["outcome"], "fail");
        assert_eq!(json["shaders"][0]["parse"]["line"], 3);
        assert_eq!(json["shaders"][0]["failed"], true);
    }
}
