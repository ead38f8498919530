//! Headless shader validation: one fixture for each kind of failure, and hostile input.

use saliq::check::{
    CheckOptions, Outcome, ShaderReport, ShaderSource, check, check_all_writing, check_paths,
    own_kernels_of_matrices, to_spirv, verdict, write_spirv_of_paths,
};
use std::path::{Path, PathBuf};

use crate::support::root;

fn fixture(name: &str) -> PathBuf {
    root().join("tests/check").join(name)
}

fn report_of(name: &str) -> ShaderReport {
    let mut reports = check_paths(&[fixture(name)]).expect("the fixture exists");
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

/// One of saliq's own shaders: limits are a requirement, overrides have values.
fn ours(wgsl: &str, constants: &[(&str, f64)]) -> ShaderSource {
    let constants = constants.iter().map(|(name, value)| (name.to_string(), *value)).collect();
    ShaderSource { name: "ours".into(), wgsl: wgsl.into(), constants, user: false }
}

fn ours_of(name: &str) -> ShaderReport {
    check(&ours(&std::fs::read_to_string(fixture(name)).expect("readable"), &[]))
}

/// Names of the stages that failed.
fn failing(report: &ShaderReport) -> Vec<&'static str> {
    report
        .stages()
        .iter()
        .filter(|(_, outcome)| outcome.is_fail())
        .map(|(stage, _)| *stage)
        .collect()
}

#[track_caller]
fn fails_with(outcome: &Outcome, words: &str) -> (Option<u32>, Option<u32>) {
    match outcome {
        Outcome::Fail { message, line, column } if message.contains(words) => (*line, *column),
        other => panic!("expected a failure saying `{words}`: {other:?}"),
    }
}

#[track_caller]
fn skipped_with(outcome: &Outcome, words: &str) {
    assert!(
        matches!(outcome, Outcome::Skipped { reason } if reason.contains(words)),
        "expected `{words}`: {outcome:?}"
    );
}

#[track_caller]
fn hostile(wgsl: String) -> ShaderReport {
    check(&ShaderSource { name: "hostile".into(), wgsl, constants: vec![], user: true })
}

#[test]
fn a_good_shader_passes_everywhere() {
    for name in ["good.wgsl", "graphics.wgsl"] {
        let report = report_of(name);
        assert!(
            report.stages().iter().all(|(_, outcome)| **outcome == Outcome::Pass),
            "{report:?}"
        );
        assert_eq!(verdict(&[report]).map_err(|e| e.to_string()), Ok(()));
    }
    assert_eq!(report_of("graphics.wgsl").entry_points, ["vertex", "fragment"]);
}

/// No adapter of the tests may have cooperative matrices. Their kernel is therefore checked for
/// each backend: it is valid with and without PACT, for matrices of both sizes, and translates for
/// the backends that have them.
#[test]
fn cooperative_matrices_translate_where_there_are_some() {
    let sources: Vec<_> = own_kernels_of_matrices()
        .unwrap()
        .into_iter()
        .filter(|one| one.name.starts_with("convolution_cooperative#"))
        .collect();
    for side in ["coop_mat8x8", "coop_mat16x16"] {
        for pact in [true, false] {
            let is_wanted = |source: &&ShaderSource| {
                let has =
                    |name: &str| source.constants.iter().any(|(constant, _)| constant == name);
                source.wgsl.contains(side) && has("ALPHA_INDEX") == pact
            };
            let source = sources
                .iter()
                .find(is_wanted)
                .unwrap_or_else(|| panic!("no {side} with PACT {pact}"));
            assert!(
                source.wgsl.starts_with("enable f16, wgpu_cooperative_matrix;"),
                "{}",
                source.wgsl
            );
            let report = check(source);
            assert_eq!((&report.parse, &report.validate), (&Outcome::Pass, &Outcome::Pass));
            assert_eq!(
                (&report.spirv, &report.msl),
                (&Outcome::Pass, &Outcome::Pass),
                "{side} {pact}"
            );
            skipped_with(&report.hlsl, "cooperative matrices");
            assert_eq!(report.webgpu_limits, Outcome::Pass);
        }
    }
}

#[test]
fn a_syntax_error_has_its_line_and_column() {
    let report = report_of("syntax_error.wgsl");
    assert_eq!(fails_with(&report.parse, "expected"), (Some(3), Some(15)));
    assert_eq!(failing(&report), ["parse"]);
    let message = verdict(&[report_of("good.wgsl"), report]).expect_err("one failed").to_string();
    assert!(
        message.starts_with("1 of 2 shaders failed: ") && message.ends_with("syntax_error.wgsl"),
        "{message}"
    );
}

