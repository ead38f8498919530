//! Rules of this repository that the compiler and the lints do not check.

mod results;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The modules of src/, layer by layer from the top. A module uses only modules of lower layers.
/// The diagram in ARCHITECTURE.md is this list.
const LAYERS: [&[&str]; 21] = [
    &["cli"],
    &["check", "sweep"],
    &["bench", "logs", "study"],
    &["search"],
    &["judgement"],
    &["integer", "train"],
    &["metrics", "post_training", "saliency"],
    &["sgt"],
    &["nn"],
    &["batch"],
    &["kernels"],
    &["storage", "pipelines"],
    &["gpu"],
    &["shaders"],
    &["reference"],
    &["deploy"],
    &["model"],
    &["graph", "import", "layout", "report"],
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

/// `text` without comments and without the items behind `#[cfg(test)]`. Relies on rustfmt's
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

/// The names that `code` uses from the crate's root: the first name of every path that begins with
/// `crate::`, also in a group.
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
    // Names at the root that are not modules are re-exported by lib.rs from `error`.
    let taken = root.split(';').filter_map(|item| Some(item.split_once("use error::")?.1));
    let of_error: BTreeSet<_> = taken
        .flat_map(|names| names.trim_matches(['{', '}']).split(',').map(str::trim))
        .filter(|name| !name.is_empty())
        .collect();
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
        // A second way to refer to the root.
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
    let text = "use crate::{\n    Error,\n    gpu::{Buffer, Gpu},\n    nn::Network, // crate::sgt\n\
                };\n\
                // crate::train\n\
                fn f(x: crate::batch::Batch) {}\n\
                #[cfg(test)]\n\
                use crate::check;\n\
                #[cfg(test)]\nmod tests {\n    use crate::{cli};\n}\nuse crate::config;\n";
    assert_eq!(
        taken_from_the_root(&code(text)),
        BTreeSet::from(["Error", "gpu", "nn", "batch", "config"])
    );
}

/// Modules by their path, with their code: `["data", "idx"]`; a folder's `mod.rs` has the folder's.
type Modules = BTreeMap<Vec<String>, String>;

/// A path that a `use` imports, and its name afterwards.
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// The imports of the tree of a `use`: `a::{self, b as c}` is `a`, and `a::b` with the name `c`.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some((before, group)) = tree.split_once('{') else {
        let (path, renamed) = tree.split_once(" as ").map_or((tree, None), |(a, b)| (a, Some(b)));
        let mut path: Vec<_> = path.split("::").map(|part| part.trim().to_string()).collect();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = renamed.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_string);
        return vec![(path, name)];
    };
    let group = &group[..group.rfind('}').unwrap_or(group.len())];
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices().chain([(group.len(), ',')]) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    found.extend(leaves(&format!("{before}{}", group[start..at].trim())));
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The imports of `code`, and the rest of it. Relies on rustfmt: a `use` begins a line.
fn imports(code: &str) -> (Vec<Import>, String) {
    let (mut found, mut rest) = (Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let text = line.trim_start();
        let is_public = text.starts_with("pub");
        let visible = is_public.then(|| text.split_once(" use ")).flatten();
        let visible = visible.filter(|(before, _)| {
            *before == "pub" || before.starts_with("pub(") && before.ends_with(')')
        });
        let Some(tree) = text.strip_prefix("use ").or(visible.map(|(_, tree)| tree)) else {
            // The path of a visibility is not a use.
            let shown = text.strip_prefix("pub(in ").and_then(|shown| shown.split_once(')'));
            rest += shown.map_or(line, |(_, shown)| shown);
            rest.push('\n');
            continue;
        };
        let mut tree = tree.to_string();
        while !tree.contains(';') {
            tree += lines.next().expect("a `use` ends");
        }
        let tree = &tree[..tree.find(';').unwrap_or_default()];
        found.extend(leaves(tree).into_iter().map(|(path, name)| Import { path, name, is_public }));
    }
    (found, rest)
}

/// The words of `code` with the separators of a path: `super::idx::open`.
fn paths(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
        .map(|path| path.trim_end_matches(':'))
        .filter(|path| !path.starts_with(':'))
}

/// The absolute form of `path` in `module`; `None` if it leads to another crate.
fn from_root(modules: &Modules, module: &[String], path: &[String]) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let (base, rest) = match path.first()?.as_str() {
        "crate" => (&[][..], &path[1..]),
        "self" => (module, &path[1..]),
        "super" => (&module[..module.len().checked_sub(supers)?], &path[supers..]),
        child => {
            let child = [module, &[child.to_string()]].concat();
            (module, modules.contains_key(&child).then_some(path)?)
        }
    };
    Some([base, rest].concat())
}

