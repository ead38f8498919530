//! Uses naga to parse, validate for each backend, resolve overrides, and write.

use super::{
    analysis::{analyse, module_of},
    diagnostic::{Diagnostic, Platform, Severity},
    guard, limits, mistranslations,
    naga_text::gap,
    options::CheckOptions,
    place::Region,
    report::{Outcome, ShaderReport, ShaderSource},
    tools::{self, Written},
};
use crate::panics::caught_saying;
use naga::back::{self, PipelineConstants, pipeline_constants::PipelineConstantError};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationError, ValidationFlags, Validator};
use naga::{Module, ShaderStage, Span, WithSpan};
use std::{borrow::Cow, cmp::Reverse, collections::HashMap, ops::Range};

/// Largest number of translated entry points; each needs a copy of the code that it reaches.
const MAX_ENTRY_POINTS: usize = 256;

/// The part to translate: one entry point, or the whole module if it has none.
pub(super) struct Target(pub Option<(ShaderStage, String)>);

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
pub(super) enum Backend {
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

    fn platform(self) -> Platform {
        match self {
            Backend::Spirv => Platform::Vulkan,
            Backend::Msl => Platform::Metal,
            Backend::Hlsl => Platform::Dx12,
            Backend::Glsl => Platform::Gles,
        }
    }

    pub fn capabilities(self) -> Capabilities {
        match self {
            Backend::Spirv => back::spv::supported_capabilities(),
            Backend::Msl => back::msl::supported_capabilities(),
            Backend::Hlsl => back::hlsl::supported_capabilities(),
            Backend::Glsl => back::glsl::supported_capabilities(),
        }
    }
}

/// What naga can translate for every backend.
fn shared_capabilities() -> Capabilities {
    [Backend::Spirv, Backend::Msl, Backend::Hlsl, Backend::Glsl]
        .into_iter()
        .fold(Capabilities::all(), |shared, backend| shared & backend.capabilities())
}

pub(super) fn validator(capabilities: Capabilities) -> Validator {
    Validator::new(ValidationFlags::all(), capabilities)
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
    check_all_keeping(sources, options, None)
}

/// What is done with the SPIR-V of a source, given its index.
pub(super) type Keep<'a> = Option<&'a (dyn Fn(usize, &[u32]) + Sync)>;

/// Largest number of constant sets of one text that a thread takes at once.
const SETS_AT_ONCE: usize = 32;

