//! What the specification allows and naga 30 does not: it is reported for the targets that use
//! naga, and taken out of the text, so that naga sees the rest. Bytes keep their places.

use super::{
    diagnostic::{Diagnostic, Platform},
    rules::{ENABLE, REQUIRES},
    semantics::{Program, types::Type},
    syntax::tree::{
        Attribute, Block, Bytes, DeclarationKind, DirectiveKind, ExprId, ExprKind, Statement,
        StatementKind,
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

/// A text for naga, and what was taken out of it.
pub struct NagaText {
    /// WGSL of the same length.
    pub text: String,
    /// What naga refuses.
    pub gaps: Vec<Diagnostic>,
    /// Bytes of `const_assert` that hold.
    pub asserts: Vec<Bytes>,
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
    };
    prepare.directives();
    for declaration in &program.module.declarations {
        match &declaration.kind {
            DeclarationKind::Function(function) => prepare.block(&function.body),
            DeclarationKind::ConstAssert(condition) => {
                prepare.assertion(*condition, &declaration.span);
            }
            _ => {}
        }
    }
    let text = String::from_utf8(prepare.text).unwrap_or_else(|_| wgsl.to_owned());
    NagaText { text, gaps: prepare.gaps, asserts: prepare.asserts }
}

struct Prepare<'a, 'm, 's> {
    wgsl: &'a str,
    program: &'a Program<'m, 's>,
    text: Vec<u8>,
    gaps: Vec<Diagnostic>,
    asserts: Vec<Bytes>,
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
            StatementKind::Assign { target: Some(target), value, .. } => {
                let module = self.program.module;
                let ExprKind::Member(base, _) = &module.expr(module.inner(*target)).kind else {
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
