//! Uses naga to parse, validate for each backend, resolve overrides, and write.

use super::{
    diagnostic::{Diagnostic, Severity},
    guard, limits,
    options::CheckOptions,
    place::place,
    report::{Outcome, ShaderReport, ShaderSource},
    rules,
};
use crate::panics::caught;
use naga::back::{self, PipelineConstants, pipeline_constants::PipelineConstantError};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationError, ValidationFlags, Validator};
use naga::{Module, ShaderStage, Span, WithSpan};
use std::borrow::Cow;

/// Largest number of translated entry points; each needs a copy of the code that it reaches.
const MAX_ENTRY_POINTS: usize = 256;

/// The part to translate: one entry point, or the whole module if it has none.
struct Target(Option<(ShaderStage, String)>);

impl Target {
    /// The entry point's name.
    fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|(_, name)| name.as_str())
    }

    fn key(&self) -> Option<(ShaderStage, &str)> {
        self.0.as_ref().map(|(stage, name)| (*stage, name.as_str()))
    }
}

/// A target with resolved overrides, or the reason why they cannot be resolved.
type Resolved<'a> = Result<(Cow<'a, Module>, Cow<'a, ModuleInfo>), Outcome>;

#[derive(Clone, Copy, PartialEq)]
enum Backend {
    Spirv,
    Msl,
    Hlsl,
    Glsl,
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Backend::Spirv => "Vulkan (SPIR-V)",
            Backend::Msl => "Metal (MSL)",
            Backend::Hlsl => "Direct3D (HLSL)",
            Backend::Glsl => "OpenGL (GLSL)",
        }
    }

    fn capabilities(self) -> Capabilities {
        match self {
            Backend::Spirv => back::spv::supported_capabilities(),
            Backend::Msl => back::msl::supported_capabilities(),
            Backend::Hlsl => back::hlsl::supported_capabilities(),
            Backend::Glsl => back::glsl::supported_capabilities(),
        }
    }
}

/// Checks one shader. It never fails and never panics; every problem is in the report.
pub fn check(source: &ShaderSource) -> ShaderReport {
    let mut reports = check_all(std::slice::from_ref(source));
    reports.pop().unwrap_or_else(|| {
        ShaderReport::unparsed(&source.name, source.user, Outcome::fail("not checked"))
    })
}

/// Checks many shaders on all cores; reports come in the order of `sources`.
pub fn check_all(sources: &[ShaderSource]) -> Vec<ShaderReport> {
    check_all_for(sources, &CheckOptions::default())
}

/// As [`check_all`], for targets, features and limits.
pub fn check_all_for(sources: &[ShaderSource], options: &CheckOptions) -> Vec<ShaderReport> {
    guard::parallel(
        sources,
        |source| check_source(source, None, options),
        |source, reason| ShaderReport::unparsed(&source.name, source.user, Outcome::fail(reason)),
    )
}

/// Runs every stage. `linked_from` is set if the shader was linked from files. Its lines are then
/// not those of the file, so errors quote the line instead of numbering it.
pub(super) fn check_source(
    source: &ShaderSource,
    linked_from: Option<&str>,
    _options: &CheckOptions,
) -> ShaderReport {
    let mut report = stages(source, linked_from);
    if guard::bounded_depth(&source.wgsl).is_ok() {
        match rules::check(&source.wgsl) {
            Ok(mut found) => {
                for one in &mut found {
                    one.locate(&source.name, &source.wgsl);
                }
                report.diagnostics.extend(found);
            }
            Err((span, message)) => {
                let mut one = Diagnostic::new("unparsed", Severity::Info, message).at(Some(span));
                one.locate(&source.name, &source.wgsl);
                report.diagnostics.push(one);
            }
        }
    }
    report.collect_stages();
    report
}