#[test]
fn a_type_error_has_its_line() {
    let report = report_of("type_error.wgsl");
    let failures = failing(&report);
    assert_eq!(failures.len(), 1, "{report:?}");
    let outcome = if report.parse.is_fail() { &report.parse } else { &report.validate };
    assert_eq!(fails_with(outcome, "").0, Some(5));
}

#[test]
fn an_invalid_shader_fails_validation_and_is_not_translated() {
    let report = report_of("invalid.wgsl");
    assert_eq!(failing(&report), ["validate"]);
    assert_eq!(fails_with(&report.validate, "return").0, Some(3));
    skipped_with(&report.spirv, "not valid");
}

#[test]
fn what_one_backend_lacks_fails_there_alone() {
    // Capabilities of naga 30: Metal has of 64-bit atomics only min and max, and no f64; Direct3D
    // has no float atomics.
    for (name, stage) in
        [("atomics_64.wgsl", "MSL"), ("double.wgsl", "MSL"), ("float_atomic.wgsl", "HLSL")]
    {
        let report = report_of(name);
        assert_eq!(failing(&report), [stage], "{report:?}");
        assert_eq!(report.validate, Outcome::Pass);
        assert_eq!(report.spirv, Outcome::Pass);
    }
    assert_eq!(fails_with(&report_of("atomics_64.wgsl").msl, "Metal").0, Some(5));
}

#[test]
fn what_glsl_lacks_is_skipped_with_the_reason() {
    let report = report_of("half.wgsl");
    assert_eq!(failing(&report), [""; 0], "{report:?}");
    assert_eq!([&report.spirv, &report.msl, &report.hlsl], [&Outcome::Pass; 3]);
    assert!(
        matches!(&report.glsl, Outcome::Skipped { reason } if !reason.is_empty()),
        "{:?}",
        report.glsl
    );
}

#[test]
fn webgpu_limits_fail_our_kernels_and_warn_about_others() {
    for (name, words) in [
        ("large_workgroup.wgsl", "272 invocations"),
        ("deep_workgroup.wgsl", "workgroup size [1, 1, 65]"),
        ("workgroup_memory.wgsl", "16400 bytes of workgroup memory"),
        ("nine_buffers.wgsl", "main uses more than 8 storage buffers"),
    ] {
        let report = ours_of(name);
        assert_eq!(failing(&report), ["limits"], "{report:?}");
        fails_with(&report.webgpu_limits, words);
        let report = report_of(name);
        assert_eq!(failing(&report), [""; 0], "{report:?}");
        assert!(
            matches!(
                &report.webgpu_limits,
                Outcome::Warn { message, .. } if message.contains(words)
            ),
            "{report:?}"
        );
    }
    // The ninth buffer's declaration.
    assert_eq!(fails_with(&ours_of("nine_buffers.wgsl").webgpu_limits, "b8").0, Some(9));
}

#[test]
fn limits_see_the_constants_given() {
    let text = std::fs::read_to_string(fixture("large_workgroup.wgsl")).expect("readable");
    assert_eq!(check(&ours(&text, &[("side", 16.0)])).webgpu_limits, Outcome::Pass);
    fails_with(&check(&ours(&text, &[("side", 32.0)])).webgpu_limits, "512 invocations");
}

#[test]
fn an_override_without_default_is_skipped_for_users_and_fails_for_us() {
    let report = report_of("override_without_default.wgsl");
    assert_eq!(failing(&report), [""; 0]);
    assert_eq!(report.validate, Outcome::Pass);
    for outcome in [&report.spirv, &report.msl, &report.hlsl, &report.glsl, &report.webgpu_limits] {
        skipped_with(outcome, "override n has no default");
    }
    let text = std::fs::read_to_string(fixture("override_without_default.wgsl")).expect("readable");
    fails_with(&check(&ours(&text, &[])).spirv, "'n'");
    assert_eq!(failing(&check(&ours(&text, &[("n", 4.0)]))), [""; 0]);
    // n = 0: a constant zero divisor is an error that only the given value shows.
    assert!(failing(&check(&ours(&text, &[("n", 0.0)]))).contains(&"SPIR-V"));
    // A misspelt constant would otherwise silently leave a default value.
    fails_with(&check(&ours(&text, &[("n", 4.0), ("m", 1.0)])).spirv, "'m'");
}

