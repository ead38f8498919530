//! What naga 30 is known to translate wrongly: the shader is valid, what is written is not.

use std::{collections::HashMap, ops::Range};

use naga::{
    AtomicFunction, Binding, Block, BuiltIn, EntryPoint, Expression, Function, Handle, ImageClass,
    ImageQuery, Literal, Module, Span, Statement, Type, TypeInner, UnaryOperator,
    proc::TypeResolution,
    valid::{FunctionInfo, ModuleInfo},
};

use super::diagnostic::{Diagnostic, Platform, Severity};

/// Warnings of a module; `bytes` maps a span to the source.
pub(super) fn warnings(
    module: &Module,
    info: &ModuleInfo,
    bytes: impl Fn(Span) -> Option<Range<usize>>,
) -> Vec<Diagnostic> {
    let mut search = Search { module, found: Vec::new(), zeros: HashMap::new() };
    for (handle, function) in module.functions.iter() {
        search.function(function, &info[handle]);
    }
    for (index, entry) in module.entry_points.iter().enumerate() {
        search.function(&entry.function, info.get_entry_point(index));
        search.values(entry);
    }
    // One of each kind is enough.
    search.found.dedup_by(|a, b| a.1 == b.1);
    search
        .found
        .into_iter()
        .map(|(span, message, platform)| {
            let span = bytes(span);
            Diagnostic::new("mistranslation", Severity::Warning, message).at(span).on([platform])
        })
        .collect()
}

struct Search<'a> {
    module: &'a Module,
    found: Vec<(Span, String, Platform)>,
    /// Types of zero values by their shape.
    zeros: HashMap<TypeInner, Handle<Type>>,
}

impl Search<'_> {
    fn report(&mut self, span: Span, message: &str, platform: Platform) {
        if self.found.len() < 20 {
            self.found.push((span, message.to_owned(), platform));
        }
    }

    fn function(&mut self, function: &Function, info: &FunctionInfo) {
        for (handle, expression) in function.expressions.iter() {
            let span = function.expressions.get_span(handle);
            match expression {
                Expression::ImageQuery { image, query: ImageQuery::NumLayers } => {
                    let storage = matches!(
                        info[*image].ty.inner_with(&self.module.types),
                        TypeInner::Image { class: ImageClass::Storage { .. }, .. }
                    );
                    if storage {
                        let message = "naga 30 writes an invalid query for textureNumLayers of a \
                                       storage texture";
                        self.report(span, message, Platform::Vulkan);
                    }
                }
                Expression::ImageSample { image, depth_ref: None, .. } => {
                    let depth = matches!(
                        info[*image].ty.inner_with(&self.module.types),
                        TypeInner::Image { class: ImageClass::Depth { .. }, .. }
                    );
                    if depth {
                        let message = "naga 30 samples and gathers depth textures without a \
                                       reference, for which GLSL has no function";
                        self.report(span, message, Platform::Gles);
                    }
                }
                Expression::ZeroValue(ty) => {
                    let inner = &self.module.types[*ty].inner;
                    if matches!(inner, TypeInner::Array { .. }) {
                        let first = *self.zeros.entry(inner.clone()).or_insert(*ty);
                        if first != *ty {
                            let message = "naga 30 writes two functions of one name for zero \
                                           values of one array type under two names";
                            self.report(span, message, Platform::Dx12);
                        }
                    }
                }
                _ => {}
            }
        }
        self.block(&function.body, function, info);
    }

    /// Built-in values that an entry point takes and gives.
    fn values(&mut self, entry: &EntryPoint) {
        let arguments = entry.function.arguments.iter().map(|one| (one.binding.as_ref(), one.ty));
        let result = entry.function.result.iter().map(|one| (one.binding.as_ref(), one.ty));
        let mut bindings = Vec::new();
        for (binding, ty) in arguments.chain(result) {
            bindings.extend(binding);
            if let TypeInner::Struct { members, .. } = &self.module.types[ty].inner {
                bindings.extend(members.iter().filter_map(|member| member.binding.as_ref()));
            }
        }
        let has_operation = entry.function.expressions.iter().any(|(_, one)| {
            matches!(
                one,
                Expression::SubgroupBallotResult | Expression::SubgroupOperationResult { .. }
            )
        });
        for binding in bindings {
            let message = match binding {
                Binding::BuiltIn(BuiltIn::SampleIndex) => {
                    "naga 30 writes sample_index, an int of GLSL, where a uint is needed"
                }
                Binding::BuiltIn(BuiltIn::SampleMask) => {
                    "naga 30 writes sample_mask without the extension that GLSL has it in"
                }
                Binding::BuiltIn(
                    BuiltIn::SubgroupSize
                    | BuiltIn::SubgroupInvocationId
                    | BuiltIn::SubgroupId
                    | BuiltIn::NumSubgroups,
                ) if !has_operation => {
                    "naga 30 writes values of subgroups without the extension that GLSL has them in"
                }
                _ => continue,
            };
            self.report(Span::UNDEFINED, message, Platform::Gles);
        }
    }

    fn block(&mut self, block: &Block, function: &Function, info: &FunctionInfo) {
        for (statement, span) in block.span_iter() {
            match statement {
                Statement::Block(block) => self.block(block, function, info),
                Statement::If { accept, reject, .. } => {
                    self.block(accept, function, info);
                    self.block(reject, function, info);
                }
                Statement::Switch { cases, .. } => {
                    for case in cases {
                        self.block(&case.body, function, info);
                    }
                }
                Statement::Loop { body, continuing, .. } => {
                    self.block(body, function, info);
                    self.block(continuing, function, info);
                }
                Statement::Store { pointer, value } => {
                    let stored = match info[*pointer].ty.inner_with(&self.module.types) {
                        TypeInner::Pointer { base, .. } => *base,
                        _ => continue,
                    };
                    let TypeResolution::Handle(given) = info[*value].ty else { continue };
                    let is_array = |ty: Handle<Type>| {
                        matches!(self.module.types[ty].inner, TypeInner::Array { .. })
                    };
                    if stored != given && is_array(stored) && is_array(given) {
                        let message = "naga 30 writes an invalid store where one array type has \
                                       two names (an alias)";
                        self.report(*span, message, Platform::Vulkan);
                    }
                }
                Statement::Atomic { fun: AtomicFunction::Subtract, value, .. }
                    if is_negative(function, *value) =>
                {
                    let message = "naga 30 writes atomicSub of a negative constant as `--`, which \
                                   GLSL does not take";
                    self.report(*span, message, Platform::Gles);
                }
                _ => {}
            }
        }
    }
}

