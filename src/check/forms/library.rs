//! The files that shaders import: found by path, by package and by `#define_import_path`, and read
//! once each.

use super::lines::directive;
use super::texts::Text;
use crate::check::read::read_bounded;
use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Most folders and files that are looked at outside the paths given.
const MAX_LOOKED_AT: usize = 20_000;
/// Deepest folder that is looked at there.
const MAX_DEPTH: usize = 16;

/// Where imports are looked for.
#[derive(Debug, Default)]
pub(in crate::check) struct Library {
    /// The folders given; `package::` is one of them or a folder between it and the file.
    bases: Vec<PathBuf>,
    /// The shader files that are checked.
    files: Vec<PathBuf>,
    /// `--package NAME=DIR`.
    packages: Vec<(String, PathBuf)>,
    texts: Mutex<HashMap<PathBuf, Result<Arc<Text>, String>>>,
    near: OnceLock<Index>,
    far: OnceLock<Index>,
    roots: Mutex<HashMap<PathBuf, Option<Arc<Package>>>>,
    /// Packages of Cargo's registry by name.
    registry: Mutex<HashMap<String, Arc<Index>>>,
}

/// Files and folders by name.
#[derive(Debug, Default)]
struct Index {
    /// By `#define_import_path`.
    modules: HashMap<String, Vec<PathBuf>>,
    /// Files by name.
    names: HashMap<String, Vec<PathBuf>>,
    /// Folders by name, with `_` for `-`.
    folders: HashMap<String, Vec<PathBuf>>,
}

/// A package with a `wesl.toml`.
#[derive(Debug)]
struct Package {
    root: PathBuf,
    dependencies: Vec<(String, PathBuf)>,
}

impl Library {
    pub(in crate::check) fn new(
        bases: Vec<PathBuf>,
        mut files: Vec<PathBuf>,
        packages: Vec<(String, PathBuf)>,
    ) -> Self {
        for (_, folder) in &packages {
            shader_files(folder, 0, &mut files, &mut 0);
        }
        Library { bases, files, packages, ..Library::default() }
    }

