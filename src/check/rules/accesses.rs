//! What functions read and write: pointer aliasing (WGSL, "Alias Analysis"), atomics that are used
//! directly, and what a stage may access.

use std::collections::BTreeMap;

use super::calls::Calls;
use crate::check::{
    diagnostic::Diagnostic,
    semantics::{
        FunctionId, Kind, Meaning, Program, Stage, VariableId,
        builtins::{DERIVATIVES, is_subgroup},
        types::{Space, TextureKind, Type},
    },
    syntax::tree::{Block, Bytes, ExprId, ExprKind, Statement, StatementKind, UnaryOp},
};

/// Largest number of variables that a function hands on to its callers.
const MAX_NAMED: usize = 400;

/// Whether something is read, and written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Access {
    pub read: bool,
    pub written: bool,
}

impl Access {
    fn add(&mut self, other: Access) {
        self.read |= other.read;
        self.written |= other.written;
    }
}

/// What a function does, the functions that it calls included.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Variables of module scope that it names at all.
    pub named: BTreeMap<VariableId, Bytes>,
    globals: BTreeMap<VariableId, Access>,
    parameters: Vec<Access>,
    /// Calls that only some stages allow.
    stage_calls: BTreeMap<&'static str, (StageCall, Bytes)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum StageCall {
    Fragment,
    Compute,
    NotVertex,
}

/// The findings of a program, and the effects of its functions.
pub fn check(program: &Program<'_, '_>, calls: &Calls) -> (Vec<Diagnostic>, Vec<Effects>) {
    let mut effects = vec![Effects::default(); program.functions.len()];
    let mut found = Vec::new();
    for id in &calls.order {
        if calls.circular[*id] {
            continue;
        }
        let info = &program.functions[*id];
        let mut walk = Walk {
            program,
            done: &effects,
            function: *id,
            effects: Effects {
                parameters: vec![Access::default(); info.parameters.len()],
                ..Effects::default()
            },
            found: &mut found,
        };
        walk.block(&info.syntax.body);
        effects[*id] = walk.effects;
    }
    stages(program, &effects, &mut found);
    (found, effects)
}

struct Walk<'a, 'm, 's> {
    program: &'a Program<'m, 's>,
    done: &'a [Effects],
    function: FunctionId,
    effects: Effects,
    found: &'a mut Vec<Diagnostic>,
}

impl<'s> Walk<'_, '_, 's> {
    fn report(&mut self, rule: &'static str, span: Bytes, message: String) {
        if self.found.len() < 100 {
            self.found.push(Diagnostic::error(rule, message).at(Some(span)));
        }
    }

    fn access(&mut self, root: VariableId, access: Access) {
        let variable = &self.program.variables[root];
        if variable.function.is_none() {
            self.effects.globals.entry(root).or_default().add(access);
        } else if variable.kind == Kind::Parameter {
            let parameters = &self.program.functions[self.function].parameters;
            if let Some(index) = parameters.iter().position(|id| *id == root) {
                self.effects.parameters[index].add(access);
            }
        }
    }

