//! Every rule refuses one shader and lets one pass; shaders with verdicts; the page of rules.

use super::table::{RULES, page, rule};
use crate::check::{
    CheckOptions, Platform, Severity, ShaderReport, ShaderSource, check, check_all_for,
};

fn source(wgsl: &str) -> ShaderSource {
    ShaderSource { name: "one".into(), wgsl: wgsl.into(), constants: Vec::new(), user: true }
}

fn found(report: &ShaderReport, rule: &str) -> bool {
    report.diagnostics.iter().any(|one| one.rule == rule && one.severity == Severity::Error)
}

#[test]
fn each_rule_refuses_its_example_and_passes_the_other() {
    for rule in RULES {
        let passes = check(&source(rule.passes));
        assert!(!passes.failed(), "{}: {:?}", rule.id, passes.diagnostics);
        if !rule.fails.is_empty() {
            let fails = check(&source(rule.fails));
            assert!(found(&fails, rule.id), "{}: {:?}", rule.id, fails.diagnostics);
        }
    }
}

#[test]
fn ids_are_in_order_and_explained() {
    assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
    for rule in RULES {
        assert!(rule.summary.ends_with('.') && !rule.text.is_empty(), "{}", rule.id);
        let text = super::explain(rule.id).unwrap_or_default();
        assert!(text.contains(rule.text) && text.contains(rule.fails.lines().next().unwrap_or("")));
    }
    assert_eq!(super::explain("nonsense"), None);
    assert!(super::explain("all").is_some_and(|text| text.lines().count() == RULES.len()));
}

#[test]
fn the_page_of_rules_is_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/check-rules.md");
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("SALIQ_WRITE_RULES").is_some() {
        std::fs::write(&path, page()).expect("docs/check-rules.md is written");
        return;
    }
    assert!(
        written == page(),
        "docs/check-rules.md is old: run this test with SALIQ_WRITE_RULES=1"
    );
}

/// Shaders of `tests/check/verdicts.txt`. The verdicts are those of the specification and of the
/// reference implementation in browsers.
#[test]
fn shaders_have_their_verdicts() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/verdicts.txt");
    let text = std::fs::read_to_string(path).expect("the file is there");
    let (mut prefix, mut suffix) = ("", "");
    let (mut sources, mut verdicts) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("prefix ") {
            prefix = rest;
        } else if let Some(rest) = line.strip_prefix("suffix ") {
            suffix = rest;
        } else if let Some((verdict, wgsl)) = line.split_once(" | ") {
            sources.push(source(&format!("{prefix}{wgsl}{suffix}").replace("\\n", "\n")));
            verdicts.push((verdict, wgsl));
        }
    }
    assert!(sources.len() > 500, "{}", sources.len());
    let all = check_all_for(&sources, &CheckOptions::default());
    let webgpu = CheckOptions { targets: vec![Platform::WebGpu], ..CheckOptions::default() };
    let webgpu = check_all_for(&sources, &webgpu);
    let mut wrong = Vec::new();
    for ((all, webgpu), (verdict, wgsl)) in all.iter().zip(&webgpu).zip(&verdicts) {
        let (word, what) = verdict.split_once(' ').unwrap_or((verdict, ""));
        let quiet = all.diagnostics.iter().all(|one| one.severity == Severity::Info);
        let right = match word {
            "refused" => webgpu.failed() && found(webgpu, what),
            "native" => all.failed() && !webgpu.failed(),
            "needs" => !all.failed() && all.needs.join(",") == what,
            _ => !all.failed() && quiet && all.needs.is_empty(),
        };
        if !right {
            wrong.push(format!("{verdict} | {wgsl}\n    {:?}", all.diagnostics));
        }
        for one in &all.diagnostics {
            assert!(rule(one.rule).is_some(), "no rule {}", one.rule);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