/// As [`check_all_for`]; `keep` gets the SPIR-V of every entry point that is written.
///
/// Sources of one text that differ in constants alone are read together: the text is parsed,
/// judged by the rules and validated once, and what depends on constants for each.
pub(super) fn check_all_keeping(
    sources: &[ShaderSource],
    options: &CheckOptions,
    keep: Keep<'_>,
) -> Vec<ShaderReport> {
    let mut by_text: HashMap<(&str, bool), Vec<usize>> = HashMap::new();
    for (index, source) in sources.iter().enumerate() {
        by_text.entry((&source.wgsl, source.user)).or_default().push(index);
    }
    let mut sets: Vec<Vec<usize>> = by_text
        .into_values()
        .flat_map(|all| all.chunks(SETS_AT_ONCE).map(<[usize]>::to_vec).collect::<Vec<_>>())
        .collect();
    // What takes longest comes first, so that all threads end together.
    let work = |set: &Vec<usize>| set.len() * sources[set[0]].wgsl.len();
    sets.sort_by_key(|set| (Reverse(work(set)), set[0]));
    let checked = guard::parallel(
        &sets,
        |set| check_text(sources, set, None, options, keep),
        |set, reason| {
            let unread = |index: &usize| {
                let source = &sources[*index];
                ShaderReport::unparsed(&source.name, source.user, Outcome::fail(reason))
            };
            set.iter().map(unread).collect()
        },
    );
    let mut reports: Vec<_> =
        sets.into_iter().flatten().zip(checked.into_iter().flatten()).collect();
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// Checks one shader. `linked_from` is set if the shader was linked from files. Its lines are then
/// not those of the file, so errors quote the line instead of numbering it.
pub(super) fn check_source(
    source: &ShaderSource,
    linked_from: Option<&str>,
    options: &CheckOptions,
) -> ShaderReport {
    let sources = std::slice::from_ref(source);
    check_text(sources, &[0], linked_from, options, None).pop().unwrap_or_else(|| {
        ShaderReport::unparsed(&source.name, source.user, Outcome::fail("not checked"))
    })
}

/// Runs every stage for the `set` of `sources`, which have one text.
fn check_text(
    sources: &[ShaderSource],
    set: &[usize],
    linked_from: Option<&str>,
    options: &CheckOptions,
    keep: Keep<'_>,
) -> Vec<ShaderReport> {
    let Some(first) = set.first().map(|index| &sources[*index]) else { return Vec::new() };
    if let Err(reason) = guard::bounded_depth(&first.wgsl) {
        let unread = |index: &usize| {
            let source = &sources[*index];
            ShaderReport::unparsed(&source.name, source.user, Outcome::fail(&reason))
        };
        return set.iter().map(unread).collect();
    }
    let mut report = ShaderReport::unparsed(&first.name, first.user, Outcome::Pass);
    let analysis = match analyse(&first.wgsl) {
        Ok(analysis) => Some(analysis),
        Err((span, message)) => {
            log::debug!("{}: {span:?}: {message}", first.name);
            None
        }
    };
    let mut check = Check {
        source: first,
        index: set[0],
        linked_from,
        options,
        keep,
        found: Vec::new(),
        gaps: Vec::new(),
        features: Vec::new(),
        asserts: Vec::new(),
        blind: Vec::new(),
        text: Cow::Borrowed(&first.wgsl),
        shift: 0,
        parsed: analysis.is_some(),
    };
    if let Some(analysis) = analysis {
        check.found = analysis.found;
        if !check.is_target(Platform::WebGpu) {
            tolerate(&mut check.found);
        }
        check.gaps = analysis.naga.gaps;
        check.asserts = analysis.naga.asserts;
        check.blind = analysis.naga.blind;
        check.features = analysis.features.into_iter().collect();
        if analysis.naga.text != first.wgsl {
            check.text = Cow::Owned(analysis.naga.text);
        }
    }
    let valid = check.valid(&mut report);
    set.iter()
        .map(|&index| {
            let source = &sources[index];
            let mut own = Check { source, index, ..check.clone() };
            let mut report = ShaderReport { name: source.name.clone(), ..report.clone() };
            if let Some(valid) = &valid {
                own.specialised(valid, &mut report);
            }
            own.finish(&mut report);
            report
        })
        .collect()
}

/// A module that is valid, whatever its constants are.
struct Valid {
    module: Module,
    info: ModuleInfo,
    /// Whether it is valid with what all backends have.
    is_portable: bool,
}

/// The check of one shader.
#[derive(Clone)]
struct Check<'a> {
    source: &'a ShaderSource,
    /// Its number among the sources.
    index: usize,
    linked_from: Option<&'a str>,
    options: &'a CheckOptions,
    keep: Keep<'a>,
    /// Findings of rules.
    found: Vec<Diagnostic>,
    /// What naga refuses and the specification allows.
    gaps: Vec<Diagnostic>,
    features: Vec<String>,
    /// Bytes of `const_assert` that the rules know to hold.
    asserts: Vec<Range<usize>>,
    /// Bytes that are valid and that naga may refuse.
    blind: Vec<Range<usize>>,
    /// The text for naga, `shift` bytes longer at the start than the source.
    text: Cow<'a, str>,
    shift: u32,
    /// Whether the rules could read the shader.
    parsed: bool,
}

