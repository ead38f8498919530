//! Checks a user's shader files: finds them, reads them within bounds, and links those with
//! imports.

use super::{
    guard,
    options::CheckOptions,
    place,
    report::{Outcome, ShaderReport, ShaderSource},
    spirv, translate,
};
use crate::{Error, Result, panics::caught, shaders::ADDED_MODULES};
use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{HashMap, HashSet},
    fs,
    io::Read,
    path::{Path, PathBuf},
};
use wesl::{CompileOptions, EscapeMangler, ModulePath, ResolveError, Resolver, syntax::PathOrigin};

/// Largest shader file in bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 20;
/// Largest number of shader files in one run.
pub const MAX_FILES: usize = 10_000;
/// Largest number of modules linked into one shader.
const MAX_MODULES: usize = 100;
/// Largest size in bytes of all modules linked into one shader.
const MAX_LINKED_BYTES: usize = 16 << 20;
/// Largest depth of nested folders.
const MAX_FOLDER_DEPTH: usize = 64;

/// Advice for an import of [`ADDED_MODULES`].
const ADDED: &str = "no such package; saliq's own kernels get it when they are linked, with an \
                     adapter's tile sizes or the numbers of choices: check those with `saliq \
                     check` without a path";

/// A file, and the folder that `package::` refers to: the given folder, or that of the file; empty
/// if there is none.
struct Job {
    path: PathBuf,
    base: PathBuf,
}

/// Checks files and, recursively, the `.wgsl` and `.wesl` files of folders (hidden folders are left
/// out). A file that uses WESL imports is linked first; `package::` refers to the given folder (or
/// that of the file), and all `@if` features are off. Files that cannot be read are failures in the
/// report.
///
/// # Errors
/// [`Error::Io`] for a path that does not exist; [`Error::Usage`] if there is nothing to check, or
/// more than [`MAX_FILES`] files. Failing shaders are not an error here; see [`super::verdict`].
pub fn check_paths(paths: &[PathBuf]) -> Result<Vec<ShaderReport>> {
    check_paths_for(paths, &CheckOptions::default())
}

/// As [`check_paths`], for targets, features and limits.
///
/// # Errors
/// As [`check_paths`].
pub fn check_paths_for(paths: &[PathBuf], options: &CheckOptions) -> Result<Vec<ShaderReport>> {
    let jobs = jobs_of(paths)?;
    Ok(guard::parallel(
        &jobs,
        |job| match load(job) {
            Ok((source, linked)) => {
                translate::check_source(&source, linked.then_some("imports"), options)
            }
            Err(outcome) => ShaderReport::unparsed(&name_of(job), true, outcome),
        },
        |job, reason| ShaderReport::unparsed(&name_of(job), true, Outcome::fail(reason)),
    ))
}

/// As [`super::write_spirv`], for a user's files. Files that cannot be translated (the check
/// reports them) or have no entry point are left out.
///
/// # Errors
/// As [`check_paths`], and [`Error::Io`] when writing.
pub fn write_spirv_of_paths(paths: &[PathBuf], dir: &Path) -> Result<Vec<PathBuf>> {
    let jobs = jobs_of(paths)?;
    fs::create_dir_all(dir).map_err(Error::io("cannot create", dir))?;
    let words = guard::parallel(
        &jobs,
        |job| load(job).ok().and_then(|(source, _)| translate::spirv_words(&source).ok()),
        |_, _| None,
    );
    let translated = jobs
        .iter()
        .zip(words)
        .enumerate()
        .filter_map(|(index, (job, words))| Some((index, job, words?)));
    translated
        .map(|(index, job, words)| spirv::write_words(&words, dir, &name_of(job), index))
        .collect()
}

/// Checks the bytes of one file that is in no folder and therefore cannot import. `name` is its
/// name in the report.
pub fn check_bytes(name: &str, bytes: Vec<u8>) -> ShaderReport {
    let job = Job { path: PathBuf::from(name), base: PathBuf::new() };
    let mut reports = guard::parallel(
        &[bytes],
        |bytes| match text_of(bytes.clone())
            .map_err(Outcome::fail)
            .and_then(|text| source_of(&job, text))
        {
            Ok((source, linked)) => translate::check_source(
                &source,
                linked.then_some("imports"),
                &CheckOptions::default(),
            ),
            Err(outcome) => ShaderReport::unparsed(name, true, outcome),
        },
        |_, reason| ShaderReport::unparsed(name, true, Outcome::fail(reason)),
    );
    reports
        .pop()
        .unwrap_or_else(|| ShaderReport::unparsed(name, true, Outcome::fail("not checked")))
}

