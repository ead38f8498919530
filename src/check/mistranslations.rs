//! What naga 30 is known to translate wrongly: the shader is valid, what is written is not.

use std::{collections::HashMap, ops::Range};

use naga::{
    AtomicFunction, Block, Expression, Function, Handle, ImageClass, ImageQuery, Literal, Module,
    Span, Statement, Type, TypeInner, UnaryOperator,
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
