//! Headless shader validation: parse, validate and translate WGSL with naga, with no GPU and no
//! driver.
//!
//! A shader passes if naga parses it, finds it valid, and can write it as SPIR-V (Vulkan), MSL
//! (Metal) and HLSL (Direct3D 12), each after validation with the capabilities of *that* backend.
//! Validation with all capabilities proves nothing about portability; it is only used to
//! distinguish a wrong shader from one that is not portable.
//!
//! - Pipeline constants (`override`) are resolved for every entry point first. saliq does not guess
//!   a value for an `override` without one: validation still runs, and translation is
//!   [`Outcome::Skipped`] with that reason.
//! - GLSL (ES 3.10, the OpenGL fallback) is tried where possible. A feature that GLSL lacks is
//!   skipped with the reason and never fails a shader.
//! - WebGPU's default limits are a requirement for saliq's own kernels and cause a warning for
//!   other shaders.
//!
//! The input may be hostile: sizes and nesting are bounded before a parser sees them, work runs on
//! threads with a large stack, and a panic inside naga is reported as a failure of the
//! shader.

mod analysis;
mod args;
mod comments;
mod config;
mod diagnostic;
mod files;
mod find;
mod forms;
mod guard;
mod limits;
mod mistranslations;
mod more;
mod naga_text;
mod options;
#[cfg(feature = "cli")]
mod own;
mod place;
mod read;
mod render;
mod report;
mod requirements;
mod rules;
mod run;
mod sarif;
mod semantics;
mod spirv;
mod syntax;
mod text;
mod tools;
mod translate;
mod translations;

pub use args::{CheckArgs, CheckFormat};
pub use config::Config;
pub use diagnostic::{Diagnostic, Platform, Severity};
pub use files::{
    Checked, FileOptions, check_bytes, check_files, check_paths, check_paths_for,
    write_spirv_of_paths,
};
pub use forms::Form;
pub use options::CheckOptions;
#[cfg(feature = "cli")]
pub use own::{create_own_pipelines, own_kernels, own_kernels_of_matrices};
pub use place::Region;
pub use read::{MAX_FILE_BYTES, MAX_FILES};
pub use render::{render_github, render_table, to_json, verdict};
pub use report::{Outcome, ShaderReport, ShaderSource, Specialisation, SpecialisationOutcome};
pub use requirements::RequirementArgs;
pub use rules::{RULES, Rule, explain, page as rules_page, rule};
pub use run::{render, run_files};
pub use sarif::{render_junit, render_sarif};
pub use spirv::{check_all_writing, to_spirv};
pub use text::render_text;
pub use translate::{check, check_all, check_all_for};
pub use translations::{Translation, translations};