    fn block(&mut self, block: &Block<'s>) {
        for statement in &block.statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement<'s>) {
        match &statement.kind {
            StatementKind::Block(block) => self.block(block),
            StatementKind::If { condition, then, otherwise } => {
                self.value(*condition);
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise);
                }
            }
            StatementKind::Switch { selector, cases, .. } => {
                self.value(*selector);
                for case in cases {
                    self.block(&case.body);
                }
            }
            StatementKind::Loop { body, continuing } => {
                self.block(body);
                if let Some(continuing) = continuing {
                    self.block(&continuing.block);
                    if let Some(condition) = continuing.break_if {
                        self.value(condition);
                    }
                }
            }
            StatementKind::For { initializer, condition, update, body } => {
                for part in [initializer, update].into_iter().flatten() {
                    self.statement(part);
                }
                if let Some(condition) = condition {
                    self.value(*condition);
                }
                self.block(body);
            }
            StatementKind::While { condition, body } => {
                self.value(*condition);
                self.block(body);
            }
            StatementKind::Return(Some(value)) => self.value(*value),
            StatementKind::Call(call) => self.value(*call),
            StatementKind::Assign { target, operator, value } => {
                self.value(*value);
                if let Some(target) = target {
                    self.store(*target, operator.is_some());
                }
            }
            StatementKind::Step { target } => self.store(*target, true),
            StatementKind::Variable(variable) => {
                if let Some(value) = variable.value {
                    self.value(value);
                }
            }
            StatementKind::Discard => {
                self.stage_call("discard", StageCall::Fragment, &statement.span)
            }
            _ => {}
        }
    }

    fn stage_call(&mut self, name: &'static str, call: StageCall, span: &Bytes) {
        self.effects.stage_calls.entry(name).or_insert_with(|| (call, span.clone()));
    }

    fn store(&mut self, target: ExprId, reads: bool) {
        self.place(target);
        if let Some(root) = self.program.root(target) {
            self.access(root, Access { read: reads, written: true });
        }
        if let Type::Reference(_, inner, _) = self.program.ty(target)
            && self.program.has_atomic(inner)
        {
            let message = "an atomic is only written by atomicStore and its kin".to_owned();
            self.report("atomic-access", self.program.span(target), message);
        }
    }

    /// The parts of a place that are values: indices.
    fn place(&mut self, id: ExprId) {
        match &self.program.module.expr(id).kind {
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) | ExprKind::Member(inner, _) => {
                self.place(*inner);
            }
            ExprKind::Index(base, index) => {
                self.place(*base);
                self.value(*index);
            }
            ExprKind::Name(..) => self.name(id),
            _ => self.value(id),
        }
    }

    fn name(&mut self, id: ExprId) {
        if let Some(variable) = self.program.variable_of(id)
            && self.program.variables[variable].declaration.is_some()
        {
            let span = self.program.span(id);
            self.effects.named.entry(variable).or_insert(span);
        }
    }

    fn value(&mut self, id: ExprId) {
        let program = self.program;
        let kind = &program.module.expr(id).kind;
        if let Type::Reference(_, inner, _) = program.ty(id)
            && !matches!(kind, ExprKind::Paren(_))
        {
            if let Some(root) = program.root(id) {
                self.access(root, Access { read: true, written: false });
            }
            if program.has_atomic(inner) {
                let message = "an atomic is only read by atomicLoad and its kin".to_owned();
                self.report("atomic-access", program.span(id), message);
            }
            self.place(id);
            return;
        }
        match kind {
            ExprKind::Literal(_) => {}
            ExprKind::Name(..) => self.name(id),
            ExprKind::Paren(inner) => self.value(*inner),
            ExprKind::Unary(UnaryOp::AddressOf, inner) => self.place(*inner),
            ExprKind::Unary(_, inner) => self.value(*inner),
            ExprKind::Member(base, _) => self.value(*base),
            ExprKind::Index(base, index) => {
                self.value(*base);
                self.value(*index);
            }
            ExprKind::Binary(_, left, right) => {
                self.value(*left);
                self.value(*right);
            }
            ExprKind::Call { callee, arguments, .. } => {
                for argument in arguments {
                    self.value(*argument);
                }
                match program.meaning(id) {
                    Meaning::Function(function) => self.call(id, function, arguments),
                    Meaning::Builtin => self.builtin(id, callee.name, arguments),
                    _ => {}
                }
            }
        }
    }

    fn builtin(&mut self, id: ExprId, name: &'s str, arguments: &[ExprId]) {
        let span = self.program.span(id);
        if let Some(first) = arguments.first()
            && let Some(root) = self.program.root(*first)
        {
            if name.starts_with("atomic") {
                let written = name != "atomicLoad";
                self.access(root, Access { read: name != "atomicStore", written });
            } else if name == "workgroupUniformLoad" {
                self.access(root, Access { read: true, written: false });
            }
        }
        const FRAGMENT: [&str; 3] = ["textureSample", "textureSampleBias", "textureSampleCompare"];
        const COMPUTE: [&str; 4] =
            ["workgroupBarrier", "storageBarrier", "textureBarrier", "workgroupUniformLoad"];
        let fragment = FRAGMENT.iter().chain(DERIVATIVES).find(|known| **known == name);
        if let Some(known) = fragment {
            self.stage_call(known, StageCall::Fragment, &span);
        } else if let Some(known) = COMPUTE.iter().find(|known| **known == name) {
            self.stage_call(known, StageCall::Compute, &span);
        } else if is_subgroup(name) {
            self.stage_call("a subgroup operation", StageCall::NotVertex, &span);
        }
    }

    fn call(&mut self, id: ExprId, function: FunctionId, arguments: &[ExprId]) {
        let callee = &self.done[function];
        for (variable, span) in callee.named.iter().take(MAX_NAMED) {
            self.effects.named.entry(*variable).or_insert_with(|| span.clone());
        }
        for (name, (call, span)) in &callee.stage_calls {
            self.effects.stage_calls.entry(name).or_insert_with(|| (*call, span.clone()));
        }
        let globals: BTreeMap<_, _> =
            callee.globals.iter().take(MAX_NAMED).map(|(id, access)| (*id, *access)).collect();
        for (variable, access) in &globals {
            self.access(*variable, *access);
        }
        let name = self.program.functions[function].syntax.name.name;
        let parameters = callee.parameters.clone();
        let mut roots: BTreeMap<VariableId, (Access, usize)> = BTreeMap::new();
        for (index, argument) in arguments.iter().enumerate() {
            if !matches!(self.program.ty(*argument), Type::Pointer(..)) {
                continue;
            }
            let (Some(root), Some(access)) =
                (self.program.root(*argument), parameters.get(index).copied())
            else {
                continue;
            };
            let variable = self.program.variables[root].name;
            let clash = |one: Access, other: Access| {
                (one.written && (other.read || other.written)) || (one.read && other.written)
            };
            if let Some(global) = globals.get(&root)
                && clash(access, *global)
            {
                let message = format!(
                    "{name} gets a pointer into {variable} and uses {variable} itself, and one of \
                     them writes"
                );
                self.report("pointer-alias", self.program.span(*argument), message);
            }
            if let Some((earlier, first)) = roots.get_mut(&root) {
                if clash(access, *earlier) {
                    let message = format!(
                        "arguments {} and {} of {name} both point into {variable}, and {name} \
                         writes through one",
                        *first + 1,
                        index + 1
                    );
                    self.report("pointer-alias", self.program.span(*argument), message);
                }
                earlier.add(access);
            } else {
                roots.insert(root, (access, index));
            }
            self.access(root, access);
        }
        let _ = id;
    }
}