/// The module that defines `path`, whichever modules re-export it.
fn home(
    modules: &Modules,
    imported: &BTreeMap<Vec<String>, Vec<Import>>,
    path: &[String],
) -> Vec<String> {
    let mut path = path.to_vec();
    // More re-exports than this form a circle.
    for _ in 0..8 {
        let length = (0..=path.len())
            .rev()
            .find(|&length| modules.contains_key(&path[..length]))
            .unwrap_or_default();
        let (module, rest) = path.split_at(length);
        let passed_on = rest.first().and_then(|name| {
            let import = imported.get(module)?.iter().find(|import| import.name == *name)?;
            from_root(modules, module, &import.path)
        });
        match passed_on {
            Some(next) => path = [&next[..], &rest[1..]].concat(),
            None => return module.to_vec(),
        }
    }
    path
}

/// For every folder, the modules in it that use one another in a circle. A folder inside counts as
/// one module, and so does the folder's own `mod.rs` (`mod`); a re-export alone does not tie it to
/// anything.
fn circles(modules: &Modules) -> BTreeSet<(String, Vec<String>)> {
    let read: BTreeMap<_, _> =
        modules.iter().map(|(module, code)| (module.clone(), imports(code))).collect();
    let (mut imported, mut rests) = (BTreeMap::new(), BTreeMap::new());
    for (module, (imports, rest)) in read {
        imported.insert(module.clone(), imports);
        rests.insert(module, rest);
    }
    let mut folders: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (module, rest) in &rests {
        let words: BTreeSet<_> = paths(rest).flat_map(|path| path.split("::")).collect();
        let used = imported[module]
            .iter()
            .filter(|import| !import.is_public || words.contains(import.name.as_str()))
            .map(|import| import.path.clone());
        let spelled = paths(rest)
            .filter(|path| path.contains("::"))
            .map(|path| path.split("::").map(str::to_string).collect::<Vec<_>>());
        for path in used.chain(spelled) {
            let Some(path) = from_root(modules, module, &path) else { continue };
            let other = home(modules, &imported, &path);
            let common = module.iter().zip(&other).take_while(|(own, other)| own == other).count();
            let part = |module: &[String]| module.get(common).cloned().unwrap_or("mod".into());
            let (from, to) = (part(module), part(&other));
            if from != to {
                let folder = folders.entry(module[..common].to_vec()).or_default();
                folder.entry(from).or_default().insert(to);
            }
        }
    }
    let mut found = BTreeSet::new();
    for (folder, uses) in &folders {
        let reached = |from: &String| {
            let (mut reached, mut waiting) = (BTreeSet::new(), vec![from]);
            while let Some(next) = waiting.pop() {
                let new = uses.get(next).into_iter().flatten();
                waiting.extend(new.filter(|other| reached.insert((*other).clone())));
            }
            reached
        };
        for module in uses.keys() {
            let others = reached(module);
            if others.contains(module) {
                let circle = others.into_iter().filter(|other| reached(other).contains(module));
                found.insert((folder.join("/"), circle.collect()));
            }
        }
    }
    found
}

#[test]
fn modules_are_in_no_circles() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = Modules::new();
    for path in sources(&source) {
        let place = path.strip_prefix(&source).unwrap().with_extension("");
        let mut place: Vec<String> =
            place.iter().map(|part| part.to_str().unwrap().into()).collect();
        if place[0] == "main" || place.iter().any(|part| part == "tests") {
            continue;
        }
        place.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
        modules.insert(place, code(&fs::read_to_string(&path).unwrap()));
    }
    let found = circles(&modules);
    assert!(found.is_empty(), "modules that use one another in a circle: {found:?}");
}