fn stages(source: &ShaderSource, linked_from: Option<&str>) -> ShaderReport {
    let mut report = ShaderReport::unparsed(&source.name, source.user, Outcome::Pass);
    if let Err(reason) = guard::bounded_depth(&source.wgsl) {
        report.parse = Outcome::fail(reason);
        return report;
    }
    let module = match naga::front::wgsl::parse_str(&source.wgsl) {
        Ok(module) => module,
        Err(error) => {
            let mut message = error.message().to_owned();
            if let Some((_, label)) =
                error.labels().next().filter(|(_, label)| !message.contains(label))
            {
                message += &format!(" ({label})");
            }
            for note in error.notes() {
                message += &format!("; {note}");
            }
            let span = error.labels().next().map_or(Span::UNDEFINED, |(span, _)| span);
            report.parse = located(&source.wgsl, linked_from, span, message);
            return report;
        }
    };
    report.entry_points = module.entry_points.iter().map(|entry| entry.name.clone()).collect();

    let info = match Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module) {
        Ok(info) => info,
        Err(error) => {
            report.validate = validation_failure(source, linked_from, "", &error);
            let skipped = || Outcome::skipped("not valid WGSL");
            (report.spirv, report.msl, report.hlsl, report.glsl, report.webgpu_limits) =
                (skipped(), skipped(), skipped(), skipped(), skipped());
            return report;
        }
    };
    report.validate = Outcome::Pass;

    let mut targets: Vec<_> =
        module.entry_points.iter().map(|e| Target(Some((e.stage, e.name.clone())))).collect();
    if targets.is_empty() {
        targets.push(Target(None));
    }
    if targets.len() > MAX_ENTRY_POINTS {
        let skipped = || Outcome::skipped(format!("more than {MAX_ENTRY_POINTS} entry points"));
        (report.spirv, report.msl, report.hlsl, report.glsl, report.webgpu_limits) =
            (skipped(), skipped(), skipped(), skipped(), skipped());
        return report;
    }
    let constants = constants_of(source);
    let resolved: Vec<_> = targets
        .iter()
        .map(|target| resolve(&module, &info, target, &constants, source, linked_from))
        .collect();

    let translate = |backend| {
        let first = portable(backend, &module, source, linked_from);
        if !matches!(first, Outcome::Pass) {
            return first;
        }
        targets.iter().zip(&resolved).fold(first, |worst, (target, resolved)| {
            worst.worse(match resolved {
                Err(outcome) => outcome.clone(),
                Ok((module, _)) => translated(backend, module, target, source, linked_from),
            })
        })
    };
    report.spirv = translate(Backend::Spirv);
    report.msl = translate(Backend::Msl);
    report.hlsl = translate(Backend::Hlsl);
    report.glsl = match translate(Backend::Glsl) {
        // An override that cannot be resolved fails in other stages already; GLSL alone never fails
        // for a feature that it lacks.
        Outcome::Fail { message, .. } if !message.contains(CRASHED) => Outcome::skipped(message),
        other => other,
    };
    report.webgpu_limits =
        targets.iter().zip(&resolved).fold(Outcome::Pass, |worst, (target, resolved)| {
            worst.worse(match resolved {
                Ok((module, info)) => without_lines(
                    limits::check(module, info, target.name(), &source.wgsl, source.user),
                    linked_from,
                ),
                Err(Outcome::Fail { .. }) => Outcome::skipped("its constants cannot be resolved"),
                Err(outcome) => outcome.clone(),
            })
        });
    report
}

/// SPIR-V words of all entry points.
pub(super) fn spirv_words(source: &ShaderSource) -> Result<Vec<u32>, String> {
    guard::bounded_depth(&source.wgsl)?;
    let module =
        naga::front::wgsl::parse_str(&source.wgsl).map_err(|error| error.message().to_owned())?;
    if module.entry_points.is_empty() {
        return Err("it has no entry point".to_owned());
    }
    let info = Validator::new(ValidationFlags::all(), back::spv::supported_capabilities())
        .validate(&module)
        .map_err(|error| chain(error.as_inner()))?;
    let (module, _) =
        back::pipeline_constants::process_overrides(&module, &info, None, &constants_of(source))
            .map_err(|error| error.to_string())?;
    if let Some(value) = limits::oversized_value(&module) {
        return Err(format!("not translated: {value}"));
    }
    let info = Validator::new(ValidationFlags::all(), back::spv::supported_capabilities())
        .validate_resolved_overrides(&module)
        .map_err(|error| chain(error.as_inner()))?;
    back::spv::write_vec(&module, &info, &spirv_options(source.user), None)
        .map_err(|error| error.to_string())
}

fn constants_of(source: &ShaderSource) -> PipelineConstants {
    source.constants.iter().map(|(name, value)| (name.clone(), *value)).collect()
}

