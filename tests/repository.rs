//! Rules of this repository that neither the compiler nor the lints hold alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

#[test]
fn unsafe_code_is_in_one_module() {
    assert!(read("src/lib.rs").contains("#![deny(unsafe_code)]") && read("src/main.rs").contains("#![forbid(unsafe_code)]"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trusted = root.join("src/gpu/trusted.rs");
    for path in sources(&root.join("src")) {
        // A word of Content-Security-Policy is no code.
        let text = fs::read_to_string(&path).unwrap().replace("'unsafe-inline'", "");
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // The keyword, and whatever would switch the lint off.
        let found = words.any(|word| word == "unsafe" || word == "unsafe_code");
        let expected = path == trusted || path == root.join("src/lib.rs") || path == root.join("src/main.rs");
        assert!(!found || expected, "{}: unsafe code", path.display());
    }
    let text = fs::read_to_string(&trusted).unwrap();
    assert!(text.lines().count() < 100, "keep it small");
    assert_eq!(text.matches("unsafe {").count(), text.matches("// SAFETY: ").count());
}

#[test]
fn the_oldest_compiler_that_is_promised_is_the_one_that_is_checked() {
    let manifest = read("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let workflow = read(".github/workflows/ci.yml");
    assert!(workflow.contains(&format!("rustup toolchain install {version}")), "{version} is not checked");
    assert!(workflow.contains(&format!("cargo +{version} check --locked --all-targets")));
}

/// Each fuzz target is in the table, has its program, and its seeds.
#[test]
fn fuzz_targets_are_complete() {
    let table = read("fuzz/targets.txt");
    let names: Vec<_> =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_whitespace().next().unwrap()).collect();
    let manifest = read("fuzz/Cargo.toml");
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        assert!(read(&format!("fuzz/fuzz_targets/{name}.rs")).contains(&format!("saliq_fuzz::{name}(bytes)")), "{name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), names.len());
}