#[test]
fn spirv_is_written_for_valid_shaders_only() {
    const MAGIC: u32 = 0x0723_0203;
    let good =
        ours(&std::fs::read_to_string(fixture("good.wgsl")).expect("readable"), &[("width", 32.0)]);
    assert_eq!(to_spirv(&good).expect("valid")[..2], [MAGIC, 0x0001_0300]);
    let bad = ours("fn", &[]);
    assert!(to_spirv(&bad).expect_err("invalid").to_string().starts_with("shader ours: "));

    let dir = tempfile::tempdir().expect("a temporary folder");
    let odd = ShaderSource { name: "../a/b[tile=8]".into(), ..good.clone() };
    let wide = ShaderSource { constants: vec![("width".into(), 64.0)], ..good.clone() };
    let all = [good, odd, bad, wide];
    let (reports, paths) =
        check_all_writing(&all, &CheckOptions::default(), &dir.path().join("out"))
            .expect("written");
    // Texts that several have are read once; every report is that of its own check.
    assert_eq!(reports, all.each_ref().map(check));
    assert_eq!(
        paths,
        ["000-ours.spv", "001-.._a_b_tile_8_.spv", "003-ours.spv"]
            .map(|name| dir.path().join("out").join(name))
    );
    assert_eq!(std::fs::read(&paths[1]).expect("there")[..4], MAGIC.to_le_bytes());
    let bytes = |path: &Path| std::fs::read(path).expect("there");
    assert!(bytes(&paths[0]) == bytes(&paths[1]) && bytes(&paths[0]) != bytes(&paths[2]));
    let paths = write_spirv_of_paths(&[fixture("good.wgsl"), fixture("invalid.wgsl")], dir.path())
        .expect("written");
    assert_eq!(paths.len(), 1);
}

#[test]
fn imports_are_linked_from_the_folder_given_or_nearer() {
    let reports = check_paths(&[fixture("imports")]).expect("a folder");
    let names: Vec<_> =
        reports.iter().map(|r| r.name.rsplit(['/', '\\']).next().unwrap_or_default()).collect();
    assert_eq!(names, ["common.wesl", "helper.wgsl", "main.wesl", "near.wgsl"]);
    for report in &reports {
        assert_eq!(failing(report), [""; 0], "{report:?}");
    }
    assert_eq!(reports[2].entry_points, ["main"]);
    assert_eq!([&reports[2].spirv, &reports[2].glsl], [&Outcome::Pass; 2]);
}

#[test]
fn a_file_alone_finds_its_package_above_it_in_the_repository() {
    let dir = tempfile::tempdir().expect("a folder");
    let shaders = dir.path().join("shaders");
    std::fs::create_dir(&shaders).expect("a folder");
    for name in ["common.wesl", "shaders/helper.wgsl", "shaders/main.wesl"] {
        std::fs::copy(fixture("imports").join(name), dir.path().join(name)).expect("a copy");
    }
    let alone = || check_paths(&[shaders.join("main.wesl")]).expect("a file").remove(0);
    // Without a repository its own folder is the package, which has no `common`.
    fails_with(&alone().parse, "common");
    std::fs::create_dir(dir.path().join(".git")).expect("a folder");
    assert_eq!(failing(&alone()), [""; 0]);
}

#[test]
fn import_cycles_end() {
    for report in check_paths(&[fixture("cycle")]).expect("a folder") {
        assert!(report.failed(), "WGSL has no recursion: {report:?}");
    }
}

#[test]
fn unreadable_files_are_failures_not_errors() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write =
        |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).expect("written");
    write("empty.wgsl", b"");
    write("junk.wgsl", &[0x00, 0xff, 0xfe, 0x80, 0x07]);
    write("large.wgsl", &vec![b' '; (4 << 20) + 1]);
    std::fs::create_dir(dir.path().join("folder.wgsl")).expect("made");
    std::fs::create_dir(dir.path().join(".hidden")).expect("made");
    write(".hidden/h.wgsl", b"broken");
    let reports = check_paths(&[dir.path().to_path_buf()]).expect("a folder");
    let [empty, junk, large] = &reports[..] else { panic!("three files: {reports:?}") };
    assert_eq!(failing(empty), [""; 0], "an empty shader is a valid one: {empty:?}");
    fails_with(&junk.parse, "not UTF-8 text (byte 1)");
    fails_with(&large.parse, "larger than 4 MiB");

    let missing = dir.path().join("missing.wgsl");
    assert!(
        check_paths(std::slice::from_ref(&missing))
            .expect_err("missing")
            .to_string()
            .contains("missing.wgsl")
    );
    assert_eq!(
        check_paths(&[dir.path().join("folder.wgsl")]).expect_err("nothing in it").exit_code(),
        2
    );
    assert_eq!(check_paths(&[]).expect_err("nothing").exit_code(), 2);
}

