//! The kernels' sources, embedded from `shaders/`, and the linker (WESL: WGSL with imports and
//! conditions).

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use include_dir::{Dir, include_dir};
use wesl::{
    CompileOptions, ModulePath, VirtualResolver, Wesl,
    syntax::{EnableDirective, GlobalDirective, TranslationUnit},
};

pub mod kinds;
mod reflection;
mod rotate;
mod specialization;
mod unroll;

pub use reflection::Bound;
use reflection::bindings_of;
pub use specialization::Specialization;

use crate::{Error, Result};

static SHADERS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/shaders");

/// All modules that are files, with their texts.
fn files() -> impl Iterator<Item = (&'static Path, &'static str)> {
    let files = SHADERS.files().chain(SHADERS.dirs().flat_map(Dir::files));
    files.map(|file| (file.path(), file.contents_utf8().unwrap_or_default()))
}

/// Where `files` have a jump that a marked loop would lose, in words. Linked text has no places of
/// files, so they are read again.
fn lost_jumps<'a>(files: impl Iterator<Item = (&'a Path, &'a str)>) -> Vec<String> {
    let lost = |(path, text): (&Path, &str)| {
        let jump = unroll::lost_jump(&text.parse::<TranslationUnit>().ok()?)?;
        let line = text.get(..jump.at)?.matches('\n').count() + 1;
        let word = jump.word;
        Some(format!(
            "shaders/{}:{line}: `{word}` in a loop marked @unroll; use `if`",
            path.display()
        ))
    };
    files.filter_map(lost).collect()
}

/// File stems of all kernels: files directly in `shaders/`. Shared functions live in its subfolder
/// `common`.
pub fn kernel_names() -> Vec<&'static str> {
    let mut names: Vec<_> =
        SHADERS.files().filter_map(|file| file.path().file_stem()?.to_str()).collect();
    names.sort_unstable();
    names
}

/// Modules that kernels import and that are not files: tile sizes of their specialization as
/// `constants`, and [`kinds`].
pub const ADDED_MODULES: [&str; 2] = ["constants", "kinds"];

/// A kernel with the modules that it imports.
#[derive(Debug)]
pub struct Linked {
    /// Its text.
    pub wgsl: String,
    /// The buffers that it declares.
    pub bindings: Vec<Bound>,
}

/// Links kernel `name` with the modules that it imports, including [`ADDED_MODULES`], and unrolls
/// its register tiles. Conditions of loops come last.
///
/// Kernels that differ in pipeline constants alone have one text: it is linked once a process.
///
/// # Errors
/// [`Error::Shader`] if the linker refuses it.
pub fn link(name: &str, specialization: &Specialization) -> Result<Arc<Linked>> {
    type Texts = HashMap<(String, Specialization), Arc<Linked>>;
    static LINKED: LazyLock<Mutex<Texts>> = LazyLock::new(Mutex::default);
    let texts = || LINKED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (name.to_string(), specialization.without_constants());
    if let Some(linked) = texts().get(&key) {
        return Ok(linked.clone());
    }
    // Others may link meanwhile.
    let linked = Arc::new(link_anew(name, specialization)?);
    Ok(texts().entry(key).or_insert(linked).clone())
}

fn link_anew(name: &str, specialization: &Specialization) -> Result<Linked> {
    let mut resolver = VirtualResolver::new();
    let failed = |reason: String| Error::Shader { kernel: name.into(), reason };
    for (path, text) in files() {
        let stem = path.with_extension("").to_string_lossy().replace(['/', '\\'], "::");
        let path: ModulePath =
            format!("package::{stem}").parse().map_err(|error| failed(format!("{error:?}")))?;
        resolver.add_module(path, text.into());
    }
    let [constants, kinds] = ADDED_MODULES;
    let mut add = |path: String, numbers: &mut dyn Iterator<Item = (&str, u32)>| {
        let path = path.parse().map_err(|error| failed(format!("{error:?}")))?;
        let text: String =
            numbers.map(|(own, value)| format!("const {own} = {value}u;\n")).collect();
        resolver.add_module(path, text.into());
        Ok::<_, Error>(())
    };
    add(constants.into(), &mut specialization.tiles())?;
    for (module, numbers) in kinds::ALL {
        add(format!("{kinds}::{module}"), &mut numbers.iter().copied())?;
    }
    let mut compiler = Wesl::new("").set_custom_resolver(resolver);
    // The linker does not know the whole language and no types; naga validates its output.
    compiler
        .use_sourcemap(false)
        .set_options(CompileOptions { validate: false, ..CompileOptions::default() });
    for (feature, enabled) in specialization.features() {
        compiler.set_feature(feature, enabled);
    }
    let root: ModulePath =
        format!("package::{name}").parse().map_err(|error| failed(format!("{error:?}")))?;
    let mut linked = compiler.compile(&root).map_err(|error| failed(error.to_string()))?;
    if unroll::lost_jump(&linked.syntax).is_some() {
        return Err(failed(lost_jumps(files()).join("; ")));
    }
    rotate::rotate(&mut linked.syntax);
    unroll::unroll(&mut linked.syntax).map_err(failed)?;
    let extensions: Vec<String> = specialization.extensions().map(String::from).collect();
    if !extensions.is_empty() {
        let directive = EnableDirective { attributes: Vec::new(), extensions };
        linked.syntax.global_directives.push(GlobalDirective::Enable(directive));
    }
    let bindings = bindings_of(&linked.syntax);
    Ok(Linked { wgsl: linked.to_string(), bindings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_that_a_marked_loop_loses_has_its_file_and_line() {
        assert!(lost_jumps(files()).is_empty());
        let text = "import package::a::b;\n\nfn f(n: u32) {\n    @unroll(8) \
                    for (var i = 0u; i < n; i++) {\n        if i == 3u { continue; }\n    }\n}\n";
        assert_eq!(
            lost_jumps([(Path::new("common/a.wgsl"), text)].into_iter()),
            ["shaders/common/a.wgsl:5: `continue` in a loop marked @unroll; use `if`"]
        );
    }
}