#[test]
fn circles_are_found_at_every_level() {
    let found = |files: &[(&str, &str)]| {
        let module = |path: &str| path.split_terminator('/').map(str::to_string).collect();
        let modules = files.iter().map(|(path, text)| (module(path), code(text)));
        let named = |(folder, circle): (String, Vec<String>)| (folder, circle.join(" "));
        circles(&modules.collect()).into_iter().map(named).collect::<Vec<_>>()
    };
    let circle = |folder: &str, modules: &str| vec![(folder.to_string(), modules.to_string())];
    let front = ("shop", "mod stock;\nmod till;\n\npub use stock::{Shelf, Stock};\n");
    // One direction, through the re-exports of the front; tests and comments may refer back.
    let till = ("shop/till", "use super::Stock;\n");
    let stock = (
        "shop/stock",
        "// super::till\n\
         pub(in crate::shop::till) struct Stock;\n\
         #[cfg(test)]\nmod tests {\n    use super::till;\n}\n",
    );
    assert_eq!(found(&[("", "pub mod shop;\n"), front, till, stock]), []);
    // The other direction too: by an import, and by a path in the code.
    for text in
        ["use std::fmt;\n\nuse super::{till::{self, Till}};\n", "fn f(_: super::till::Till) {}\n"]
    {
        assert_eq!(found(&[front, till, ("shop/stock", text)]), circle("shop", "stock till"));
    }
    // A front with an item of its own that lower modules use, while it uses them.
    let busy =
        ("shop", "mod stock;\nmod till;\n\npub use stock::Stock;\n\npub fn open(_: Stock) {}\n");
    assert_eq!(found(&[busy, till, stock]), []);
    let back = ("shop/stock", "use super::open;\n");
    assert_eq!(found(&[busy, till, back]), circle("shop", "mod stock"));
    // Files in no circle, inside folders that are in one.
    let folders = [
        ("shop/a/x", "use crate::shop::b::z::Z;\n"),
        ("shop/b/z", "pub(crate) use super::super::a::y::Y;\n\nfn f(_: Y) {}\n"),
        ("shop/a/y", "pub struct Y;\n"),
        ("shop/a", "mod x;\nmod y;\n"),
        ("shop/b", "mod z;\n"),
        ("shop", "mod a;\nmod b;\n"),
    ];
    assert_eq!(found(&folders), circle("shop", "a b"));
}

/// The names of types and traits that `code` declares.
fn declared_types(code: &str) -> BTreeSet<&str> {
    let kinds = ["struct ", "enum ", "union ", "trait "];
    let mut names = BTreeSet::new();
    for line in code.lines() {
        let line = line.trim_start();
        let line = match line.strip_prefix("pub") {
            Some(rest) if rest.starts_with(' ') => rest.trim_start(),
            Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or("", |own| own.1),
            _ => line,
        };
        if let Some(rest) = kinds.iter().find_map(|kind| line.strip_prefix(kind)) {
            names.insert(first_name(rest));
        }
    }
    names
}

/// `text` behind the `<…>` that it begins with.
fn behind_generics(text: &str) -> &str {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            // An arrow ends nothing.
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if letter == '>' { &text[at + 1..] } else { text };
        }
    }
    text
}

/// The `impl` blocks of `code`, each by the type that it is of, or by every name in its header
/// where it is a trait's.
fn impl_headers(code: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let starts = code.match_indices("impl").filter(|(at, word)| {
        let before = code[..*at].rsplit('\n').next().unwrap_or_default();
        before.trim().is_empty() && code[at + word.len()..].starts_with([' ', '<'])
    });
    for (at, word) in starts {
        let header = behind_generics(&code[at + word.len()..]);
        let header = &header[..header.find('{').unwrap_or(header.len())];
        let header = header.split(" where ").next().unwrap_or_default();
        let is_inherent = !header.contains(" for ");
        let of = if is_inherent { header.split('<').next().unwrap_or_default() } else { header };
        let paths = of.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let names = paths.filter_map(|path| path.rsplit("::").next());
        found.push(names.filter(|name| !name.is_empty()).collect());
    }
    found
}

/// The `impl` blocks of `files`, by name with their code, that stand away from their type.
fn strays(files: &BTreeMap<String, String>) -> Vec<String> {
    let declared: BTreeMap<_, _> =
        files.iter().map(|(file, code)| (file, declared_types(code))).collect();
    let own: BTreeSet<_> = declared.values().flatten().collect();
    let mut found = Vec::new();
    for (file, code) in files {
        for names in impl_headers(code) {
            let mut of_ours = names.iter().filter(|name| own.contains(name)).peekable();
            if of_ours.peek().is_some() && !of_ours.any(|name| declared[file].contains(name)) {
                found.push(format!("{file}: impl of {}", names.join(" ")));
            }
        }
    }
    found
}

/// What a type can do stands where the type does: an inherent `impl` in the file that declares the
/// type; a trait's in the file of the type, of the trait, or of another type in its header (`impl
/// From<Mine> for Theirs` beside `Mine`). What other files would add is a function of theirs.
#[test]
fn impl_blocks_stand_with_their_type() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&source).into_iter().map(|path| {
        let text = code(&fs::read_to_string(&path).unwrap());
        (path.strip_prefix(&source).unwrap().display().to_string(), text)
    });
    assert_eq!(strays(&files.collect()), [""; 0]);
}