impl Check<'_> {
    fn has_errors(&self) -> bool {
        self.found.iter().any(|one| one.severity == Severity::Error)
    }

    /// Whether what naga says at a place is a limit of naga, because the rules find nothing. Then
    /// it is one of the gaps.
    fn note_gap(&mut self, message: &str, span: Span) -> bool {
        let bytes = self.bytes(span);
        let is_blind = || {
            bytes.as_ref().is_some_and(|at| {
                let touches = |one: &Range<usize>| one.start <= at.end && at.start <= one.end;
                self.blind.iter().any(touches) && BLIND.iter().any(|one| message.contains(one))
            })
        };
        let is_limit = self.parsed && !self.has_errors() && (is_gap(message) || is_blind());
        if is_limit {
            self.gaps.push(gap(&format!("naga says: {message}"), bytes));
        }
        is_limit
    }

    fn is_target(&self, platform: Platform) -> bool {
        self.options.targets.contains(&platform)
    }

    /// The bytes in the source of a place in naga's text.
    fn bytes(&self, span: Span) -> Option<Range<usize>> {
        let range = span.to_range()?;
        let shift = self.shift as usize;
        Some(range.start.saturating_sub(shift)..range.end.saturating_sub(shift))
    }

    fn parse(&mut self) -> Result<Module, naga::front::wgsl::ParseError> {
        let first = naga::front::wgsl::parse_str(&self.text);
        // naga ends a `const_assert` behind a first pair of parentheses. The rules judge it too.
        if let Err(error) = &first
            && error.message().contains("expected `;`")
            && let Some(at) = error.labels().next().and_then(|(span, _)| span.to_range())
            && let Some(bytes) = self.asserts.iter().find(|bytes| bytes.contains(&at.start))
        {
            let blank = |text: &str| -> String {
                text.chars()
                    .map(|c| {
                        if c == '\n' || c == '\r' {
                            c.to_string()
                        } else {
                            " ".repeat(c.len_utf8())
                        }
                    })
                    .collect()
            };
            let mut text = self.text.to_string();
            for bytes in &self.asserts {
                let spaces = blank(&text[bytes.clone()]);
                text.replace_range(bytes.clone(), &spaces);
            }
            self.gaps.push(gap("a const_assert that begins with parentheses", Some(bytes.clone())));
            self.text = Cow::Owned(text);
            return naga::front::wgsl::parse_str(&self.text);
        }
        // Arrays of bindings are in naga behind an extension of its own.
        const EXTENSION: &str = "enable wgpu_binding_array;";
        match first {
            Err(error)
                if self.parsed && error.message().contains("`wgpu_binding_array` enable ext") =>
            {
                let text = format!("{EXTENSION}{}", self.text);
                match naga::front::wgsl::parse_str(&text) {
                    Err(_) => Err(error),
                    Ok(module) => {
                        let message = "an array of bindings without `enable wgpu_binding_array;`";
                        let span = error.labels().next().and_then(|(span, _)| self.bytes(span));
                        self.gaps.push(gap(message, span));
                        self.text = Cow::Owned(text);
                        self.shift = EXTENSION.len() as u32;
                        Ok(module)
                    }
                }
            }
            other => other,
        }
    }

    /// Parses and validates, which needs no constants; `None` if that ends the check.
    fn valid(&mut self, report: &mut ShaderReport) -> Option<Valid> {
        let module = match self.parse() {
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
                let message = plain_words(&message);
                let span = error.labels().next().map_or(Span::UNDEFINED, |(span, _)| span);
                if self.note_gap(&message, span) {
                    report.parse = Outcome::Pass;
                    self.native(report);
                    return None;
                }
                report.parse = self.located(span, message);
                return None;
            }
        };
        report.entry_points = module.entry_points.iter().map(|entry| entry.name.clone()).collect();

        // What is valid with the features that all backends have needs no look at each of them.
        let shared = validator(shared_capabilities()).validate(&module);
        let is_portable = shared.is_ok();
        let valid = match shared {
            Err(_) => validator(Capabilities::all()).validate(&module),
            shared => shared,
        };
        let info = match valid {
            Ok(info) => info,
            Err(error) => {
                let message = plain_words(&chain(error.as_inner()));
                let span = shortest(&error);
                if self.note_gap(&message, span) {
                    report.validate = Outcome::Pass;
                    self.native(report);
                    return None;
                }
                report.validate = self.validation_failure("", &error);
                skip_translations(report, "not valid WGSL");
                return None;
            }
        };
        if self.has_errors() {
            report.validate = self.first_error();
            skip_translations(report, "not valid WGSL");
            return None;
        }
        report.validate = Outcome::Pass;
        Some(Valid { module, info, is_portable })
    }

    /// The stages that depend on constants.
    fn specialised(&mut self, valid: &Valid, report: &mut ShaderReport) {
        let Valid { module, info, is_portable } = valid;
        let mut targets: Vec<_> =
            module.entry_points.iter().map(|e| Target(Some((e.stage, e.name.clone())))).collect();
        if targets.is_empty() {
            targets.push(Target(None));
        }
        if targets.len() > MAX_ENTRY_POINTS {
            skip_translations(report, &format!("more than {MAX_ENTRY_POINTS} entry points"));
            return;
        }
        let constants = constants_of(self.source);
        let resolved: Vec<_> =
            targets.iter().map(|target| self.resolve(module, info, target, &constants)).collect();
        report.webgpu_limits = self.limits(report, &targets, &resolved);
        if !self.gaps.is_empty() {
            self.native(report);
            return;
        }

        if self.source.user {
            let warnings = mistranslations::warnings(module, info, |span| self.bytes(span));
            report.diagnostics.extend(warnings);
        }
        let translate = |backend: Backend| {
            if !self.translates_for(backend) {
                return Outcome::skipped(format!("{} is no target", backend.name()));
            }
            // A module that is valid with what all backends have stays so with its constants, which
            // add nothing; naga has validated their values.
            let own = if *is_portable { None } else { Some(self.portable(backend, module)) };
            let backend_info = match &own {
                None => info,
                Some(Ok(info)) => info,
                Some(Err(outcome)) => return outcome.clone(),
            };
            targets.iter().zip(&resolved).fold(Outcome::Pass, |worst, (target, resolved)| {
                worst.worse(match resolved {
                    Err(outcome) => outcome.clone(),
                    // Without overrides it is the module that is validated already.
                    Ok((Cow::Borrowed(module), _)) => {
                        self.written(backend, module, backend_info, target)
                    }
                    Ok((module, info)) if *is_portable => {
                        self.written(backend, module, info, target)
                    }
                    Ok((module, _)) => self.translated(backend, module, target),
                })
            })
        };
        report.spirv = translate(Backend::Spirv);
        report.msl = translate(Backend::Msl);
        report.hlsl = translate(Backend::Hlsl);
        report.glsl = match translate(Backend::Glsl) {
            // An override that cannot be resolved fails in other stages already; GLSL alone never
            // fails for a feature that it lacks, nor for a fault of its writer, unless it is asked
            // for.
            Outcome::Fail { message, .. } if !self.is_target(Platform::Gles) => {
                Outcome::skipped(message)
            }
            other => other,
        };
    }

    fn translates_for(&self, backend: Backend) -> bool {
        // GLSL is shown along with the targets that are there without a choice.
        self.is_target(backend.platform())
            || (backend == Backend::Spirv && self.keep.is_some())
            || (backend == Backend::Glsl && self.options.targets == CheckOptions::default().targets)
    }

    /// Outcomes of the targets that use naga, which refuses the shader.
    fn native(&self, report: &mut ShaderReport) {
        let message = self.gaps.first().map(|one| one.message.clone()).unwrap_or_default();
        let place = self.gaps.first().and_then(|one| one.span.clone());
        let outcome = |platform: Platform| {
            if self.is_target(platform) {
                self.fail_at(place.clone(), message.clone())
            } else {
                Outcome::skipped(message.clone())
            }
        };
        report.spirv = outcome(Platform::Vulkan);
        report.msl = outcome(Platform::Metal);
        report.hlsl = outcome(Platform::Dx12);
        report.glsl = outcome(Platform::Gles);
        if matches!(report.validate, Outcome::Skipped { .. }) {
            report.validate = Outcome::skipped("naga cannot read it");
        }
        if matches!(&report.webgpu_limits, Outcome::Skipped { reason } if reason == "not parsed") {
            report.webgpu_limits = Outcome::skipped("naga cannot read it");
        }
    }

    fn first_error(&self) -> Outcome {
        match self.found.iter().find(|one| one.severity == Severity::Error) {
            Some(one) => self.fail_at(one.span.clone(), one.message.clone()),
            None => Outcome::Pass,
        }
    }

    fn fail_at(&self, span: Option<Range<usize>>, message: String) -> Outcome {
        let span = span.map_or(Span::UNDEFINED, |span| {
            let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX).saturating_add(self.shift);
            Span::new(at(span.start), at(span.end))
        });
        self.located(span, message)
    }

    /// What the entry points need of limits; the outcome is the first need.
    fn limits(
        &self,
        report: &mut ShaderReport,
        targets: &[Target],
        resolved: &[Resolved<'_>],
    ) -> Outcome {
        let user = self.source.user;
        let given = if user { self.options.limits.as_ref() } else { None };
        let allowed = |limit: &str| {
            let given = given.and_then(|given| given.get(limit)).copied();
            given.unwrap_or(limits::default_of(limit))
        };
        let mut worst = Outcome::Pass;
        for (target, resolved) in targets.iter().zip(resolved) {
            let (module, info) = match resolved {
                Ok((module, info)) => (module, info),
                Err(Outcome::Fail { .. }) => {
                    worst = worst.worse(Outcome::skipped("its constants cannot be resolved"));
                    continue;
                }
                Err(outcome) => {
                    worst = worst.worse(outcome.clone());
                    continue;
                }
            };
            let Some(needs) = limits::needs(module, info, target.name(), allowed) else {
                worst = worst.worse(Outcome::skipped("no entry point"));
                continue;
            };
            for need in needs {
                // Formats of attachments are not known.
                let is_guess = need.limit == "maxColorAttachmentBytesPerSample";
                let is_error = !user || (given.is_some() && !is_guess);
                let text = format!("{} = {}", need.limit, need.value);
                if user && !report.needs.contains(&text) {
                    let raised = |known: &String| {
                        known
                            .split_once(" = ")
                            .filter(|(limit, _)| *limit == need.limit)
                            .map_or(0, |(_, value)| value.parse::<u64>().unwrap_or(0))
                    };
                    if report.needs.iter().all(|known| raised(known) < need.value) {
                        report.needs.retain(|known| raised(known) == 0);
                        report.needs.push(text);
                    }
                }
                let message = if given.is_some() {
                    format!("{}; {} is {}", need.message, need.limit, allowed(need.limit))
                } else {
                    format!("{}; WebGPU's defaults allow no more", need.message)
                };
                let outcome = match self.located(need.span, message) {
                    fail if is_error => fail,
                    _ if is_guess => Outcome::Pass,
                    Outcome::Fail { message, line, column } => {
                        Outcome::Warn { message, line, column }
                    }
                    other => other,
                };
                if let (true, Outcome::Fail { message, .. }) = (user, &outcome) {
                    let one = Diagnostic::error("limit", message.clone()).at(self.bytes(need.span));
                    report.diagnostics.push(one);
                }
                worst = worst.worse(outcome);
            }
        }
        worst
    }

    /// Puts together findings, needs and outcomes.
    fn finish(&mut self, report: &mut ShaderReport) {
        for feature in &self.features {
            let known = |names: &[String]| {
                names.iter().any(|name| name == feature || format!("shader-{name}") == *feature)
            };
            if self.source.user && self.options.features.as_deref().is_some_and(|all| !known(all)) {
                let message =
                    format!("the shader needs {feature}, which is not among the features given");
                report.diagnostics.push(Diagnostic::error("missing-feature", message));
            }
        }
        if self.source.user {
            report.needs.extend(self.features.iter().cloned());
        }
        report.needs.sort();
        if let Some(allowed) = &self.options.allowed_needs {
            for need in &report.needs {
                let name = need.split(" = ").next().unwrap_or(need);
                if !allowed.iter().any(|one| one == name || one == need) {
                    let message = format!("the shader needs {need}, which is not allowed");
                    report.diagnostics.push(Diagnostic::error("need", message));
                }
            }
        }
        self.untranslated(report);
        let located = |diagnostics: Vec<Diagnostic>| {
            diagnostics.into_iter().map(|mut one| {
                one.locate(&self.source.name, &self.source.wgsl);
                if one.targets.is_empty() {
                    one.targets = Platform::ALL.to_vec();
                }
                one
            })
        };
        let mut all: Vec<_> = located(std::mem::take(&mut self.found)).collect();
        all.extend(located(std::mem::take(&mut self.gaps)));
        all.extend(located(std::mem::take(&mut report.diagnostics)));
        report.diagnostics = all;
        report.collect_stages();
        if self.linked_from.is_some() {
            for one in &mut report.diagnostics {
                (one.line, one.column, one.end_line, one.end_column) = (None, None, None, None);
            }
        }
        report.keep_targets(&self.options.targets);
    }

    /// Says why a shader that passes was written for no target.
    fn untranslated(&self, report: &mut ShaderReport) {
        let outcomes = [
            (Platform::Vulkan, &report.spirv),
            (Platform::Metal, &report.msl),
            (Platform::Dx12, &report.hlsl),
        ];
        let asked: Vec<_> =
            outcomes.into_iter().filter(|(platform, _)| self.is_target(*platform)).collect();
        let reasons = asked.iter().map(|(_, outcome)| match outcome {
            Outcome::Skipped { reason } => Some(reason.clone()),
            _ => None,
        });
        let Some(reasons) = reasons.collect::<Option<Vec<_>>>() else { return };
        if let (Some(reason), Outcome::Pass) = (reasons.into_iter().next(), &report.validate) {
            let message = format!("valid, and not translated: {reason}");
            let one = Diagnostic::new("not-translated", Severity::Info, message)
                .on(asked.into_iter().map(|(platform, _)| platform));
            report.diagnostics.push(one);
        }
    }

    fn resolve<'m>(
        &self,
        module: &'m Module,
        info: &'m ModuleInfo,
        target: &Target,
        constants: &PipelineConstants,
    ) -> Resolved<'m> {
        match back::pipeline_constants::process_overrides(module, info, target.key(), constants) {
            Ok(resolved) => Ok(resolved),
            Err(PipelineConstantError::MissingValue(name)) if self.source.user => {
                Err(Outcome::skipped(format!(
                    "override {name} has no default, so its value is known only when a pipeline is \
                     made"
                )))
            }
            // A pipeline may give other values than the defaults.
            Err(error) if self.source.user && self.source.constants.is_empty() => {
                let text = match &error {
                    PipelineConstantError::ValidationError(error) => chain(error.as_inner()),
                    other => other.to_string(),
                };
                let text = plain_words(&text);
                Err(Outcome::skipped(format!("with the defaults of its overrides: {text}")))
            }
            Err(PipelineConstantError::ValidationError(error)) => {
                Err(self.validation_failure("with its constants filled in: ", &error))
            }
            Err(error) => Err(Outcome::fail(format!("pipeline constants: {error}"))),
        }
    }

    /// Validation of the whole module with one backend's capabilities.
    fn portable(&self, backend: Backend, module: &Module) -> Result<ModuleInfo, Outcome> {
        let capabilities = backend.capabilities();
        let error = match validator(capabilities).validate(module) {
            Ok(info) => return Ok(info),
            Err(error) => error,
        };
        // saliq's kernels for cooperative matrices are alternatives for adapters that have them;
        // Direct3D has none.
        let with_matrices = capabilities | Capabilities::COOPERATIVE_MATRIX;
        if !self.source.user && validator(with_matrices).validate(module).is_ok() {
            return Err(Outcome::skipped(format!(
                "{} has no cooperative matrices; the kernel is not used there",
                backend.name()
            )));
        }
        // A feature of WebGPU that a device may lack is a need, and no fault.
        let with_features = capabilities | OPTIONAL;
        if self.source.user && validator(with_features).validate(module).is_ok() {
            let text = plain_words(&chain(error.as_inner()));
            let reason = format!("{} lacks what it needs: {text}", backend.name());
            return Err(Outcome::skipped(reason));
        }
        Err(self.validation_failure(&format!("{} cannot do this: ", backend.name()), &error))
    }

    /// Validates the resolved module for the backend again, because sizes are known now, and
    /// writes it.
    fn translated(&self, backend: Backend, module: &Module, target: &Target) -> Outcome {
        let info = match validator(backend.capabilities()).validate_resolved_overrides(module) {
            Ok(info) => info,
            Err(error) => {
                let prefix = format!("{} cannot do this: ", backend.name());
                return self.validation_failure(&prefix, &error);
            }
        };
        self.written(backend, module, &info, target)
    }

    /// Writes a module that is valid for the backend.
    fn written(
        &self,
        backend: Backend,
        module: &Module,
        info: &ModuleInfo,
        target: &Target,
    ) -> Outcome {
        if let Some(value) = limits::oversized_value(module) {
            return Outcome::skipped(format!("not translated: {value}"));
        }
        let entry = target.name().map(|name| format!(", entry point {name}")).unwrap_or_default();
        let backend_name = backend.name();
        let at = |message: String| {
            let place = target.name().map(|name| self.named_in(&format!("'{name}'")));
            self.located(place.unwrap_or(Span::UNDEFINED), message)
        };
        match write(backend, module, info, target, self.source.user) {
            Ok(written) => {
                if let (Some(keep), Written::Words(words)) = (self.keep, &written) {
                    keep(self.index, words);
                }
                let stage = target.key().map(|(stage, _)| stage);
                let said = stage
                    .filter(|_| self.options.tools && self.source.user)
                    .and_then(|stage| tools::judge(backend.platform(), &written, stage));
                match said {
                    None => Outcome::Pass,
                    Some((tool, said)) => at(format!(
                        "{tool} refuses what naga wrote for {backend_name}{entry}: {said}"
                    )),
                }
            }
            Err(Unwritten::Skipped(reason)) => Outcome::skipped(reason),
            // Direct3D has immediates in structures only; they are a need already.
            Err(Unwritten::Failed(message)) if message.contains("has non-struct type") => {
                Outcome::skipped(format!("{backend_name}{entry}: {message}"))
            }
            Err(Unwritten::Failed(message)) => {
                at(format!("{backend_name}{entry}: {}", plain_words(&message)))
            }
        }
    }

    fn validation_failure(&self, prefix: &str, error: &WithSpan<ValidationError>) -> Outcome {
        let message = plain_words(&chain(error.as_inner()));
        let mut span = shortest(error);
        if !span.is_defined() {
            span = self.named_in(&message);
        }
        self.located(span, format!("{prefix}{message}"))
    }

    /// The declaration of the name in quotes in a message of naga.
    fn named_in(&self, message: &str) -> Span {
        let name = message.split('\'').nth(1).or_else(|| {
            message.strip_prefix("Entry point ").and_then(|rest| rest.split(' ').next())
        });
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Span::UNDEFINED };
        let found = ["fn ", "struct ", "alias ", "override ", "const ", "> ", "var "]
            .iter()
            .filter_map(|before| {
                let at = self.text.find(&format!("{before}{name}"))? + before.len();
                let next = self.text[at + name.len()..].chars().next();
                let ends = next.is_none_or(|c| !c.is_alphanumeric() && c != '_');
                ends.then_some(at)
            })
            .min();
        found.map_or(Span::UNDEFINED, |at| {
            let at32 = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            Span::new(at32(at), at32(at + name.len()))
        })
    }

    fn located(&self, span: Span, message: String) -> Outcome {
        let region = self.bytes(span).and_then(|bytes| Region::of(&self.source.wgsl, bytes));
        let line = region.map(|at| at.line);
        let text = line
            .and_then(|line| self.source.wgsl.lines().nth(line as usize - 1))
            .map(str::trim)
            .unwrap_or_default();
        match self.linked_from {
            Some(_) if !text.is_empty() => {
                let text: String = text.chars().take(120).collect();
                Outcome::fail(format!("{message} (linked from imports; at `{text}`)"))
            }
            Some(_) => Outcome::fail(message),
            None => Outcome::Fail { message, line, column: region.map(|at| at.column) },
        }
    }
}