fn is_negative(function: &Function, value: Handle<Expression>) -> bool {
    match function.expressions[value] {
        Expression::Literal(Literal::I32(value)) => value < 0,
        Expression::Literal(Literal::I64(value)) => value < 0,
        Expression::Unary { op: UnaryOperator::Negate, .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CheckOptions, ShaderSource, check_all_for};

    /// glslangValidator refuses what is written for each of them.
    #[test]
    fn what_glsl_does_not_take_is_warned_of_where_it_is_a_target() {
        let texture = "@group(0) @binding(0) var t: texture_depth_2d;\n\
                       @group(0) @binding(1) var s: sampler;\n\
                       @group(0) @binding(2) var c: sampler_comparison;\n";
        let fragment = |takes: &str, gives: &str| {
            let body = format!("{{ return vec4f({gives}); }}");
            format!("{texture}@fragment fn f({takes}) -> @location(0) vec4f {body}")
        };
        let place = "@location(0) at: vec2f";
        let cases = [
            (fragment(place, "textureSample(t, s, at)"), 1),
            (fragment(place, "textureGather(t, s, at)"), 1),
            (fragment(place, "textureSampleCompare(t, c, at, 0.5)"), 0),
            (fragment(place, "textureGatherCompare(t, c, at, 0.5)"), 0),
            (fragment("@builtin(sample_index) i: u32", "f32(i)"), 1),
            (fragment("@builtin(sample_mask) i: u32", "f32(i)"), 1),
            (fragment("@builtin(front_facing) i: bool", "f32(i)"), 0),
            (
                "struct O { @location(0) c: vec4f, @builtin(sample_mask) m: u32 }\n\
                 @fragment fn f() -> O { return O(); }"
                    .into(),
                1,
            ),
            (
                "enable subgroups;\n@compute @workgroup_size(64)\n\
                 fn f(@builtin(subgroup_size) n: u32) { _ = n; }"
                    .into(),
                1,
            ),
            (
                "enable subgroups;\n@compute @workgroup_size(64)\n\
                 fn f(@builtin(subgroup_size) n: u32) { _ = subgroupAdd(n); }"
                    .into(),
                0,
            ),
        ];
        let sources = cases.each_ref().map(|(wgsl, _)| ShaderSource {
            name: "one".into(),
            wgsl: wgsl.clone(),
            constants: Vec::new(),
            user: true,
        });
        let all = CheckOptions { targets: Platform::ALL.to_vec(), ..CheckOptions::default() };
        let count = |options: &CheckOptions| {
            let warned = |one: &Diagnostic| {
                one.rule == "mistranslation" && one.severity == Severity::Warning
            };
            check_all_for(&sources, options)
                .iter()
                .map(|report| report.diagnostics.iter().filter(|one| warned(one)).count())
                .collect::<Vec<_>>()
        };
        assert_eq!(count(&all), cases.each_ref().map(|(_, count)| *count));
        assert_eq!(count(&CheckOptions::default()), [0; 10]);
    }
}