    /// A text that is known already.
    pub(in crate::check) fn insert(&self, text: Arc<Text>) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.insert(text.path.clone(), Ok(text));
    }

    /// The text of a file.
    pub(in crate::check) fn read(&self, path: &Path) -> Result<Arc<Text>, String> {
        let texts = || self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = texts().get(path) {
            return known.clone();
        }
        let text = read_bounded(path).map(|text| Arc::new(Text::new(path, text)));
        texts().entry(path.to_path_buf()).or_insert(text).clone()
    }

    /// The module that has a `#define_import_path`: of several the one nearest to `from`.
    pub(super) fn defined(&self, from: &Path, path: &str) -> Option<PathBuf> {
        let shared = |file: &PathBuf| {
            file.components().zip(from.components()).take_while(|(a, b)| a == b).count()
        };
        let find = |index: &Index| {
            let all = index.modules.get(path)?;
            all.iter().rev().max_by_key(|file| shared(file)).cloned()
        };
        let found = find(self.near()).or_else(|| find(self.far()));
        found.or_else(|| find(&*self.registered(from, path.split("::").next()?)?))
    }

    /// The shaders of a crate in Cargo's registry: of the version that the nearest `Cargo.lock`
    /// names, or the newest.
    fn registered(&self, from: &Path, name: &str) -> Option<Arc<Index>> {
        let is_crate =
            name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_crate {
            return None;
        }
        let known = || self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known().get(name) {
            return Some(index.clone());
        }
        let mut files = Vec::new();
        if let Some(folder) = registry_folder(from, name) {
            shader_files(&folder, 0, &mut files, &mut 0);
        }
        let index = Arc::new(self.index(&files));
        known().insert(name.to_owned(), index.clone());
        Some(index)
    }

    /// The file that `#include "path"` or `#import <path>` of a file means.
    pub(super) fn included(&self, from: &Path, path: &str) -> Option<PathBuf> {
        // `embedded://crate/path` and `package://path`.
        let path = path.rsplit("://").next().unwrap_or(path).trim_start_matches("./");
        let path = Path::new(path);
        let is_plain =
            |part: Component| matches!(part, Component::Normal(_) | Component::ParentDir);
        if !path.components().all(is_plain) || !is_shader_name(path) {
            return None;
        }
        let up = self.between(from).into_iter().map(|folder| normal(&folder.join(path)));
        let near = from.parent().map(|folder| normal(&folder.join(path)));
        near.into_iter().chain(up).find(|file| file.is_file()).or_else(|| {
            let plain: PathBuf =
                path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
            let name = plain.file_name()?.to_str()?;
            let ending = |index: &Index| {
                let all = index.names.get(name)?;
                all.iter().find(|file| file.ends_with(&plain)).cloned()
            };
            ending(self.near()).or_else(|| ending(self.far()))
        })
    }

    /// The file `name.wgsl` that `#import name` means: beside the file, in a folder beside it, or
    /// the only one of this name.
    pub(super) fn shared(&self, from: &Path, name: &str) -> Option<PathBuf> {
        let file = format!("{name}.wgsl");
        if let Some(found) = self.included(from, &format!("shared/{file}")) {
            return Some(found);
        }
        self.included(from, &file)
    }

    /// The file of the module `path` of WESL, as seen from the file `from`; or why there is none.
    pub(super) fn module(&self, from: &Path, path: &[String]) -> Result<PathBuf, String> {
        let (first, rest) = path.split_first().ok_or("an empty path")?;
        let folder = from.parent().unwrap_or(Path::new(""));
        let missing = |what: String| Err(what);
        match first.as_str() {
            "package" => {
                let find =
                    |roots: Vec<PathBuf>| roots.iter().find_map(|root| module_file(root, rest));
                let found = find(self.roots(from)).or_else(|| find(folders_above(from)));
                found.map_or_else(
                    || {
                        let base = self.base(from).unwrap_or(folder).display();
                        missing(format!(
                            "no such file below {base}, nor above it; `package::` is the folder \
                             given"
                        ))
                    },
                    Ok,
                )
            }
            "super" | "self" => {
                let mut at = if first == "self" { from.with_extension("") } else { folder.into() };
                let supers = rest.iter().take_while(|part| *part == "super").count();
                for _ in 0..supers {
                    if self.bases.contains(&at) || !at.pop() {
                        return missing("`super` goes out of the folder given".into());
                    }
                }
                let found = module_file(&at, &rest[supers..]);
                found.map_or_else(|| missing(format!("no such file in {}", at.display())), Ok)
            }
            name => {
                let folders = self.package(from, name);
                let roots = folders.iter().flat_map(|folder| package_roots(folder));
                let found = roots.into_iter().find_map(|root| module_file(&root, rest));
                found.map_or_else(
                    || {
                        missing(match folders.first() {
                            // A module that this program's own linker adds.
                            None if name == "kinds" => "saliq's own kernels get it when they are \
                                 linked: check those with `saliq check` without a path"
                                .to_owned(),
                            None => format!(
                                "no package {name}: no folder of that name among the paths given; \
                                 give its folder (package {name}=DIR)"
                            ),
                            Some(folder) => format!("no such file in {}", folder.display()),
                        })
                    },
                    Ok,
                )
            }
        }
    }

    /// Folders of package `name`, the surest first.
    fn package(&self, from: &Path, name: &str) -> Vec<PathBuf> {
        let is_same = |other: &str| other.replace('-', "_") == name.replace('-', "_");
        let given = self.packages.iter().filter(|(own, _)| is_same(own));
        let mut folders: Vec<PathBuf> = given.map(|(_, folder)| folder.clone()).collect();
        if let Some(package) = self.manifest(from) {
            let named = package.dependencies.iter().filter(|(own, _)| is_same(own));
            folders.extend(named.map(|(_, folder)| folder.clone()));
        }
        let key = name.replace('-', "_");
        if folders.is_empty() {
            folders.extend(self.near().folders.get(&key).cloned().unwrap_or_default());
        }
        if folders.is_empty() {
            folders.extend(self.far().folders.get(&key).cloned().unwrap_or_default());
        }
        if folders.is_empty() {
            folders.extend(registry_folder(from, &key));
        }
        folders
    }

    fn base(&self, file: &Path) -> Option<&Path> {
        let bases = self.bases.iter().chain(self.packages.iter().map(|(_, folder)| folder));
        let around = bases.filter(|base| file.starts_with(base) || base.as_os_str() == ".");
        around.min_by_key(|base| base.components().count()).map(PathBuf::as_path)
    }

    /// Folders from the base of a file to the file, the outermost first.
    fn between(&self, file: &Path) -> Vec<PathBuf> {
        let Some(base) = self.base(file) else { return Vec::new() };
        let ancestors = file.ancestors().skip(1);
        let mut all: Vec<PathBuf> = ancestors
            .take_while(|folder| folder.starts_with(base))
            .map(Path::to_path_buf)
            .collect();
        if all.is_empty() {
            all.push(base.to_path_buf());
        }
        all.reverse();
        all
    }

    /// Folders that `package::` may mean.
    fn roots(&self, file: &Path) -> Vec<PathBuf> {
        let mut roots = Vec::new();
        if let Some(package) = self.manifest(file) {
            roots.push(package.root.clone());
        }
        let between = self.between(file);
        // The sources of a crate.
        let is_crate = |folder: &&PathBuf| {
            folder.file_name().is_some_and(|name| name == "src")
                && folder.parent().is_some_and(|parent| parent.join("Cargo.toml").is_file())
        };
        roots.extend(between.iter().rev().find(is_crate).cloned());
        roots.extend(between);
        roots
    }

    /// The nearest `wesl.toml` above a file.
    fn manifest(&self, file: &Path) -> Option<Arc<Package>> {
        let roots = || self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let start = file.parent()?;
        if let Some(known) = roots().get(start) {
            return known.clone();
        }
        let found = start.ancestors().take(64).find_map(|folder| {
            let path = folder.join("wesl.toml");
            path.is_file().then(|| manifest_of(folder, &path))?
        });
        let found = found.map(Arc::new);
        roots().insert(start.to_path_buf(), found.clone());
        found
    }

    fn near(&self) -> &Index {
        self.near.get_or_init(|| self.index(&self.files))
    }

    /// Files of the repository around what is checked.
    fn far(&self) -> &Index {
        self.far.get_or_init(|| {
            let mut files = Vec::new();
            for base in &self.bases {
                let absolute = fs::canonicalize(base).unwrap_or_else(|_| base.clone());
                let root = absolute.ancestors().find(|folder| folder.join(".git").exists());
                if let Some(root) = root {
                    shader_files(root, 0, &mut files, &mut 0);
                }
            }
            files.sort();
            files.dedup();
            self.index(&files)
        })
    }

    fn index(&self, files: &[PathBuf]) -> Index {
        let mut index = Index::default();
        let mut known = std::collections::HashSet::new();
        for file in files {
            if let Some(name) = file.file_name().and_then(|name| name.to_str()) {
                index.names.entry(name.to_owned()).or_default().push(file.clone());
            }
            for folder in file.ancestors().skip(1) {
                let name = folder.file_name().and_then(|name| name.to_str());
                if let Some(name) = name.filter(|_| known.insert(folder.to_path_buf())) {
                    let all = index.folders.entry(name.replace('-', "_")).or_default();
                    all.push(folder.to_path_buf());
                } else {
                    break;
                }
            }
            if let Ok(text) = self.read(file)
                && let Some(module) = import_path_of(&text.text)
            {
                index.modules.entry(module).or_default().push(file.clone());
            }
        }
        for all in index.folders.values_mut() {
            all.sort_by_key(|folder| folder.components().count());
        }
        index
    }
}

