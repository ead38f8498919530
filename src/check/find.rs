//! Finds the shader files that paths, folders and patterns name.

use super::read::{MAX_FILES, STANDARD_INPUT};
use crate::{Error, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Largest depth of nested folders.
const MAX_FOLDER_DEPTH: usize = 64;

/// A file, and the folder that `package::` refers to: the given folder, or that of the file; empty
/// if there is none.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub path: PathBuf,
    pub base: PathBuf,
}

/// Files that are left out.
#[derive(Default)]
pub(super) struct LeftOut {
    /// Patterns of the configuration file, below `root`.
    pub patterns: Option<GlobSet>,
    pub root: PathBuf,
}

impl LeftOut {
    fn has(&self, path: &Path) -> bool {
        self.patterns.as_ref().is_some_and(|patterns| patterns.is_match(below(path, &self.root)))
    }
}

/// A path as seen from a folder, where it is below it.
pub(super) fn below(path: &Path, root: &Path) -> PathBuf {
    let absolute = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let (full, root) =
        (absolute(path), absolute(if root.as_os_str().is_empty() { Path::new(".") } else { root }));
    full.strip_prefix(&root).map_or_else(|_| path.to_path_buf(), Path::to_path_buf)
}

/// A set of patterns; `*` does not go over `/`, `folder/` and `folder` mean all that is in it.
pub(super) fn patterns(all: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in all {
        let plain = pattern.trim_end_matches('/');
        for form in [plain.to_owned(), format!("{plain}/**")] {
            let glob = GlobBuilder::new(&form)
                .literal_separator(true)
                .build()
                .map_err(|error| format!("{pattern}: {error}"))?;
            set.add(glob);
        }
    }
    set.build().map_err(|error| error.to_string())
}

/// The files that `paths` name, each once.
///
/// # Errors
/// [`Error::Io`] for a path that does not exist; [`Error::Usage`] if there is nothing to check, or
/// more than [`MAX_FILES`] files.
pub(super) fn jobs_of(paths: &[PathBuf], left_out: &LeftOut) -> Result<Vec<Job>> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            found.push(Job { path: STANDARD_INPUT.into(), base: ".".into() });
            continue;
        }
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(_) if is_pattern(path) => {
                expand(path, left_out, &mut found)?;
                continue;
            }
            Err(error) => return Err(Error::io("cannot read", path)(error)),
        };
        if metadata.is_dir() {
            let before = found.len();
            let mut ignored = above(path);
            walk(path, path, 0, left_out, &mut ignored, &mut found)?;
            if found.len() == before {
                return Err(Error::Usage(format!(
                    "{}: no .wgsl or .wesl files in this folder",
                    path.display()
                )));
            }
        } else {
            let base =
                path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            found.push(Job { path: path.clone(), base: base.to_path_buf() });
        }
    }
    if found.is_empty() {
        return Err(Error::Usage("no shader files given".to_owned()));
    }
    let mut seen = HashSet::new();
    found.retain(|job| {
        seen.insert(fs::canonicalize(&job.path).unwrap_or_else(|_| job.path.clone()))
    });
    bounded(found.len())?;
    Ok(found)
}

fn bounded(count: usize) -> Result<()> {
    if count > MAX_FILES {
        return Err(Error::Usage(format!(
            "more than {MAX_FILES} shader files; check fewer folders at a time"
        )));
    }
    Ok(())
}

fn is_pattern(path: &Path) -> bool {
    path.to_str().is_some_and(|text| text.contains(['*', '?', '[', '{']))
}

/// Files that a pattern names.
fn expand(pattern: &Path, left_out: &LeftOut, found: &mut Vec<Job>) -> Result<()> {
    let base: PathBuf =
        pattern.components().take_while(|part| !is_pattern(Path::new(part))).collect();
    let start = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
    let text = pattern.to_str().unwrap_or_default();
    let glob = GlobBuilder::new(text.strip_prefix("./").unwrap_or(text))
        .literal_separator(true)
        .build()
        .map_err(|error| Error::Usage(format!("{text}: {error}")))?
        .compile_matcher();
    let mut all = Vec::new();
    if start.is_dir() {
        walk(start, start, 0, left_out, &mut above(start), &mut all)?;
    }
    let before = found.len();
    found.extend(
        all.into_iter()
            .filter(|job| glob.is_match(job.path.strip_prefix("./").unwrap_or(&job.path))),
    );
    if found.len() == before {
        return Err(Error::Usage(format!("{text}: no such .wgsl or .wesl files")));
    }
    Ok(())
}

