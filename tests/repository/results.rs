//! Pages of docs/results say which commit made their figures, and which code has changed since.
//! `SALIQ_WRITE_RESULTS=1` writes what has changed into the pages, and the hashes of the code into
//! a page that has none, as `benches/results.sh` leaves it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{COLUMNS, code, read, stems};

/// The sources of each page.
const LIST: &str = "benches/results.txt";
const SCRIPT: &str = "benches/results.sh";
const WRITE: &str = "SALIQ_WRITE_RESULTS";
const HEADING: &str = "\n## How this page was made\n\n";
/// Begins the list of hashes, which a browser does not show.
const HASHES: &str = "<!-- sources\n";

/// The rows of [`LIST`]: pages by name, with their sources.
fn listed() -> BTreeMap<String, Vec<String>> {
    let text = read(LIST);
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let mut rows: BTreeMap<String, Vec<String>> = rows
        .map(|line| {
            let (name, paths) = line.split_once(": ").unwrap_or_else(|| panic!("{LIST}: {line}"));
            (name.to_string(), paths.split(' ').map(String::from).collect())
        })
        .collect();
    let common = rows.remove("every").unwrap();
    for paths in rows.values_mut() {
        paths.extend(common.iter().cloned());
        paths.sort();
    }
    rows
}

/// FNV-1a of 64 bits, which tells texts apart that nobody makes equal on purpose.
fn hash(text: &str, hash: u64) -> u64 {
    text.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Every file at or below `path`, by its path in the repository, but for modules of tests.
fn files(root: &Path, path: &str, found: &mut BTreeSet<String>) {
    let place = root.join(path);
    if place.is_dir() {
        for entry in fs::read_dir(place).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name != "tests" && name != "tests.rs" {
                files(root, &format!("{path}/{name}"), found);
            }
        }
    } else if place.is_file() {
        found.insert(path.into());
    }
}

/// A hash of the code at `path`. Comments, tests, blanks at the ends of lines and line ends do not
/// count.
fn hash_of(root: &Path, path: &str) -> String {
    let mut found = BTreeSet::new();
    files(root, path, &mut found);
    let all = found.iter().fold(0xcbf2_9ce4_8422_2325, |all, file| {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let is_code = [".rs", ".wgsl"].iter().any(|extension| file.ends_with(extension));
        let text = if is_code { code(&text) } else { text };
        let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        lines.fold(hash(file, all), |all, line| hash("\n", hash(line, all)))
    });
    format!("{all:016x}")
}

/// The end of a page, from [`HEADING`] on.
#[derive(Debug, PartialEq)]
struct Made {
    /// `Commit`, `Date`, `Machine`, `Command` and what has changed, with their texts.
    items: Vec<(String, String)>,
    /// Hashes by path.
    hashes: BTreeMap<String, String>,
}

const CHANGED: &str = "Changed since";

impl Made {
    fn parse(text: &str) -> Option<Made> {
        let (_, end) = text.split_once(HEADING)?;
        let (items, hashes) = end.split_once(HASHES).unwrap_or((end, ""));
        let items = items.trim().replace("\n  ", " ");
        let items = items.lines().map(|line| {
            let (name, text) = line.strip_prefix("- ")?.split_once(": ")?;
            Some((name.to_string(), text.to_string()))
        });
        let hashes = hashes.lines().filter_map(|line| line.split_once(' '));
        let hashes = hashes.map(|(path, hash)| (path.to_string(), hash.to_string()));
        Some(Made { items: items.collect::<Option<_>>()?, hashes: hashes.collect() })
    }

    fn get(&self, name: &str) -> &str {
        self.items.iter().find(|(own, _)| own == name).map_or("", |(_, text)| text)
    }

    fn set(&mut self, name: &str, text: String) {
        match self.items.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = text,
            None => self.items.push((name.into(), text)),
        }
    }

    /// What a page ends with.
    fn text(&self) -> String {
        let mut text = String::from(HEADING);
        for (name, words) in &self.items {
            let mut line = format!("- {name}:");
            for word in words.split(' ') {
                if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                    text += &line;
                    text.push('\n');
                    line = String::from(" ");
                }
                line.push(' ');
                line += word;
            }
            text += &line;
            text.push('\n');
        }
        text.push('\n');
        text += HASHES;
        for (path, hash) in &self.hashes {
            text += &format!("{path} {hash}\n");
        }
        text + "-->\n"
    }
}

/// What `Changed since` says.
fn change(paths: &[&String]) -> String {
    match paths {
        [] => "nothing that the figures depend on".into(),
        _ => {
            let paths: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
            format!("{}; figures may differ today", paths.join(", "))
        }
    }
}