fn name_of(job: &Job) -> String {
    job.path.display().to_string()
}

fn jobs_of(paths: &[PathBuf]) -> Result<Vec<Job>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(Error::io("cannot read", path))?;
        if metadata.is_dir() {
            let before = found.len();
            walk(path, path, 0, &mut found)?;
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
    found.retain(|job| seen.insert(job.path.clone()));
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

/// Collects shader files below `folder` in order of their names, without following links to
/// folders.
fn walk(folder: &Path, base: &Path, depth: usize, found: &mut Vec<Job>) -> Result<()> {
    if depth > MAX_FOLDER_DEPTH {
        return Err(Error::Usage(format!(
            "{}: more than {MAX_FOLDER_DEPTH} folders deep",
            folder.display()
        )));
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(Error::io("cannot read", folder))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io("cannot read", &path))?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        let shader =
            path.extension().is_some_and(|extension| extension == "wgsl" || extension == "wesl");
        if kind.is_dir() && !hidden {
            walk(&path, base, depth + 1, found)?;
        } else if shader && !kind.is_dir() {
            found.push(Job { path, base: base.to_path_buf() });
            bounded(found.len())?;
        }
    }
    Ok(())
}

/// Reads a regular UTF-8 file of bounded size; `Err` is the reason.
fn read_bounded(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read this file: {error}");
    // Opening a pipe or device could wait forever.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("cannot read this file: it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(cannot)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    text_of(bytes)
}

fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!(
            "larger than {} MiB, which is the most that is read",
            MAX_FILE_BYTES >> 20
        ));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 text (byte {})", error.utf8_error().valid_up_to()))
}

/// The shader of a file, and whether it was linked.
fn load(job: &Job) -> Result<(ShaderSource, bool), Outcome> {
    source_of(job, read_bounded(&job.path).map_err(Outcome::fail)?)
}

fn source_of(job: &Job, text: String) -> Result<(ShaderSource, bool), Outcome> {
    let linked = uses_wesl(&text);
    let wgsl = if linked { link(job, &text)? } else { text };
    Ok((ShaderSource { name: name_of(job), wgsl, constants: Vec::new(), user: true }, linked))
}

/// Whether the text uses imports, paths or conditions of WESL. Plain WGSL is not linked, so that
/// errors keep their line numbers; a false positive only loses those.
fn uses_wesl(text: &str) -> bool {
    text.lines().any(|line| {
        let code = line.split("//").next().unwrap_or_default();
        let word = code.trim_start();
        let import = word
            .strip_prefix("import")
            .is_some_and(|rest| rest.starts_with([' ', '\t', '{']) || rest.is_empty());
        import
            || code.contains("::")
            || ["@if", "@elif", "@else"].iter().any(|attribute| code.contains(attribute))
    })
}

/// Links a file and its imports into WGSL.
fn link(job: &Job, text: &str) -> Result<String, Outcome> {
    let relative = job.path.strip_prefix(&job.base).unwrap_or(&job.path).with_extension("");
    let components: Vec<_> =
        relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let root = ModulePath::new(PathOrigin::Absolute, components);
    let modules = Modules { job, root: root.clone(), text, read: RefCell::default() };
    // Every declaration of the file is kept and checked, whether or not it is an entry point.
    let options = CompileOptions { keep_root: true, ..Default::default() };
    let linked = caught(|| {
        wesl::compile_sourcemap(&root, &modules, &EscapeMangler, &options)
            .map(|result| result.to_string())
    });
    match linked {
        None => Err(Outcome::fail("the linker crashed on this shader")),
        Some(Ok(wgsl)) if wgsl.len() > MAX_LINKED_BYTES => {
            Err(Outcome::fail("the linked shader is too large"))
        }
        Some(Ok(wgsl)) => Ok(wgsl),
        Some(Err(error)) => Err(link_failure(error, &root, text)),
    }
}

