//! What the specification allows and naga 30 does not: it is reported for the targets that use
//! naga, and taken out of the text, so that naga sees the rest. Bytes keep their places.

use super::{
    diagnostic::{Diagnostic, Platform},
    rules::{ENABLE, REQUIRES},
    semantics::{Phase, Program, types::Type},
    syntax::tree::{
        Attribute, Block, Bytes, DeclarationKind, DirectiveKind, ExprId, ExprKind, Function,
        Statement, StatementKind, UnaryOp, Variable,
    },
};

/// Language extensions that naga 30 has.
const NAGA_REQUIRES: [&str; 3] = [
    "readonly_and_readwrite_storage_textures",
    "packed_4x8_integer_dot_product",
    "pointer_composite_access",
];

/// Extensions of the specification that naga 30 does not enable: operations of subgroups are there
/// without it.
const NAGA_WITHOUT: [&str; 2] = ["subgroups", "subgroup_size_control"];

/// Functions of abstract numbers that naga does not evaluate.
const UNEVALUATED: [&str; 12] = [
    "mix",
    "transpose",
    "determinant",
    "refract",
    "reflect",
    "smoothstep",
    "faceForward",
    "ldexp",
    "normalize",
    "length",
    "distance",
    "quantizeToF16",
];

/// A text for naga, and what was taken out of it.
pub struct NagaText {
    /// WGSL of the same length.
    pub text: String,
    /// What naga refuses.
    pub gaps: Vec<Diagnostic>,
    /// Bytes of `const_assert` that hold.
    pub asserts: Vec<Bytes>,
    /// Bytes that are valid and that naga may refuse.
    pub blind: Vec<Bytes>,
}

/// A finding that only concerns targets that use naga.
pub fn gap(message: &str, span: Option<Bytes>) -> Diagnostic {
    let message = format!("{message}; WGSL allows it, naga 30 does not, nor wgpu and Firefox");
    let native = Platform::ALL.into_iter().filter(|platform| platform.is_native());
    Diagnostic::error("naga-limit", message).at(span).on(native)
}

/// The text for naga.
pub fn naga_text(wgsl: &str, program: &Program<'_, '_>) -> NagaText {
    let mut prepare = Prepare {
        wgsl,
        program,
        text: wgsl.as_bytes().to_vec(),
        gaps: Vec::new(),
        asserts: Vec::new(),
        blind: Vec::new(),
    };
    prepare.directives();
    prepare.expressions();
    for declaration in &program.module.declarations {
        match &declaration.kind {
            DeclarationKind::Function(function) => {
                prepare.signature(&declaration.attributes, function, &declaration.span);
                prepare.block(&function.body);
            }
            DeclarationKind::Struct { members, .. } => {
                for member in members {
                    prepare.builtins(&member.attributes);
                }
            }
            DeclarationKind::Variable(variable) => {
                prepare.initializer(variable, &declaration.span);
            }
            DeclarationKind::ConstAssert(condition) => {
                prepare.assertion(*condition, &declaration.span);
            }
            _ => {}
        }
    }
    let text = String::from_utf8(prepare.text).unwrap_or_else(|_| wgsl.to_owned());
    NagaText { text, gaps: prepare.gaps, asserts: prepare.asserts, blind: prepare.blind }
}

struct Prepare<'a, 'm, 's> {
    wgsl: &'a str,
    program: &'a Program<'m, 's>,
    text: Vec<u8>,
    gaps: Vec<Diagnostic>,
    asserts: Vec<Bytes>,
    blind: Vec<Bytes>,
}

impl<'s> Prepare<'_, '_, 's> {
    /// Writes `with` at the start of `bytes` and blanks the rest; line breaks stay.
    fn replace(&mut self, bytes: &Bytes, with: &str) {
        let old = self.wgsl.get(bytes.clone()).unwrap_or_default();
        let keeps_lines = old.len() >= with.len()
            && !old.as_bytes()[..with.len()].iter().any(|byte| *byte == b'\n' || *byte >= 0x80);
        if !keeps_lines {
            return;
        }
        for (index, at) in bytes.clone().enumerate() {
            self.text[at] = match with.as_bytes().get(index) {
                Some(byte) => *byte,
                None if self.text[at] == b'\n' || self.text[at] == b'\r' => self.text[at],
                None => b' ',
            };
        }
    }