#[test]
fn strays_are_found() {
    let shelf = "pub struct Shelf<'a>(&'a u8);\n\nimpl<'a> Shelf<'a> {}\n\n\
                 impl fmt::Display for Shelf<'_> {}\n";
    let found = |till: &str| {
        let files = [("shelf", shelf), ("till", till)];
        strays(&files.map(|(file, text)| (file.to_string(), code(text))).into())
    };
    // Own types, own traits and arguments of foreign traits; tests may do as they like.
    for text in [
        "pub(in crate::shop) enum Till {}\nimpl<T: Fn() -> u8> Till<T>\nwhere\n    T: Copy,\n{}\n",
        "trait Sold {}\nimpl Sold for super::Shelf<'_> {}\nimpl Sold for u8 {}\n",
        "struct Till;\nimpl From<&Till> for Shelf<'_> {}\n",
        "fn f() -> impl Fn(Shelf) {}\nimpl fmt::Display for u8 {}\n",
        "#[cfg(test)]\nmod tests {\n    impl Shelf<'_> {}\n}\n",
    ] {
        assert_eq!(found(text), [""; 0], "{text}");
    }
    for text in [
        "impl Shelf<'_> {}\n",
        "impl<'a> super::Shelf<'a> {\n    fn f() {}\n}\n",
        "struct Till;\nmod inner {\n    impl Shelf<'static> {}\n}\n",
        // The argument does not make it the till's.
        "struct Till;\nimpl Shelf<Till> {}\n",
        "impl std::str::FromStr for Shelf<'_> {}\n",
    ] {
        assert_eq!(found(text).len(), 1, "{text}");
    }
}

/// Files whose texts have flags in them though they are of the library: command lines that a file
/// tells its reader to run, whole as they are typed. The comment at the head of a run's
/// `config.toml`, and the commands in the study's report.
const WITH_COMMAND_LINES: [&str; 2] = ["config/run.rs", "study/report.rs"];

/// The flags that `code` names: two dashes are no operator of Rust, so they stand in a text.
fn flags(code: &str) -> Vec<&str> {
    let begins = |(at, dashes): &(usize, &str)| {
        let behind = &code[at + dashes.len()..];
        !code[..*at].ends_with('-')
            && behind.starts_with(|c: char| c.is_ascii_lowercase() || c == '{')
    };
    let starts = code.match_indices("--").filter(begins);
    starts
        .map(|(at, dashes)| &code[at..at + dashes.len() + first_name(&code[at + 2..]).len()])
        .collect()
}

/// What is set by which flag is the command line's business: the library's errors name settings
/// ([`saliq::Phrase`]), and `cli` says the flags.
#[test]
fn flags_are_named_by_the_command_line_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut with_command_lines = BTreeSet::new();
    for path in sources(&source) {
        let place = path.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
        let text = code(&fs::read_to_string(&path).unwrap());
        let found = flags(&text);
        let is_program = ["cli/", "bin/"].iter().any(|own| place.starts_with(own));
        if found.is_empty() || is_program || place.contains("/tests") {
            continue;
        }
        assert!(WITH_COMMAND_LINES.contains(&place.as_str()), "{place}: {found:?}");
        with_command_lines.insert(place);
    }
    assert_eq!(with_command_lines, WITH_COMMAND_LINES.map(String::from).into());
}

