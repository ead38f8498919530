//! What naga makes of a shader for each backend, to be shown.

use naga::{
    Module,
    back::{self, PipelineConstants},
};

use super::{
    analysis::module_of,
    guard, limits,
    tools::Written,
    translate::{Backend, Target, Unwritten, chain, validator, write},
};

/// A shader in the language of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// `SPIR-V`, `MSL`, `HLSL` or `GLSL`.
    pub language: &'static str,
    /// Its text; the words of SPIR-V in hexadecimal; or why there is none.
    pub text: Result<String, String>,
}

/// `wgsl`, plain WGSL, in the language of every backend, with the defaults of its overrides and
/// with the run-time checks that wgpu adds to a user's shader.
///
/// # Errors
/// The parser's words for a shader that it refuses.
pub fn translations(wgsl: &str) -> Result<Vec<Translation>, String> {
    guard::bounded_depth(wgsl)?;
    let module = module_of(wgsl)?;
    let languages = [
        ("SPIR-V", Backend::Spirv),
        ("MSL", Backend::Msl),
        ("HLSL", Backend::Hlsl),
        ("GLSL", Backend::Glsl),
    ];
    let of = |(language, backend)| Translation { language, text: translated(backend, &module) };
    Ok(languages.map(of).into())
}

fn translated(backend: Backend, module: &Module) -> Result<String, String> {
    let info = validator(backend.capabilities())
        .validate(module)
        .map_err(|error| chain(error.as_inner()))?;
    // GLSL has one entry point a file.
    let entries = module.entry_points.iter().map(|one| Some((one.stage, one.name.clone())));
    let targets: Vec<Target> = match backend {
        Backend::Glsl => entries.map(Target).collect(),
        _ => vec![Target(None)],
    };
    if targets.is_empty() {
        return Err("it has no entry point".to_owned());
    }
    let mut texts = Vec::new();
    for target in targets {
        let key = target.0.as_ref().map(|(stage, name)| (*stage, name.as_str()));
        let constants = PipelineConstants::default();
        let (resolved, info) =
            back::pipeline_constants::process_overrides(module, &info, key, &constants)
                .map_err(|error| error.to_string())?;
        if let Some(value) = limits::oversized_value(&resolved) {
            return Err(format!("not translated: {value}"));
        }
        texts.push(match write(backend, &resolved, &info, &target, true) {
            Ok(Written::Text(text, _)) => text,
            Ok(Written::Words(words)) => hexadecimal(&words),
            Err(Unwritten::Skipped(reason) | Unwritten::Failed(reason)) => return Err(reason),
        });
    }
    Ok(texts.join("\n"))
}

/// Eight words a line.
fn hexadecimal(words: &[u32]) -> String {
    let line = |words: &[u32]| {
        let words: Vec<String> = words.iter().map(|word| format!("{word:08x}")).collect();
        words.join(" ")
    };
    words.chunks(8).map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shader_has_a_text_in_every_language() {
        let made = translations(
            "@group(0) @binding(0) var<storage, read_write> a: array<f32>;\n\
             @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) at: vec3u) {\n\
             a[at.x] *= 2.0; }",
        )
        .unwrap();
        let text = |language| {
            let found = made.iter().find(|one| one.language == language).unwrap();
            found.text.clone().unwrap()
        };
        assert!(text("SPIR-V").starts_with("07230203 "));
        assert!(
            text("MSL").contains("metal_stdlib") && text("HLSL").contains("numthreads(8, 1, 1)")
        );
        assert!(text("GLSL").starts_with("#version 310 es"));
    }

    #[test]
    fn what_is_not_translated_says_why() {
        assert!(translations("fn f(").is_err());
        let made = translations("fn f() {}").unwrap();
        assert!(made.iter().any(|one| one.language == "GLSL" && one.text.is_err()));
    }
}