/// Features of WebGPU that devices may lack.
const OPTIONAL: Capabilities = Capabilities::CLIP_DISTANCES
    .union(Capabilities::DUAL_SOURCE_BLENDING)
    .union(Capabilities::PRIMITIVE_INDEX)
    .union(Capabilities::SHADER_FLOAT16)
    .union(Capabilities::SUBGROUP)
    .union(Capabilities::IMMEDIATES)
    .union(Capabilities::STORAGE_TEXTURE_16BIT_NORM_FORMATS)
    .union(Capabilities::TEXTURE_EXTERNAL);

/// Rules of the specification that naga does not apply: without browsers among the targets what
/// they find is a warning. naga still refuses what it cannot translate.
const TOLERATED: [&str; 4] =
    ["const-overflow", "derivative-uniformity", "extension", "subgroup-uniformity"];

fn tolerate(found: &mut [Diagnostic]) {
    let errors = found.iter_mut().filter(|one| one.severity == Severity::Error);
    for one in errors.filter(|one| TOLERATED.contains(&one.rule)) {
        one.severity = Severity::Warning;
        one.message.push_str("; naga lets it pass, browsers refuse it");
    }
}

/// What naga says at places that it may refuse though they are valid.
const BLIND: [&str; 8] = [
    "failed to convert expression to a concrete type",
    "found \"--\"",
    "identifier: `subgroupElect`",
    "is expected to be",
    "The `return` expression",
    "is out of bounds",
    "that can't be passed into functions",
    "unknown builtin",
];