fn resolve<'a>(
    module: &'a Module,
    info: &'a ModuleInfo,
    target: &Target,
    constants: &PipelineConstants,
    source: &ShaderSource,
    linked_from: Option<&str>,
) -> Resolved<'a> {
    match back::pipeline_constants::process_overrides(module, info, target.key(), constants) {
        Ok(resolved) => Ok(resolved),
        Err(PipelineConstantError::MissingValue(name)) if source.user => {
            Err(Outcome::skipped(format!(
                "override {name} has no default, so its value is known only when a pipeline is made"
            )))
        }
        Err(PipelineConstantError::ValidationError(error)) => {
            Err(validation_failure(source, linked_from, "with its constants filled in: ", &error))
        }
        Err(error) => Err(Outcome::fail(format!("pipeline constants: {error}"))),
    }
}

/// Validation of the whole module with one backend's capabilities.
fn portable(
    backend: Backend,
    module: &Module,
    source: &ShaderSource,
    linked_from: Option<&str>,
) -> Outcome {
    let capabilities = backend.capabilities();
    let Err(error) = Validator::new(ValidationFlags::all(), capabilities).validate(module) else {
        return Outcome::Pass;
    };
    // saliq's kernels for cooperative matrices are alternatives for adapters that have them;
    // Direct3D has none.
    let with_matrices = capabilities | Capabilities::COOPERATIVE_MATRIX;
    if !source.user
        && Validator::new(ValidationFlags::all(), with_matrices).validate(module).is_ok()
    {
        return Outcome::skipped(format!(
            "{} has no cooperative matrices; the kernel is not used there",
            backend.name()
        ));
    }
    validation_failure(source, linked_from, &format!("{} cannot do this: ", backend.name()), &error)
}

/// The description of a panic in a backend.
const CRASHED: &str = "the validator crashed on this shader";

/// Validates the resolved module for the backend again, because sizes are known now, and writes it.
fn translated(
    backend: Backend,
    module: &Module,
    target: &Target,
    source: &ShaderSource,
    linked_from: Option<&str>,
) -> Outcome {
    let info = match Validator::new(ValidationFlags::all(), backend.capabilities())
        .validate_resolved_overrides(module)
    {
        Ok(info) => info,
        Err(error) => {
            return validation_failure(
                source,
                linked_from,
                &format!("{} cannot do this: ", backend.name()),
                &error,
            );
        }
    };
    if let Some(value) = limits::oversized_value(module) {
        return Outcome::skipped(format!("not translated: {value}"));
    }
    let entry = target.name().map(|name| format!(", entry point {name}")).unwrap_or_default();
    match caught(|| write(backend, module, &info, target, source.user)) {
        Some(Ok(())) => Outcome::Pass,
        Some(Err(Unwritten::Skipped(reason))) => Outcome::skipped(reason),
        Some(Err(Unwritten::Failed(message))) => {
            Outcome::fail(format!("{}{entry}: {message}", backend.name()))
        }
        None => Outcome::fail(format!("{}{entry}: {CRASHED}", backend.name())),
    }
}

enum Unwritten {
    Skipped(String),
    Failed(String),
}

/// Bounds checks at run time, as in wgpu.
const BOUNDS: BoundsCheckPolicies = BoundsCheckPolicies {
    index: BoundsCheckPolicy::Restrict,
    buffer: BoundsCheckPolicy::Restrict,
    image_load: BoundsCheckPolicy::Restrict,
    binding_array: BoundsCheckPolicy::Unchecked,
};

