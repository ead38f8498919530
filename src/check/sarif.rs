//! Reports for other programs: SARIF 2.1.0 and `JUnit`'s XML.

use super::diagnostic::{Diagnostic, Severity};
use super::report::ShaderReport;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A log of SARIF 2.1.0 with one run.
pub fn render_sarif(reports: &[ShaderReport]) -> String {
    let all = || reports.iter().flat_map(|report| &report.diagnostics);
    let rules: BTreeSet<&str> = all().map(|one| one.rule).collect();
    let rules: Vec<Value> = rules.iter().map(|rule| json!({ "id": rule, "name": rule })).collect();
    let results: Vec<Value> = all().map(result).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "saliq-check",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://crates.io/crates/saliq",
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}")
}

fn result(one: &Diagnostic) -> Value {
    let level = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut place = json!({ "artifactLocation": { "uri": uri(&one.file) } });
    if let Some(line) = one.line {
        let mut region = json!({ "startLine": line });
        let more =
            [("startColumn", one.column), ("endLine", one.end_line), ("endColumn", one.end_column)];
        for (key, value) in more {
            if let Some(value) = value {
                region[key] = value.into();
            }
        }
        place["region"] = region;
    }
    let targets: Vec<_> = one.targets.iter().map(|target| target.name()).collect();
    json!({
        "ruleId": one.rule,
        "level": level,
        "message": { "text": one.message },
        "locations": [{ "physicalLocation": place }],
        "properties": { "targets": targets },
    })
}

/// A path as a relative reference of a URI.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut uri = String::new();
    for byte in path.strip_prefix("./").unwrap_or(&path).bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

/// A test suite of `JUnit` with a test case a shader.
pub fn render_junit(reports: &[ShaderReport]) -> String {
    let failed = reports.iter().filter(|report| report.failed()).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\"", reports.len());
    let _ = writeln!(text, "<testsuites name=\"saliq-check\" {counts}>");
    let _ = writeln!(text, "  <testsuite name=\"saliq-check\" {counts} skipped=\"0\">");
    for report in reports {
        let name = escaped(&report.name);
        let _ = write!(text, "    <testcase name=\"{name}\" classname=\"wgsl\"");
        let found: Vec<_> =
            report.diagnostics.iter().filter(|one| one.severity > Severity::Info).collect();
        if found.is_empty() && !report.failed() {
            text.push_str("/>\n");
            continue;
        }
        text.push_str(">\n");
        let lines: Vec<String> = found.iter().map(|one| line(one)).collect();
        let body = escaped(&lines.join("\n"));
        if report.failed() {
            let first = found.iter().find(|one| one.severity == Severity::Error);
            let (rule, message) =
                first.map_or(("error", ""), |one| (one.rule, one.message.as_str()));
            let _ = writeln!(
                text,
                "      <failure type=\"{}\" message=\"{}\">{body}</failure>",
                escaped(rule),
                escaped(message)
            );
        } else {
            let _ = writeln!(text, "      <system-out>{body}</system-out>");
        }
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn line(one: &Diagnostic) -> String {
    let place = match (one.line, one.column) {
        (Some(line), Some(column)) => format!(":{line}:{column}"),
        (Some(line), None) => format!(":{line}"),
        _ => String::new(),
    };
    format!("{}{place}: {}[{}]: {}", one.file, one.severity.name(), one.rule, one.message)
}

/// Text of XML 1.0, which has no control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::report::Outcome;
    use super::*;

    fn reports() -> Vec<ShaderReport> {
        let fail =
            Outcome::Fail { message: "a < \"b\" & c\u{1}".into(), line: Some(3), column: Some(7) };
        let mut passing = ShaderReport::unparsed("b.wgsl", true, Outcome::Pass);
        passing.diagnostics.clear();
        vec![ShaderReport::unparsed("./a b.wgsl", true, fail), passing]
    }

    #[test]
    fn sarif_has_rules_places_and_relative_paths() {
        let log: Value = serde_json::from_str(&render_sarif(&reports())).expect("JSON");
        let run = &log["runs"][0];
        assert_eq!(log["version"], "2.1.0");
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "syntax");
        let result = &run["results"][0];
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.wgsl");
        assert_eq!(
            (place["region"]["startLine"].as_u64(), &result["level"]),
            (Some(3), &json!("error"))
        );
    }

    #[test]
    fn junit_is_well_formed() {
        let text = render_junit(&reports());
        let document = roxmltree::Document::parse(&text).expect("XML");
        let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
        assert_eq!((suite.attribute("tests"), suite.attribute("failures")), (Some("2"), Some("1")));
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).unwrap();
        assert_eq!(failure.attribute("message"), Some("a < \"b\" & c\u{fffd}"));
    }
}