/// Whether a refusal of naga, where the rules find nothing, is a limit of naga.
fn is_gap(message: &str) -> bool {
    [
        "redefinition of ",
        "Not implemented as constant expression",
        "Division by zero",
        "which can't be passed into functions",
        "Alignment requirements for address space Uniform are not met",
        "not yet implemented",
        "not yet supported",
        "Subgroup operation is invalid: Operand has invalid type",
        "Workgroup size is multi dimensional",
        "Workgroup size is out of range",
        "is not supported in immediates",
    ]
    .iter()
    .any(|known| message.contains(known))
        || message.contains("The `return` expression None does not match")
}

/// A message of naga without the numbers of its arenas and what only its own output shows.
fn plain_words(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(" [") {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        let digits = behind[2..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && behind[2 + digits..].starts_with(']') {
            rest = &behind[3 + digits..];
        } else {
            text.push_str(" [");
            rest = &behind[2..];
        }
    }
    text.push_str(rest);
    text.replace(" (see msg)", "").replace("Type '' ", "a type ")
}

/// The spans go from the function down to the expression: the shortest is the position, the outer
/// ones its context.
fn shortest(error: &WithSpan<ValidationError>) -> Span {
    let ranged = error.spans().filter_map(|(span, _)| Some((span.to_range()?.len(), *span)));
    ranged.min_by_key(|(length, _)| *length).map_or(Span::UNDEFINED, |(_, span)| span)
}

fn skip_translations(report: &mut ShaderReport, reason: &str) {
    let skipped = || Outcome::skipped(reason);
    (report.spirv, report.msl, report.hlsl, report.glsl, report.webgpu_limits) =
        (skipped(), skipped(), skipped(), skipped(), skipped());
}

/// SPIR-V words of all entry points.
pub(super) fn spirv_words(source: &ShaderSource) -> Result<Vec<u32>, String> {
    guard::bounded_depth(&source.wgsl)?;
    let module = module_of(&source.wgsl)?;
    if module.entry_points.is_empty() {
        return Err("it has no entry point".to_owned());
    }
    let info = validator(back::spv::supported_capabilities())
        .validate(&module)
        .map_err(|error| chain(error.as_inner()))?;
    let (module, _) =
        back::pipeline_constants::process_overrides(&module, &info, None, &constants_of(source))
            .map_err(|error| error.to_string())?;
    if let Some(value) = limits::oversized_value(&module) {
        return Err(format!("not translated: {value}"));
    }
    let info = validator(back::spv::supported_capabilities())
        .validate_resolved_overrides(&module)
        .map_err(|error| chain(error.as_inner()))?;
    back::spv::write_vec(&module, &info, &spirv_options(source.user), None)
        .map_err(|error| error.to_string())
}

fn constants_of(source: &ShaderSource) -> PipelineConstants {
    source.constants.iter().map(|(name, value)| (name.clone(), *value)).collect()
}

/// The beginning of what is said of a panic in a backend.
const CRASHED: &str = "a fault of the translator, your WGSL is valid";

pub(super) enum Unwritten {
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

/// Whether a module has an array of bindings that are buffers.
fn has_buffer_arrays(module: &Module) -> bool {
    module.types.iter().any(|(_, ty)| match ty.inner {
        naga::TypeInner::BindingArray { base, .. } => !matches!(
            module.types[base].inner,
            naga::TypeInner::Image { .. } | naga::TypeInner::Sampler { .. }
        ),
        _ => false,
    })
}

/// Writes with the run-time checks of wgpu: all of them in a `user`'s shader; loops of saliq's own
/// kernels are not counted (`gpu::trusted`). A panic is a failure.
pub(super) fn write(
    backend: Backend,
    module: &Module,
    info: &ModuleInfo,
    target: &Target,
    user: bool,
) -> Result<Written, Unwritten> {
    let within = |bounds| {
        caught_saying(|| write_within(backend, module, info, target, user, bounds))
            .unwrap_or_else(|said| Err(Unwritten::Failed(format!("{CRASHED}: {said}"))))
    };
    let written = within(BOUNDS);
    // naga does not know the lengths of buffers in an array of bindings. wgpu leaves their bounds
    // to devices that check them.
    if !matches!(written, Err(Unwritten::Failed(_))) || !has_buffer_arrays(module) {
        return written;
    }
    let unchecked = BoundsCheckPolicies { buffer: BoundsCheckPolicy::Unchecked, ..BOUNDS };
    within(unchecked).map_err(|why| match backend {
        Backend::Msl => Unwritten::Skipped("naga has no arrays of buffers for Metal".to_owned()),
        _ => why,
    })
}

fn write_within(
    backend: Backend,
    module: &Module,
    info: &ModuleInfo,
    target: &Target,
    user: bool,
    bounds: BoundsCheckPolicies,
) -> Result<Written, Unwritten> {
    let failed = |error: &dyn std::fmt::Display| Unwritten::Failed(error.to_string());
    let owned_key = || target.key().map(|(stage, name)| (stage, name.to_owned()));
    match backend {
        Backend::Spirv => {
            let pipeline = owned_key().map(|(shader_stage, entry_point)| {
                back::spv::PipelineOptions { shader_stage, entry_point }
            });
            let options =
                back::spv::Options { bounds_check_policies: bounds, ..spirv_options(user) };
            let words = back::spv::write_vec(module, info, &options, pipeline.as_ref())
                .map_err(|e| failed(&e))?;
            Ok(Written::Words(words))
        }
        Backend::Msl => {
            let options = back::msl::Options {
                lang_version: (3, 1),
                bounds_check_policies: bounds,
                force_loop_bounding: user,
                ..Default::default()
            };
            let pipeline =
                back::msl::PipelineOptions { entry_point: owned_key(), ..Default::default() };
            let (text, translation) = back::msl::write_string(module, info, &options, &pipeline)
                .map_err(|e| failed(&e))?;
            let names = translation
                .entry_point_names
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| failed(&e))?;
            Ok(Written::Text(text, names.into_iter().next().unwrap_or_default()))
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
            let names = reflection
                .entry_point_names
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| failed(&e))?;
            Ok(Written::Text(text, names.into_iter().next().unwrap_or_default()))
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
            Ok(Written::Text(text, "main".to_owned()))
        }
    }
}

fn spirv_options(user: bool) -> back::spv::Options<'static> {
    back::spv::Options {
        lang_version: (1, 3),
        bounds_check_policies: BOUNDS,
        force_loop_bounding: user,
        ..Default::default()
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    message
}