/// Folders above a file that is given alone, the nearest first: in the current folder, or in the
/// repository.
fn folders_above(file: &Path) -> Vec<PathBuf> {
    let absolute = fs::canonicalize(file).unwrap_or_default();
    let mut whole: Vec<_> = absolute.ancestors().skip(1).take(MAX_DEPTH).collect();
    let root = whole.iter().position(|folder| folder.join(".git").exists());
    whole.truncate(root.map_or(0, |root| root + 1));
    let relative = file.ancestors().skip(1).take(MAX_DEPTH).filter(|_| file.is_relative());
    relative.chain(whole).map(Path::to_path_buf).collect()
}

/// The folder of a crate in Cargo's registry.
fn registry_folder(from: &Path, name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let absolute = fs::canonicalize(from).ok()?;
    let lock = absolute.ancestors().take(64).map(|folder| folder.join("Cargo.lock"));
    let lock = lock.into_iter().find(|file| file.is_file());
    // Large lock files are usual, and only read here.
    let locked = lock.and_then(|file| fs::read_to_string(file).ok()).and_then(|text| {
        let names = [name.to_owned(), name.replace('_', "-")];
        names.iter().find_map(|name| {
            let rest = text.split(&format!("name = \"{name}\"\nversion = \"")).nth(1)?;
            Some(rest.split('"').next()?.to_owned())
        })
    });
    let mut found: Vec<(Vec<u64>, PathBuf)> = Vec::new();
    for source in fs::read_dir(home.join("registry/src")).ok()?.filter_map(Result::ok) {
        for name in [name.to_owned(), name.replace('_', "-")] {
            if let Some(version) = &locked {
                let folder = source.path().join(format!("{name}-{version}"));
                if folder.is_dir() {
                    return Some(folder);
                }
                continue;
            }
            let entries = fs::read_dir(source.path()).into_iter().flatten().filter_map(Result::ok);
            for entry in entries {
                let file = entry.file_name();
                let version =
                    file.to_str().and_then(|file| file.strip_prefix(&name)?.strip_prefix('-'));
                let Some(version) =
                    version.filter(|own| own.starts_with(|c: char| c.is_ascii_digit()))
                else {
                    continue;
                };
                let parts = version.split(['.', '-', '+']).map_while(|part| part.parse().ok());
                found.push((parts.collect(), entry.path()));
            }
        }
    }
    found.into_iter().max().map(|(_, folder)| folder)
}