/// A linker error, with its position if it is in the file itself, and with the module's name if it
/// is elsewhere.
fn link_failure(error: wesl::Error, root: &ModulePath, text: &str) -> Outcome {
    let diagnostic = wesl::Diagnostic::from(error);
    let detail = &diagnostic.detail;
    let elsewhere = detail.module_path.as_ref().filter(|path| *path != root);
    let origin = elsewhere
        .map(|path| format!(" (in {})", detail.display_name.clone().unwrap_or(path.to_string())));
    let message = format!("{}{}", diagnostic.error, origin.unwrap_or_default());
    let (line, column) = match (&detail.span, elsewhere) {
        (Some(span), None) => {
            let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            place::place(
                text,
                naga::Span::new(offset(span.start), offset(span.end.max(span.start + 1))),
            )
        }
        _ => (None, None),
    };
    Outcome::Fail { message, line, column }
}

/// Finds imported modules in the given folder and in the folders between it and the file, the
/// nearest last.
struct Modules<'a> {
    job: &'a Job,
    root: ModulePath,
    text: &'a str,
    /// Modules that were read, so that every file is read once and the total stays within bounds.
    read: RefCell<HashMap<PathBuf, String>>,
}

impl Modules<'_> {
    fn find(&self, path: &ModulePath) -> Option<PathBuf> {
        let safe = |part: &String| {
            !part.is_empty()
                && !part.contains(['/', '\\', ':', '\0'])
                && part != "."
                && part != ".."
        };
        let nowhere = self.job.base.as_os_str().is_empty();
        if nowhere || path.origin != PathOrigin::Absolute || !path.components.iter().all(safe) {
            return None;
        }
        let mut folders: Vec<_> = self
            .job
            .path
            .ancestors()
            .skip(1)
            .take_while(|p| p.starts_with(&self.job.base))
            .collect();
        if folders.is_empty() {
            folders.push(&self.job.base);
        }
        folders.iter().rev().find_map(|folder| {
            let stem: PathBuf =
                folder.iter().chain(path.components.iter().map(|part| part.as_ref())).collect();
            // Not `with_extension`, because the name of a module has no extension to replace.
            ["wesl", "wgsl"].into_iter().find_map(|extension| {
                let file = PathBuf::from(format!("{}.{extension}", stem.to_str()?));
                file.is_file().then_some(file)
            })
        })
    }
}

impl Resolver for Modules<'_> {
    fn resolve_source<'a>(&'a self, path: &ModulePath) -> Result<Cow<'a, str>, ResolveError> {
        if *path == self.root {
            guard::bounded_for_linking(self.text)
                .map_err(|reason| ResolveError::ModuleNotFound(path.clone(), reason))?;
            return Ok(Cow::Borrowed(self.text));
        }
        let refused = |reason: String| ResolveError::ModuleNotFound(path.clone(), reason);
        let missing = || match &path.origin {
            PathOrigin::Package(name) if ADDED_MODULES.contains(&name.as_str()) => ADDED.to_owned(),
            _ => {
                let base = self.job.base.display();
                format!("no such file below {base}; `package::` is the folder given")
            }
        };
        let file = self.find(path).ok_or_else(|| refused(missing()))?;
        let mut read = self.read.borrow_mut();
        if let Some(text) = read.get(&file) {
            return Ok(Cow::Owned(text.clone()));
        }
        let bytes: usize = read.values().map(String::len).sum();
        if read.len() >= MAX_MODULES || bytes >= MAX_LINKED_BYTES {
            return Err(refused("too many or too large imports for one shader".to_owned()));
        }
        let text = read_bounded(&file).map_err(&refused)?;
        guard::bounded_for_linking(&text).map_err(&refused)?;
        read.insert(file, text.clone());
        Ok(Cow::Owned(text))
    }

    fn display_name(&self, path: &ModulePath) -> Option<String> {
        if *path == self.root {
            Some(name_of(self.job))
        } else {
            self.find(path).map(|file| file.display().to_string())
        }
    }
}