#[test]
fn what_only_saliqs_linker_adds_is_explained() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    for import in ["constants::LANES", "kinds::activation::RELU as LANES"] {
        let wgsl = format!("import {import};\n@compute @workgroup_size(LANES) fn main() {{}}\n");
        std::fs::write(dir.path().join("own.wgsl"), wgsl).expect("written");
        let reports = check_paths(&[dir.path().to_path_buf()]).expect("a folder");
        fails_with(&reports[0].parse, "`saliq check` without a path");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_loop_of_links_does_not_hang() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink(dir.path(), dir.path().join("loop")).expect("linked");
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("zero.wgsl")).expect("linked");
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling.wgsl")).expect("linked");
    let reports = check_paths(&[dir.path().to_path_buf()]).expect("a folder");
    assert_eq!(reports.len(), 2);
    fails_with(&reports[0].parse, "cannot read");
    fails_with(&reports[1].parse, "not a regular file");
}

#[test]
fn deep_nesting_fails_and_does_not_overflow_the_stack() {
    for (what, wgsl) in [
        ("parentheses", format!("const x = {}1{};", "(".repeat(1_000_000), ")".repeat(1_000_000))),
        ("blocks", format!("fn f() {}{}", "{".repeat(1_000_000), "}".repeat(1_000_000))),
        ("negations", format!("const x = {}1;", "~".repeat(2_000_000))),
        ("sum", format!("const x = 1{};", "+1".repeat(1_000_000))),
        (
            "types",
            format!("var<private> x: {}f32{};", "array<".repeat(500_000), ",1>".repeat(500_000)),
        ),
        ("else if", format!("fn f(a: bool) {{ if a {{}} {} }}", "else if a {}".repeat(200_000))),
        ("comments", "/*".repeat(2_000_000)),
    ] {
        assert!(hostile(wgsl).failed(), "{what}");
    }
}

#[test]
fn depth_up_to_the_bounds_is_survived() {
    // Just inside the bounds of the scan, where only the size of the stack helps.
    hostile(format!("const x = {}1{};", "(".repeat(199), ")".repeat(199)));
    assert_eq!(failing(&hostile(format!("const x = {}1;", "~".repeat(3_990)))), [""; 0]);
    assert_eq!(
        failing(&hostile(format!("fn f(a: i32) -> i32 {{ return a{}; }}", "+a".repeat(3_990)))),
        [""; 0]
    );
    hostile(format!("fn f(a: bool) {{ if a {{}} {} }}", "else if a {}".repeat(1_990)));
    let functions: String =
        (1..9_000).map(|i| format!("fn f{i}() -> u32 {{ return f{}(); }}\n", i - 1)).collect();
    hostile(format!("{functions} fn f0() -> u32 {{ return 1; }}"));
    let constants: String =
        (1..9_000).rev().map(|i| format!("const c{i} = c{};\n", i - 1)).collect();
    hostile(format!("{constants} const c0 = 1;"));
    let structs: String =
        (1..2_000).rev().map(|i| format!("struct S{i} {{ m: S{} }}\n", i - 1)).collect();
    hostile(format!("{structs} struct S0 {{ m: u32 }}"));
}