/// The `#define_import_path` of a text.
fn import_path_of(text: &str) -> Option<String> {
    let at = text.find("#define_import_path")?;
    let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
    let (_, behind) = directive(text, start)?;
    let line = text[behind..].lines().next()?.split("//").next()?;
    let path: String = line.trim().trim_end_matches(';').split_whitespace().collect();
    (!path.is_empty()).then_some(path)
}

fn manifest_of(folder: &Path, path: &Path) -> Option<Package> {
    let text = read_bounded(path).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let text_of = |value: &toml::Value, key: &str| {
        value.get(key).and_then(toml::Value::as_str).map(str::to_owned)
    };
    let root = table.get("root").and_then(toml::Value::as_str).unwrap_or("shaders");
    let dependencies = table.get("dependencies").and_then(toml::Value::as_table);
    let dependencies = dependencies.into_iter().flatten().map(|(name, value)| {
        let place = text_of(value, "path").map(|place| normal(&folder.join(place)));
        // Without a path it is a package of npm or of Cargo.
        let place = place.unwrap_or_else(|| {
            let package = text_of(value, "package").unwrap_or_else(|| name.clone());
            folder.join("node_modules").join(package)
        });
        (name.clone(), place)
    });
    Some(Package { root: normal(&folder.join(root)), dependencies: dependencies.collect() })
}

/// The folders that may hold the modules of the package in `folder`.
fn package_roots(folder: &Path) -> Vec<PathBuf> {
    let manifest = folder.join("wesl.toml");
    let own = manifest.is_file().then(|| manifest_of(folder, &manifest)).flatten();
    let own = own.map(|package| package.root);
    let usual = ["src/shaders", "shaders", "src", ""].map(|part| folder.join(part));
    own.into_iter().chain(usual).collect()
}

/// The file of a module in a folder; `_` in a path may be `-` in the name of a file.
fn module_file(root: &Path, path: &[String]) -> Option<PathBuf> {
    let is_safe = |part: &String| {
        !part.is_empty() && !part.contains(['/', '\\', ':', '\0', '"']) && !part.starts_with('.')
    };
    if !path.iter().all(is_safe) || path.len() > 64 {
        return None;
    }
    let with = |stem: &Path| {
        ["wesl", "wgsl"].into_iter().find_map(|extension| {
            // Not `with_extension`, because the name of a module has no extension to replace.
            let file = PathBuf::from(format!("{}.{extension}", stem.to_str()?));
            file.is_file().then_some(file)
        })
    };
    let Some((last, folders)) = path.split_last() else {
        return ["package", "lib", "main", "mod"].iter().find_map(|name| with(&root.join(name)));
    };
    let mut folder = root.to_path_buf();
    for part in folders {
        let plain = folder.join(part);
        folder = if !plain.is_dir() && part.contains('_') {
            folder.join(part.replace('_', "-"))
        } else {
            plain
        };
    }
    with(&folder.join(last))
        .or_else(|| last.contains('_').then(|| with(&folder.join(last.replace('_', "-"))))?)
        .or_else(|| with(&folder.join(last).join("mod")))
}

fn is_shader_name(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        matches!(extension, "wgsl" | "wesl" | "inc" | "h" | "wgsli" | "include" | "chunk")
    })
}

/// A path without `.` and with `..` resolved by name.
pub(in crate::check) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            _ => normal.push(part),
        }
    }
    normal
}

/// Adds the shader files below a folder.
fn shader_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, looked_at: &mut usize) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        *looked_at += 1;
        if *looked_at > MAX_LOOKED_AT {
            return;
        }
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let is_left_out = name.as_encoded_bytes().starts_with(b".")
            || ["target", "node_modules"].iter().any(|other| name == *other);
        if kind.is_dir() && !is_left_out && depth < MAX_DEPTH {
            shader_files(&path, depth + 1, files, looked_at);
        } else if kind.is_file()
            && path.extension().is_some_and(|own| own == "wgsl" || own == "wesl")
        {
            files.push(path);
        }
    }
}
