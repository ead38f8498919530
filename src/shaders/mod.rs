//! The kernels' sources, embedded from `shaders/`, and the linker (WESL: WGSL with imports and
//! conditions).

use include_dir::{Dir, include_dir};
use wesl::{
    CompileOptions, ModulePath, VirtualResolver, Wesl,
    syntax::{EnableDirective, GlobalDirective},
};

mod reflection;
mod specialization;
mod unroll;

pub use reflection::{Bound, bindings_of};
pub use specialization::Specialization;

use crate::{Error, Result};

static SHADERS: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/shaders");

/// File stems of all kernels: files directly in `shaders/`. Shared functions live in its subfolder
/// `common`.
pub fn kernel_names() -> Vec<&'static str> {
    let mut names: Vec<_> =
        SHADERS.files().filter_map(|file| file.path().file_stem()?.to_str()).collect();
    names.sort_unstable();
    names
}

/// Links kernel `name` with the modules it imports, its tile sizes as module constants, and unrolls
/// its register tiles.
pub fn link(name: &str, specialization: &Specialization) -> Result<String> {
    let mut resolver = VirtualResolver::new();
    let failed = |reason: String| Error::Shader { kernel: name.into(), reason };
    for file in SHADERS.files().chain(SHADERS.dirs().flat_map(Dir::files)) {
        let stem = file.path().with_extension("").to_string_lossy().replace(['/', '\\'], "::");
        let path: ModulePath =
            format!("package::{stem}").parse().map_err(|error| failed(format!("{error:?}")))?;
        resolver.add_module(path, file.contents_utf8().unwrap_or_default().into());
    }
    let constants: String =
        specialization.tiles().map(|(tile, value)| format!("const {tile} = {value}u;\n")).collect();
    resolver.add_module(
        "constants".parse().map_err(|error| failed(format!("{error:?}")))?,
        constants.into(),
    );
    let mut compiler = Wesl::new("").set_custom_resolver(resolver);
    // The linker knows neither all of the language nor its types: naga validates what it links.
    compiler
        .use_sourcemap(false)
        .set_options(CompileOptions { validate: false, ..CompileOptions::default() });
    for (feature, enabled) in specialization.features() {
        compiler.set_feature(feature, enabled);
    }
    let root: ModulePath =
        format!("package::{name}").parse().map_err(|error| failed(format!("{error:?}")))?;
    let mut linked = compiler.compile(&root).map_err(|error| failed(error.to_string()))?;
    unroll::unroll(&mut linked.syntax).map_err(failed)?;
    let extensions: Vec<String> = specialization.extensions().map(String::from).collect();
    if !extensions.is_empty() {
        let directive = EnableDirective { attributes: Vec::new(), extensions };
        linked.syntax.global_directives.push(GlobalDirective::Enable(directive));
    }
    Ok(linked.to_string())
}