    fn assertion(&mut self, condition: ExprId, span: &Bytes) {
        if self.program.value(condition).and_then(|value| value.first()).is_some_and(|n| n.truth())
        {
            self.asserts.push(span.clone());
        }
    }

    fn is_swizzle_of_memory(&self, id: ExprId) -> bool {
        match &self.program.module.expr(id).kind {
            ExprKind::Member(base, _) => {
                matches!(self.program.ty(*base), Type::Reference(..) | Type::Pointer(..))
                    || self.is_swizzle_of_memory(self.program.module.inner(*base))
            }
            _ => false,
        }
    }

    /// Expressions that naga refuses: minus twice, which it reads as a decrement; an index that
    /// only naga knows; functions of abstract numbers that it does not evaluate.
    fn expressions(&mut self) {
        let program = self.program;
        for (id, expression) in (0..).zip(&program.module.expressions) {
            let blind = match &expression.kind {
                ExprKind::Unary(UnaryOp::Negate, _) => {
                    let start = expression.span.start;
                    self.wgsl.as_bytes()[start.saturating_sub(1)..].starts_with(b"--")
                        || self.wgsl.as_bytes()[start..].starts_with(b"--")
                }
                ExprKind::Call { callee, .. } if callee.name == "subgroupElect" => true,
                ExprKind::Call { callee, arguments, .. } if callee.name == "bitcast" => {
                    let lanes = |id: ExprId| program.ty(id).lanes();
                    arguments.first().is_some_and(|argument| lanes(*argument) != lanes(id))
                }
                ExprKind::Index(_, index) => {
                    program.phase(*index) == Phase::Runtime && program.integer(*index).is_none()
                }
                ExprKind::Call { callee, arguments, .. } => {
                    UNEVALUATED.contains(&callee.name)
                        && arguments.iter().any(|argument| {
                            program.ty(*argument).scalar().is_some_and(|one| one.is_abstract())
                        })
                }
                _ => false,
            };
            if blind {
                let before = expression.span.start.saturating_sub(1);
                self.blind.push(before..expression.span.end);
            }
        }
    }

    /// A value of another number of components by `bitcast`, which naga gives the type of the
    /// argument, or of a function that it does not evaluate.
    fn initializer(&mut self, variable: &Variable<'s>, span: &Bytes) {
        let Some(value) = variable.value else { return };
        let module = self.program.module;
        let ExprKind::Call { callee, arguments, .. } = &module.expr(module.inner(value)).kind
        else {
            return;
        };
        let lanes = |id: ExprId| self.program.ty(id).lanes();
        let is_blind = match arguments.as_slice() {
            [argument] if callee.name == "bitcast" => lanes(*argument) != lanes(value),
            _ => UNEVALUATED.contains(&callee.name) && self.program.phase(value) == Phase::Const,
        };
        if is_blind {
            self.blind.push(span.clone());
        }
    }