/// What is wrong with the page `name`; with `write`, what can be written is mended in the file.
fn mistake(
    name: &str,
    sources: &[String],
    hashes: &BTreeMap<String, String>,
    write: bool,
) -> Option<String> {
    let place = format!("docs/results/{name}.md");
    let page = read(&place).replace("\r\n", "\n");
    let command = format!("`{SCRIPT} {name}`");
    let Some(mut made) = Made::parse(&page) else {
        return Some(format!(
            "{place} does not end with{}: `{SCRIPT} --made {name}` writes it",
            HEADING.trim_end()
        ));
    };
    let is_commit = |word: &str| {
        word.len() >= 7
            && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let named = made.get("Commit").split([' ', ',']).any(is_commit)
        && made.get("Date").starts_with("20")
        && !made.get("Machine").is_empty()
        && made.get("Command").contains(&command);
    if !named {
        return Some(format!(
            "{place}: Commit, Date, Machine or Command ({command}) is missing; `{SCRIPT} --made \
             {name}` writes them"
        ));
    }
    let own: BTreeMap<String, String> =
        sources.iter().map(|path| (path.clone(), hashes[path].clone())).collect();
    if made.hashes.is_empty() {
        if !write {
            return Some(format!(
                "{place} has no hashes of its sources: `{WRITE}=1 cargo test --test repository \
                 results` writes them"
            ));
        }
        made.hashes.clone_from(&own);
    }
    let changed: Vec<&String> =
        sources.iter().filter(|path| made.hashes.get(*path) != own.get(*path)).collect();
    let said = change(&changed);
    if made.get(CHANGED) != said || made.hashes.len() != own.len() {
        let (before, _) = page.split_once(HEADING)?;
        if write {
            // A path that is no longer listed has no hash; a new one has changed.
            made.hashes.retain(|path, _| own.contains_key(path));
            for path in sources {
                made.hashes.entry(path.clone()).or_insert_with(|| "unknown".into());
            }
            made.set(CHANGED, said);
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            fs::write(root.join(&place), format!("{before}{}", made.text())).unwrap();
            return None;
        }
        return Some(format!(
            "{place} was made with {}; changed since: {said}. `{SCRIPT} {name}` repeats it, \
             `{WRITE}=1 cargo test --test repository results` says so in the page",
            made.get("Commit")
        ));
    }
    None
}

#[test]
fn pages_say_whether_the_code_has_changed_since() {
    let (listed, root) = (listed(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let row = |name: &str| if name.starts_with("gpu-") { "gpu".into() } else { name.to_string() };
    let pages = stems("docs/results", "md");
    let rows: BTreeSet<String> = pages.iter().map(|name| row(name)).collect();
    // Pages of a GPU are there once somebody has had one.
    let missing: Vec<_> =
        listed.keys().filter(|&name| name != "gpu" && !rows.contains(name)).collect();
    assert_eq!(missing, [""; 0], "{LIST}: rows without a page");
    let hashes: BTreeMap<String, String> = listed
        .values()
        .flatten()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|path| (path.clone(), hash_of(root, path)))
        .collect();
    let empty = hash_of(root, "no such path");
    let gone: Vec<_> = hashes.iter().filter(|(_, hash)| **hash == empty).collect();
    assert!(gone.is_empty(), "{LIST}: nothing is at {gone:?}");
    let write = std::env::var_os(WRITE).is_some();
    let mistakes: Vec<String> = pages
        .iter()
        .filter_map(|name| match listed.get(&row(name)) {
            Some(sources) => mistake(name, sources, &hashes, write),
            None => Some(format!("docs/results/{name}.md has no row in {LIST}")),
        })
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// Every page has a function that repeats it, and no function is left over.
#[test]
fn every_page_can_be_repeated() {
    let script = read(SCRIPT);
    let functions: BTreeSet<String> = script
        .lines()
        .filter_map(|line| line.strip_prefix("page_")?.strip_suffix("() {"))
        .map(|name| name.replace('_', "-"))
        .collect();
    assert_eq!(functions, listed().into_keys().collect());
}

#[test]
fn comments_and_line_ends_are_no_code() {
    let folder = std::env::temp_dir().join(format!("saliq-results-{}", std::process::id()));
    let of = |text: &str| {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("one.rs"), text).unwrap();
        hash_of(&folder, "one.rs")
    };
    let before = of("// Why.\nfn f() {}\n");
    let after = of("fn f() {} // Because.\r\n\r\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\r\n");
    let other = of("fn f() { g() }\n");
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(before, after);
    assert_ne!(before, other);
}

#[test]
fn what_is_written_is_read_again() {
    let long = (0..30).map(|number| format!("`src/m{number}`")).collect::<Vec<_>>().join(", ");
    let made = Made {
        items: [("Commit", "f7b720b"), ("Machine", "two cores"), (CHANGED, &long)]
            .map(|(name, text)| (name.to_string(), text.to_string()))
            .into(),
        hashes: [("src/m1".to_string(), "0".repeat(16))].into(),
    };
    let text = made.text();
    assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    assert_eq!(Made::parse(&format!("# Page\n{text}")), Some(made));
    assert_eq!(Made::parse("# Page\n\nNothing.\n"), None);
}
