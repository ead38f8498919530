//! Rules of this repository that neither the compiler nor the lints hold alone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The modules of src/, layer by layer from the top: a module uses modules of lower layers alone.
/// The diagram in ARCHITECTURE.md is this list.
const LAYERS: [&[&str]; 18] = [
    &["cli"],
    &["check"],
    &["bench", "study"],
    &["judgement"],
    &["integer", "train"],
    &["metrics", "post_training", "saliency"],
    &["sgt"],
    &["nn"],
    &["batch"],
    &["storage", "pipelines"],
    &["gpu"],
    &["reference"],
    &["deploy"],
    &["model"],
    &["graph", "layout", "report"],
    &["quant", "data"],
    &["config", "files", "random", "digest", "panics"],
    &["error"],
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// `text` without comments and without what `#[cfg(test)]` stands before. Relies on rustfmt's
/// indentation.
fn code(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start() == "#[cfg(test)]" {
            let indentation = &line[..line.len() - line.trim_start().len()];
            let is_last = |line: &str| {
                line.strip_prefix(indentation).is_some_and(|rest| ["}", "};"].contains(&rest))
            };
            let first = lines.next().unwrap_or_default();
            if !first.ends_with(';') && !first.ends_with('}') {
                lines.by_ref().find(|line| is_last(line));
            }
        } else if !line.trim_start().starts_with("//") {
            kept += line.split(" // ").next().unwrap_or_default();
            kept.push('\n');
        }
    }
    kept
}

/// The name that `text` begins with.
fn first_name(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text
        .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .unwrap_or(text.len())]
}

/// What `code` takes from the crate's root: the first name of every path that begins with
/// `crate::`, those of a group too.
fn taken_from_the_root(code: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (at, root) in code.match_indices("crate::") {
        let path = &code[at + root.len()..];
        let Some(group) = path.strip_prefix('{') else {
            names.insert(first_name(path));
            continue;
        };
        let (mut depth, mut start) = (1, 0);
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || depth == 1 && letter == ',' {
                names.insert(first_name(&group[start..at]));
                start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.remove("");
    names
}

fn layer_of(module: &str) -> usize {
    LAYERS
        .iter()
        .position(|layer| layer.contains(&module))
        .unwrap_or_else(|| panic!("{module} is in no layer"))
}

#[test]
fn dependencies_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = read("src/lib.rs");
    let declared = root
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    assert_eq!(declared.collect::<BTreeSet<_>>(), LAYERS.concat().into_iter().collect());
    // What stands at the root without being a module is what lib.rs takes from `error`.
    let taken = root.lines().filter_map(|line| line.split_once("use error::")?.1.strip_suffix(';'));
    let of_error: BTreeSet<_> =
        taken.flat_map(|names| names.trim_matches(['{', '}']).split(", ")).collect();
    for path in sources(&source) {
        let place = path.strip_prefix(&source).unwrap().with_extension("");
        let mut place: Vec<_> = place.iter().map(|part| part.to_str().unwrap()).collect();
        if ["lib", "main"].contains(&place[0]) || place.contains(&"tests") {
            continue;
        }
        let module = place[0];
        let text = code(&fs::read_to_string(&path).unwrap());
        for used in taken_from_the_root(&text) {
            let used = if of_error.contains(used) { "error" } else { used };
            assert!(
                used == module || used != "reference",
                "{}: the oracle is for tests",
                path.display()
            );
            assert!(
                used == module || layer_of(module) < layer_of(used),
                "{}: {module} must not use {used}",
                path.display()
            );
        }
        // The other way to the root.
        place.retain(|part| *part != "mod");
        assert!(
            !text.contains(&"super::".repeat(place.len())),
            "{}: a path to the root by super",
            path.display()
        );
    }
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "use crate::{\n    Error,\n    gpu::{Buffer, Gpu},\n    nn::Network, // crate::sgt\n};\n// crate::train\nfn f(x: crate::batch::Batch) {}\n\
                #[cfg(test)]\nuse crate::check;\n#[cfg(test)]\nmod tests {\n    use crate::{cli};\n}\nuse crate::config;\n";
    assert_eq!(
        taken_from_the_root(&code(text)),
        BTreeSet::from(["Error", "gpu", "nn", "batch", "config"])
    );
}

/// The diagram: a ▼ before the first module of every layer.
#[test]
fn the_layers_are_those_of_the_document() {
    let text = read("ARCHITECTURE.md");
    let diagram = text.split("```").nth(1).unwrap();
    let mut layers: Vec<Vec<&str>> = Vec::new();
    for line in diagram.lines() {
        if let Some(module) = line.strip_prefix(" ▼ ") {
            layers.push(vec![first_name(module)]);
        } else if let Some(module) = line.strip_prefix("   ").filter(|line| !line.starts_with(' '))
        {
            layers.last_mut().unwrap().push(first_name(module));
        }
    }
    assert_eq!(layers, LAYERS.map(<[&str]>::to_vec));
}

/// Kernels that compute the same as others, faster somewhere, and the operation, which is what
/// their reference is called.
const VARIANTS: [(&str, &str); 4] = [
    ("convolution_cooperative", "convolution"),
    ("convolution_tiled", "convolution"),
    ("convolution_input_gradient_narrow", "convolution_input_gradient"),
    ("convolution_weight_gradient_tiled", "convolution_weight_gradient"),
];

/// References that are no kernel's: whole networks, and the way between arrays and layouts.
const NO_KERNELS: [&str; 3] = ["integer_network", "layout", "network"];

/// The files of `folder` that end in `extension`, without it.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    let paths = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|own| own == extension));
    paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_string()).collect()
}