#[test]
fn the_linker_survives_what_the_parser_survives() {
    // More modules than one shader may import.
    const CHAIN: usize = 120;
    let chain = |unit: &str, count| unit.repeat(count);
    let functions: String =
        (1..300).map(|i| format!("fn f{i}() -> u32 {{ return f{}(); }}\n", i - 1)).collect();
    let bodies = [
        format!("const x = {}1{};", "(".repeat(199), ")".repeat(199)),
        format!("const x = {}1;", chain("~", 3_990)),
        format!("fn f(a: i32) -> i32 {{ return a{}; }}", chain("+a", 3_990)),
        format!("fn f(a: bool) {{ if a {{}} {} }}", chain("else if a {}", 1_990)),
        format!("const x: {}f32{} = 1;", chain("array<", 14), chain(">", 14)),
        format!("fn f(a: f32) -> f32 {{ return {}a{}; }}", chain("abs(", 190), chain(")", 190)),
        format!("const x = {}1{};", chain("vec2(", 190), chain(")", 190)),
        format!("fn f() {{ {}{} }}", chain("if true { ", 190), chain("}", 190)),
        format!("const x = {}1;", chain("a<(1>>1)+", 15)),
        format!("{functions} fn f0() -> u32 {{ return 1; }}"),
        chain("(", 1_000_000),
        chain("~", 2_000_000),
        "import package::a::a".to_owned() + &chain("::a", 200_000) + ";",
        "@if(".to_owned() + &chain("!", 3_900) + "x) const a = 1;",
        "\u{0}\u{202e}@@@ import".to_owned(),
    ];
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("common.wesl"), "fn c() {}").expect("written");
    for (i, body) in bodies.iter().enumerate() {
        let text = format!("import package::common::c;\n{body}\nfn uses() {{ c(); }}");
        std::fs::write(dir.path().join(format!("h{i}.wesl")), text).expect("written");
    }
    // A chain of modules, each importing the next.
    for i in 0..CHAIN {
        let text = format!("import package::m{0}::g{0};\nfn g{i}() {{ g{0}(); }}", i + 1);
        std::fs::write(dir.path().join(format!("m{i}.wesl")), text).expect("written");
    }
    let reports = check_paths(&[dir.path().to_path_buf()]).expect("a folder");
    let report = |name: &str| reports.iter().find(|r| r.name.ends_with(name)).expect("checked");
    assert_eq!(reports.len(), 1 + bodies.len() + CHAIN);
    assert_eq!(failing(report("common.wesl")), [""; 0]);
    for (i, linked) in [(2, true), (9, true), (10, false), (11, false), (12, false), (14, false)] {
        assert_eq!(
            !report(&format!("h{i}.wesl")).failed(),
            linked,
            "{:?}",
            report(&format!("h{i}.wesl"))
        );
    }
    fails_with(&report("m0.wesl").parse, "too many or too large imports");
    fails_with(&report(&format!("m{}.wesl", CHAIN - 1)).parse, "no such file");
}

#[test]
fn too_many_entry_points_are_not_translated() {
    let entries: String =
        (0..300).map(|i| format!("@compute @workgroup_size(1) fn f{i}() {{}}\n")).collect();
    skipped_with(&hostile(entries).spirv, "more than 256 entry points");
}

#[test]
fn huge_arrays_are_not_spelled_out() {
    for declaration in [
        "var<private> x: array<u32, 2000000000>;",
        "var<workgroup> x: array<vec4<f32>, 100000000>;",
    ] {
        let report = hostile(format!(
            "{declaration}\n@compute @workgroup_size(1) fn main() {{ x[1] = x[0]; }}"
        ));
        for (stage, outcome) in &report.stages()[2..6] {
            assert!(!matches!(outcome, Outcome::Pass), "{stage}: {report:?}");
        }
    }
    hostile(
        "@compute @workgroup_size(1) fn main() { var x = array<u32, 4000000000>(); x[0] = 1u; }"
            .into(),
    );
    hostile("const x = array<u32, 1000000000>()[7];".into());
    hostile("var<private> x: array<array<array<u32, 65535>, 65535>, 65535>;".into());
    // A large *buffer* is no problem.
    let report = report_with_buffer(20_000_000);
    assert_eq!(failing(&report), [""; 0]);
    assert_eq!(report.glsl, Outcome::Pass);
}

fn report_with_buffer(length: usize) -> ShaderReport {
    hostile(format!(
        "@group(0) @binding(0) var<storage, read_write> x: array<f32, {length}>;
        @compute @workgroup_size(1) fn main() {{ x[1] = x[0]; }}"
    ))
}

#[test]
fn recursion_and_junk_are_failures() {
    for wgsl in [
        "fn f() { f(); }",
        "const a = b; const b = a;",
        "struct A { b: B } struct B { a: A }",
        "}{)(\u{0}\u{feff}\u{202e}@@@",
        "\u{feff}fn f() {}}",
        "@compute @workgroup_size(0) fn main() {}",
        "import",
    ] {
        let report = hostile(wgsl.into());
        assert!(report.failed(), "{wgsl}: {report:?}");
    }
}