    /// Inputs, results and attributes of functions that naga does not have.
    fn signature(&mut self, attributes: &[Attribute<'s>], function: &Function<'s>, span: &Bytes) {
        for attribute in attributes.iter().filter(|one| one.name.name == "subgroup_size") {
            self.gaps.push(gap("@subgroup_size", Some(attribute.span.clone())));
            self.replace(&attribute.span.clone(), "");
        }
        for parameter in &function.parameters {
            self.builtins(&parameter.attributes);
            let declared = self.program.declared.get(&parameter.name.span.start);
            let ty = declared.map(|id| &self.program.variables[*id].ty);
            if let Some(Type::BindingArray(_)) = ty {
                self.blind.push(span.clone());
            }
        }
        self.builtins(&function.result_attributes);
    }

    /// Built-in values that naga does not have.
    fn builtins(&mut self, attributes: &[Attribute<'s>]) {
        let module = self.program.module;
        for attribute in attributes.iter().filter(|one| one.name.name == "builtin") {
            let Some([first, rest @ ..]) = attribute.arguments.as_deref() else { continue };
            let ExprKind::Name(name, _) = &module.expr(*first).kind else { continue };
            if matches!(name.name, "global_invocation_index" | "workgroup_index") {
                self.blind.push(attribute.span.clone());
            }
            if let ("frag_depth", [depth]) = (name.name, rest)
                && let ExprKind::Name(mode, _) = &module.expr(*depth).kind
                && matches!(mode.name, "any" | "less" | "greater")
            {
                self.gaps.push(gap("a mode of frag_depth", Some(attribute.span.clone())));
                self.replace(&(name.span.end..mode.span.end), "");
            }
        }
    }

    fn directives(&mut self) {
        let module = self.program.module;
        for directive in &module.directives {
            let (word, names) = match &directive.kind {
                DirectiveKind::Enable(names) => ("enable", names),
                DirectiveKind::Requires(names) => ("requires", names),
                DirectiveKind::Diagnostic(_) => continue,
            };
            let mut kept = Vec::new();
            for name in names {
                let (known, taken) = if word == "enable" {
                    (ENABLE.contains(&name.name), NAGA_WITHOUT.contains(&name.name))
                } else {
                    (REQUIRES.contains(&name.name), !NAGA_REQUIRES.contains(&name.name))
                };
                if known && taken {
                    if word == "requires" {
                        let message = format!("the language extension {}", name.name);
                        self.gaps.push(gap(&message, Some(name.span.clone())));
                    }
                } else {
                    kept.push(name.name);
                }
            }
            if kept.len() < names.len() {
                let with = match kept.as_slice() {
                    [] => String::new(),
                    kept => format!("{word} {};", kept.join(",")),
                };
                self.replace(&directive.span.clone(), &with);
            }
        }
    }

    fn attributes(&mut self, attributes: &[Attribute<'s>]) {
        for attribute in attributes.iter().filter(|one| one.name.name == "diagnostic") {
            let message = "@diagnostic on a statement";
            if !self.gaps.iter().any(|one| one.message.starts_with(message)) {
                self.gaps.push(gap(message, Some(attribute.span.clone())));
            }
            self.replace(&attribute.span.clone(), "");
        }
    }

    fn block(&mut self, block: &Block<'s>) {
        self.attributes(&block.attributes);
        for statement in &block.statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement<'s>) {
        self.attributes(&statement.attributes);
        match &statement.kind {
            StatementKind::Block(block) => self.block(block),
            StatementKind::If { then, otherwise, .. } => {
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise);
                }
            }
            StatementKind::Switch { body_attributes, cases, .. } => {
                self.attributes(body_attributes);
                for case in cases {
                    self.block(&case.body);
                }
            }
            StatementKind::Loop { body, continuing } => {
                self.block(body);
                if let Some(continuing) = continuing {
                    self.block(&continuing.block);
                }
            }
            StatementKind::For { initializer, update, body, .. } => {
                for part in [initializer, update].into_iter().flatten() {
                    self.statement(part);
                }
                self.block(body);
            }
            StatementKind::While { body, .. } => self.block(body),
            StatementKind::ConstAssert(condition) => {
                self.assertion(*condition, &statement.span);
            }
            StatementKind::Variable(variable) => self.initializer(variable, &statement.span),
            StatementKind::Assign { target: Some(target), value, .. } => {
                let module = self.program.module;
                let (ExprKind::Member(base, _) | ExprKind::Index(base, _)) =
                    &module.expr(module.inner(*target)).kind
                else {
                    return;
                };
                // A swizzle of a vector in memory.
                let of_memory = match self.program.ty(*base) {
                    Type::Reference(_, inner, _) | Type::Pointer(_, inner, _) => {
                        matches!(**inner, Type::Vector(..))
                    }
                    _ => false,
                };
                // A part of such a swizzle is a value; a member in memory is a reference.
                let part = !matches!(self.program.ty(*target), Type::Reference(..) | Type::Unknown);
                let base_part = matches!(self.program.ty(*base), Type::Vector(..))
                    && self.is_swizzle_of_memory(module.inner(*base));
                if part && (of_memory || base_part) {
                    let span = self.program.span(*target);
                    self.gaps.push(gap("an assignment to several components", Some(span.clone())));
                    let end = self.program.span(*value).start;
                    self.replace(&(span.start..end), "_ =");
                }
            }
            _ => {}
        }
    }
}