#[test]
fn every_kernel_has_a_reference() {
    let (kernels, shared, mut references) =
        (stems("shaders", "wgsl"), stems("shaders/common", "wgsl"), stems("src/reference", "rs"));
    assert!(references.remove("mod") && kernels.len() > 60);
    let operation = |kernel: &str| {
        VARIANTS
            .iter()
            .find(|variant| variant.0 == kernel)
            .map_or(kernel.to_string(), |own| own.1.into())
    };
    let operations: BTreeSet<_> = kernels.iter().map(|kernel| operation(kernel)).collect();
    assert_eq!(
        operations.difference(&references).collect::<Vec<_>>(),
        [""; 0],
        "kernels without a reference"
    );
    for (variant, operation) in VARIANTS {
        assert!(
            kernels.contains(variant) && !references.contains(variant),
            "{variant} is no variant of {operation}"
        );
    }
    let left: Vec<_> = references
        .iter()
        .filter(|name| !operations.contains(*name) && !shared.contains(*name))
        .collect();
    assert_eq!(left, NO_KERNELS, "references without a kernel");
}

#[test]
fn unsafe_code_is_in_one_module() {
    assert!(
        read("src/lib.rs").contains("#![deny(unsafe_code)]")
            && read("src/main.rs").contains("#![forbid(unsafe_code)]")
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trusted = root.join("src/gpu/trusted.rs");
    for path in sources(&root.join("src")) {
        // A word of Content-Security-Policy is no code.
        let text = fs::read_to_string(&path).unwrap().replace("'unsafe-inline'", "");
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // The keyword, and whatever would switch the lint off.
        let found = words.any(|word| word == "unsafe" || word == "unsafe_code");
        let expected =
            path == trusted || path == root.join("src/lib.rs") || path == root.join("src/main.rs");
        assert!(!found || expected, "{}: unsafe code", path.display());
    }
    let text = fs::read_to_string(&trusted).unwrap();
    assert!(text.lines().count() < 100, "keep it small");
    assert_eq!(text.matches("unsafe {").count(), text.matches("// SAFETY: ").count());
}

#[test]
fn the_oldest_compiler_that_is_promised_is_the_one_that_is_checked() {
    let manifest = read("Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = "))
        .unwrap()
        .trim_matches('"');
    let workflow = read(".github/workflows/ci.yml");
    assert!(
        workflow.contains(&format!("rustup toolchain install {version}")),
        "{version} is not checked"
    );
    assert!(workflow.contains(&format!("cargo +{version} check --locked --all-targets")));
}

/// `make test` names modules of tests: a name without a module would run none, in silence.
#[test]
fn tests_that_run_on_a_second_device_are_there() {
    let makefile = read("Makefile").replace("\\\n", " ");
    let list = makefile.lines().find_map(|line| line.strip_prefix("DEVICE_TESTS = ")).unwrap();
    let modules = &stems("tests/library", "rs") | &stems("tests/program", "rs");
    let missing: Vec<_> = list.split_whitespace().filter(|name| !modules.contains(*name)).collect();
    assert_eq!(missing, [""; 0]);
}

/// Each fuzz target is in the table, has its program, and its seeds.
#[test]
fn fuzz_targets_are_complete() {
    let table = read("fuzz/targets.txt");
    let names: Vec<_> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    let manifest = read("fuzz/Cargo.toml");
    for name in &names {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
        assert!(
            read(&format!("fuzz/fuzz_targets/{name}.rs"))
                .contains(&format!("saliq_fuzz::{name}(bytes)")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), names.len());
}

/// Bits are listed by layers with weights: only what lowers a network counts those.
#[test]
fn facts_of_a_network_are_worked_out_in_its_graph() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&source) {
        let place = path.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
        let text = code(&fs::read_to_string(&path).unwrap());
        if place.starts_with("config/") || place == "graph/lower.rs" {
            continue;
        }
        for idiom in ["weighted += 1", ".layer_bits(", ".layers.get(index"] {
            assert!(!text.contains(idiom), "{place}: `{idiom}`; the graph knows it");
        }
    }
}