#[test]
fn flags_are_found_in_texts_alone() {
    let text = "/// As --bits.\nfn f() -> i32 { 1 - -1 }\n\
                const A: &str = \"lower --batch-size\";\nconst B: &str = \"--{flag}: no\";\n\
                const C: &str = \"a -- b, ---rule, -v\"; // --lr\n";
    assert_eq!(flags(&code(text)), ["--batch", "--"]);
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

/// Kernels that compute the same as another kernel, faster in some cases, and the operation, whose
/// name the reference has.
const VARIANTS: [(&str, &str); 5] = [
    ("convolution_cooperative", "convolution"),
    ("convolution_tiled", "convolution"),
    ("convolution_input_gradient_narrow", "convolution_input_gradient"),
    // Integer inference with sums in floats, or with two sums in a word.
    ("convolution_requantized", "integer_convolution"),
    ("convolution_weight_gradient_tiled", "convolution_weight_gradient"),
];

/// References without a kernel: whole networks, and the conversion between arrays and layouts.
const NO_KERNELS: [&str; 3] = ["integer_network", "layout", "network"];

/// The names of the files in `folder` with `extension`, without it.
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

/// A launcher has the name of its kernel.
#[test]
fn every_kernel_has_a_launcher() {
    let (kernels, mut launchers) = (stems("shaders", "wgsl"), stems("src/kernels", "rs"));
    assert!(launchers.remove("mod"));
    let without: Vec<_> = kernels.difference(&launchers).collect();
    assert_eq!(without, [""; 0], "kernels without a launcher");
    let others: Vec<_> = launchers.difference(&kernels).collect();
    assert_eq!(others, [""; 0], "launchers without a kernel");
}

/// Largest number of columns in a line of Rust, WGSL or Markdown.
const COLUMNS: usize = 100;

/// The files below `folder` whose lines are counted, by their paths in the repository.
fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().unwrap_or_default().to_str().unwrap();
        if path.is_dir() {
            texts(&path, found);
        } else if ["js", "md", "mjs", "rs", "wgsl"].contains(&extension) {
            found.push(path);
        }
    }
}

#[test]
fn lines_are_not_too_long() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        "assets",
        "benches",
        "docs",
        "examples",
        "fuzz/fuzz_targets",
        "fuzz/src",
        "shaders",
        "src",
        "tests",
        "web/bind/src",
        "web/page",
        "web/src",
        "web/test",
    ];
    let documents = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md"];
    let mut paths: Vec<_> = documents.iter().map(|name| root.join(name)).collect();
    for folder in folders {
        texts(&root.join(folder), &mut paths);
    }
    let mut long = Vec::new();
    for path in paths {
        let place = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().enumerate().filter(|(_, line)| line.chars().count() > COLUMNS);
        long.extend(lines.map(|(index, _)| format!("{place}:{}", index + 1)));
    }
    assert_eq!(long, [""; 0], "lines of more than {COLUMNS} columns");
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
        // A word of the Content-Security-Policy, which is not code.
        let text = fs::read_to_string(&path).unwrap().replace("'unsafe-inline'", "");
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        // The keyword, and attributes that would switch the lint off.
        let found = words.any(|word| word == "unsafe" || word == "unsafe_code");
        let expected = path == trusted
            || ["src/lib.rs", "src/main.rs", "src/bin/saliq-check.rs"]
                .iter()
                .any(|own| path == root.join(own));
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

/// Builds with `--locked` refuse a lock file that has another version of the library.
#[test]
fn every_lock_file_has_the_version_of_the_library() {
    let own = format!("name = \"saliq\"\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    for path in ["Cargo.lock", "fuzz/Cargo.lock", "web/Cargo.lock"] {
        assert!(read(path).contains(&own), "{path}: `cargo update --workspace` in its folder");
    }
}

/// `make test` names modules of tests; a name without a module would silently run no test.
#[test]
fn tests_that_run_on_a_second_device_are_there() {
    let makefile = read("Makefile").replace("\\\n", " ");
    for (list, folder) in
        [("DEVICE_TESTS = ", "tests/library"), ("PROGRAM_TESTS = ", "tests/program")]
    {
        let list = makefile.lines().find_map(|line| line.strip_prefix(list)).unwrap();
        let modules = stems(folder, "rs");
        let missing: Vec<_> =
            list.split_whitespace().filter(|name| !modules.contains(*name)).collect();
        assert_eq!(missing, [""; 0]);
    }
}

/// Each fuzz target is in the table, has a program and is run every week.
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
    let workflow = read(".github/workflows/fuzz.yml");
    let weekly: Vec<_> =
        workflow.lines().filter_map(|line| line.strip_prefix("          - ")).collect();
    assert_eq!(weekly, names);
}

/// What a trial run leaves in the root is committed by mistake, and published with the package.
#[test]
fn the_root_has_no_leftovers() {
    const FOLDERS: [&str; 11] = [
        "assets",
        "benches",
        "docs",
        "examples",
        "fuzz",
        "packaging",
        "python",
        "shaders",
        "src",
        "tests",
        "web",
    ];
    const FILES: [&str; 13] = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "Containerfile",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "Makefile",
        "README.md",
        "SECURITY.md",
        "rustfmt.toml",
    ];
    const MORE: [&str; 3] = ["action.yml", "deny.toml", "pyproject.toml"];
    let ignored = read(".gitignore");
    let left: Vec<_> = fs::read_dir(env!("CARGO_MANIFEST_DIR"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !ignored.lines().any(|line| line[1..] == *name))
        .filter(|name| ![&FOLDERS[..], &FILES, &MORE].concat().contains(&name.as_str()))
        .collect();
    assert!(left.is_empty(), "{left:?}: no part of the project; to be removed, or listed here");
}