/// The `.gitignore` files above a folder, up to the root of its repository; none if they leave out
/// the folder itself, which is named all the same.
fn above(folder: &Path) -> Vec<Gitignore> {
    let Ok(full) = fs::canonicalize(folder) else { return Vec::new() };
    let mut all = Vec::new();
    for parent in full.ancestors().skip(1).take(MAX_FOLDER_DEPTH) {
        if full.join(".git").exists() {
            break;
        }
        all.extend(rules_of(parent));
        if parent.join(".git").exists() {
            let is_left_out =
                |rules: &Gitignore| rules.matched_path_or_any_parents(&full, true).is_ignore();
            if all.iter().any(is_left_out) {
                return Vec::new();
            }
            all.reverse();
            return all;
        }
    }
    Vec::new()
}

fn rules_of(folder: &Path) -> Option<Gitignore> {
    let file = folder.join(".gitignore");
    if !file.is_file() {
        return None;
    }
    let mut builder = GitignoreBuilder::new(folder);
    // A line that is none is passed over, as git does.
    let _ = builder.add(file);
    builder.build().ok()
}

/// Collects shader files below `folder` in order of their names, without following links to
/// folders.
fn walk(
    folder: &Path,
    base: &Path,
    depth: usize,
    left_out: &LeftOut,
    ignored: &mut Vec<Gitignore>,
    found: &mut Vec<Job>,
) -> Result<()> {
    if depth > MAX_FOLDER_DEPTH {
        return Err(Error::Usage(format!(
            "{}: more than {MAX_FOLDER_DEPTH} folders deep",
            folder.display()
        )));
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(Error::io("cannot read", folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let full = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let has_rules = entries.iter().any(|entry| entry.file_name() == ".gitignore");
    let own = if has_rules { rules_of(&full) } else { None };
    let pushed = own.is_some();
    ignored.extend(own);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io("cannot read", &path))?;
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        let shader =
            path.extension().is_some_and(|extension| extension == "wgsl" || extension == "wesl");
        let is_wanted = if kind.is_dir() { !hidden } else { shader };
        if !is_wanted {
            continue;
        }
        // The last rule that matches counts, the innermost file first.
        let verdict = ignored.iter().rev().find_map(|rules| {
            let found = rules.matched(full.join(&name), kind.is_dir());
            (!found.is_none()).then(|| found.is_ignore())
        });
        if verdict == Some(true) || left_out.has(&path) {
            continue;
        }
        if kind.is_dir() {
            walk(&path, base, depth + 1, left_out, ignored, found)?;
        } else {
            found.push(Job { path, base: base.to_path_buf() });
            bounded(found.len())?;
        }
    }
    if pushed {
        ignored.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[PathBuf], left_out: &LeftOut) -> Vec<String> {
        let jobs = jobs_of(paths, left_out).expect("files");
        let name = |job: &Job| job.path.file_name().unwrap().to_string_lossy().into_owned();
        jobs.iter().map(name).collect()
    }

    #[test]
    fn ignored_files_patterns_and_files_named_twice() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |path: &str| folder.path().join(path);
        for path in ["a.wgsl", "b.wgsl", "out/c.wgsl", "lib/d.wesl", "lib/out/e.wgsl"] {
            fs::create_dir_all(at(path).parent().unwrap()).expect("made");
            fs::write(at(path), "").expect("written");
        }
        fs::write(at(".gitignore"), "/out/\nb.wgsl\n").expect("written");
        let none = LeftOut::default();
        assert_eq!(names(&[at("")], &none), ["a.wgsl", "d.wesl", "e.wgsl"]);
        // What is named is checked.
        assert_eq!(
            names(&[at("out"), at("out/c.wgsl"), at("b.wgsl")], &none),
            ["c.wgsl", "b.wgsl"]
        );
        assert_eq!(names(&[at("**/*.wesl")], &none), ["d.wesl"]);
        let patterns = patterns(&["lib/out".into()]).expect("a pattern");
        let left_out = LeftOut { patterns: Some(patterns), root: at("") };
        assert_eq!(names(&[at("")], &left_out), ["a.wgsl", "d.wesl"]);
        assert_eq!(jobs_of(&[at("*.none")], &none).expect_err("none").exit_code(), 2);
    }
}