/// What each entry point reaches that its stage does not allow.
fn stages(program: &Program<'_, '_>, effects: &[Effects], found: &mut Vec<Diagnostic>) {
    for (id, function) in program.functions.iter().enumerate() {
        let Some(stage) = function.stage.filter(|stage| *stage != Stage::Other) else { continue };
        let name = function.syntax.name.name;
        let word = match stage {
            Stage::Vertex => "vertex",
            Stage::Fragment => "fragment",
            _ => "compute",
        };
        let mut report = |span: &Bytes, message: String| {
            found.push(Diagnostic::error("stage", message).at(Some(span.clone())));
        };
        for (call, (needed, span)) in &effects[id].stage_calls {
            let (allowed, only) = match needed {
                StageCall::Fragment => (stage == Stage::Fragment, "fragment stage only"),
                StageCall::Compute => (stage == Stage::Compute, "compute stage only"),
                StageCall::NotVertex => (stage != Stage::Vertex, "fragment and compute stages"),
            };
            if !allowed {
                report(span, format!("{call} is for the {only}; the {word} stage {name} uses it"));
            }
        }
        for (variable, span) in &effects[id].named {
            let variable = &program.variables[*variable];
            let label = variable.name;
            if variable.kind != Kind::Var {
                continue;
            }
            if variable.space == Space::Workgroup && stage != Stage::Compute {
                report(
                    span,
                    format!(
                        "{label} is workgroup memory, which the {word} stage {name} does not have"
                    ),
                );
            }
            if stage == Stage::Vertex {
                let writable_texture = matches!(
                    &variable.ty,
                    Type::Texture(texture)
                        if texture.kind == TextureKind::Storage && texture.access.writes()
                );
                if variable.space == Space::Storage && variable.access.writes() {
                    report(
                        span,
                        format!(
                            "{label} may be written; vertex stages do not write: declare it read"
                        ),
                    );
                } else if writable_texture {
                    report(
                        span,
                        format!("{label} may be written; vertex stages do not write textures"),
                    );
                }
            }
        }
    }
}