/// Bits are listed by layers with weights; only the code that lowers a network may count these
/// layers.
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

/// The library without the program has no dependency for the command line, downloads or charts.
#[test]
fn the_library_has_no_dependencies_of_the_program() {
    let tree = |features: &str| {
        let arguments = ["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none"];
        let output = std::process::Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .args(["--no-default-features", "--features", features])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let names = |text: &str| -> BTreeSet<String> {
        text.lines().filter_map(|line| Some(line.split(' ').next()?.to_string())).collect()
    };
    let (library, program) = (names(&tree("gpu")), names(&tree("cli")));
    for name in ["clap", "ureq", "plotters", "indicatif", "signal-hook", "maud", "comfy-table"] {
        assert!(program.contains(name), "{name} is of the program");
        assert!(!library.contains(name), "{name} is not of the library");
    }
    assert!(library.contains("wgpu") && !names(&tree("check")).contains("wgpu"));
}

/// The address of the repository is a choice of Cargo.toml; whoever changes it there is told where
/// else it stands.
#[test]
fn the_repository_has_one_address() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let home = manifest["package"]["repository"].as_str().unwrap();
    let place = home.strip_prefix("https://github.com/").unwrap();
    let (owner, name) = place.split_once('/').unwrap();
    let pages = format!("{owner}.github.io/{name}");
    let tap = format!("brew install {owner}/tap/{name}");
    for (file, expected) in [
        (".github/ISSUE_TEMPLATE/config.yml", home),
        ("CITATION.cff", home),
        ("SECURITY.md", place),
        ("docs/book/book.toml", home),
        ("docs/book/install.md", place),
        ("docs/book/install.md", &tap),
        ("docs/browser.md", &pages),
        ("docs/shader-ci.md", home),
        ("docs/shader-ci.md", place),
    ] {
        let text = read(file);
        assert!(text.contains(expected), "{file}: no {expected}");
        assert!(!text.contains("OWNER"), "{file}: an address that nobody has filled in");
    }
}

/// The dependencies that the library has with `features`, by the manifest.
fn dependencies(manifest: &toml::Table, features: &[&str]) -> BTreeSet<String> {
    let of_target = manifest["target"].as_table().unwrap().values();
    let tables = of_target.map(|own| &own["dependencies"]).chain([&manifest["dependencies"]]);
    let is_optional = |value: &toml::Value| {
        value.get("optional").and_then(toml::Value::as_bool).unwrap_or_default()
    };
    let all = tables.flat_map(|own| own.as_table().unwrap());
    let mut found: BTreeSet<String> =
        all.filter(|(_, value)| !is_optional(value)).map(|(name, _)| name.clone()).collect();
    let mut open: Vec<&str> = features.to_vec();
    while let Some(feature) = open.pop() {
        match (feature.strip_prefix("dep:"), feature.contains('/')) {
            (Some(name), _) => _ = found.insert(name.into()),
            (None, true) => {}
            (None, false) => {
                let list = manifest["features"][feature].as_array().unwrap();
                open.extend(list.iter().map(|own| own.as_str().unwrap()));
            }
        }
    }
    found
}

/// Builds in `fuzz` and `web` have lock files of their own, and fail with `--locked` if these lag
/// behind.
#[test]
fn other_lock_files_know_the_library() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    for (folder, features) in [("fuzz", &["default"][..]), ("web", &["gpu", "check"])] {
        let lock: toml::Table = read(&format!("{folder}/Cargo.lock")).parse().unwrap();
        let packages = lock["package"].as_array().unwrap();
        let own = packages.iter().find(|own| own["name"].as_str() == Some("saliq")).unwrap();
        let update = format!("cargo update --workspace --manifest-path {folder}/Cargo.toml");
        assert_eq!(own["version"], manifest["package"]["version"], "{update}");
        let listed = own["dependencies"].as_array().unwrap().iter();
        // A name has a version behind it where there are several.
        let listed: BTreeSet<String> =
            listed.map(|own| own.as_str().unwrap().split(' ').next().unwrap().into()).collect();
        assert_eq!(listed, dependencies(&manifest, features), "{update}");
    }
}