/// Writes with the run-time checks of wgpu: all of them in a `user`'s shader; loops of saliq's own
/// kernels are not counted (`gpu::trusted`).
fn write(
    backend: Backend,
    module: &Module,
    info: &ModuleInfo,
    target: &Target,
    user: bool,
) -> Result<(), Unwritten> {
    let failed = |error: &dyn std::fmt::Display| Unwritten::Failed(error.to_string());
    let owned_key = || target.key().map(|(stage, name)| (stage, name.to_owned()));
    match backend {
        Backend::Spirv => {
            let pipeline = owned_key().map(|(shader_stage, entry_point)| {
                back::spv::PipelineOptions { shader_stage, entry_point }
            });
            back::spv::write_vec(module, info, &spirv_options(user), pipeline.as_ref())
                .map_err(|e| failed(&e))?;
        }
        Backend::Msl => {
            let options = back::msl::Options {
                lang_version: (3, 1),
                bounds_check_policies: BOUNDS,
                force_loop_bounding: user,
                ..Default::default()
            };
            let pipeline =
                back::msl::PipelineOptions { entry_point: owned_key(), ..Default::default() };
            let (_, translation) = back::msl::write_string(module, info, &options, &pipeline)
                .map_err(|e| failed(&e))?;
            translation
                .entry_point_names
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| failed(&e))?;
        }
        Backend::Hlsl => {
            // The registers are arbitrary, as in wgpu's own layouts, because nothing is linked
            // here.
            let register = |space| back::hlsl::BindTarget { space, ..Default::default() };
            let options = back::hlsl::Options {
                shader_model: back::hlsl::ShaderModel::V6_6,
                special_constants_binding: Some(register(254)),
                immediates_target: Some(register(253)),
                restrict_indexing: true,
                force_loop_bounding: user,
                ..Default::default()
            };
            let pipeline = back::hlsl::PipelineOptions { entry_point: owned_key() };
            let mut text = String::new();
            let mut writer = back::hlsl::Writer::new(&mut text, &options, &pipeline);
            let reflection = writer.write(module, info, None).map_err(|e| failed(&e))?;
            reflection
                .entry_point_names
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| failed(&e))?;
        }
        Backend::Glsl => {
            let Some((shader_stage, entry_point)) = owned_key() else {
                return Err(Unwritten::Skipped(
                    "GLSL is written for entry points, and there is none".to_owned(),
                ));
            };
            if !matches!(
                shader_stage,
                ShaderStage::Vertex | ShaderStage::Fragment | ShaderStage::Compute
            ) {
                return Err(Unwritten::Skipped(format!(
                    "GLSL ES 3.10 has no {shader_stage:?} stage"
                )));
            }
            let options = back::glsl::Options::default();
            let pipeline =
                back::glsl::PipelineOptions { shader_stage, entry_point, multiview: None };
            let mut text = String::new();
            back::glsl::Writer::new(
                &mut text,
                module,
                info,
                &options,
                &pipeline,
                BoundsCheckPolicies::default(),
            )
            .and_then(|mut writer| writer.write())
            .map_err(|e| Unwritten::Skipped(e.to_string()))?;
        }
    }
    Ok(())
}

fn spirv_options(user: bool) -> back::spv::Options<'static> {
    back::spv::Options {
        lang_version: (1, 3),
        bounds_check_policies: BOUNDS,
        force_loop_bounding: user,
        ..Default::default()
    }
}

fn validation_failure(
    source: &ShaderSource,
    linked_from: Option<&str>,
    prefix: &str,
    error: &WithSpan<ValidationError>,
) -> Outcome {
    // The spans go from the function down to the expression: the shortest is the position, the
    // outer ones its context.
    let ranged = error.spans().filter_map(|(span, _)| Some((span.to_range()?.len(), *span)));
    let span = ranged.min_by_key(|(length, _)| *length).map_or(Span::UNDEFINED, |(_, span)| span);
    located(&source.wgsl, linked_from, span, format!("{prefix}{}", chain(error.as_inner())))
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    message
}

fn located(wgsl: &str, linked_from: Option<&str>, span: Span, message: String) -> Outcome {
    let (line, column) = place(wgsl, span);
    let text = line
        .and_then(|line| wgsl.lines().nth(line as usize - 1))
        .map(str::trim)
        .unwrap_or_default();
    match linked_from {
        Some(_) if !text.is_empty() => {
            let text: String = text.chars().take(120).collect();
            Outcome::fail(format!("{message} (linked from imports; at `{text}`)"))
        }
        Some(_) => Outcome::fail(message),
        None => Outcome::Fail { message, line, column },
    }
}

/// Lines of a linked shader are not lines of the file.
fn without_lines(outcome: Outcome, linked_from: Option<&str>) -> Outcome {
    match (outcome, linked_from) {
        (Outcome::Warn { message, .. }, Some(_)) => {
            Outcome::Warn { message, line: None, column: None }
        }
        (Outcome::Fail { message, .. }, Some(_)) => Outcome::fail(message),
        (other, _) => other,
    }
}
