//! Uniformity analysis: WGSL, "Uniformity". A value, or the control flow at a place, is described
//! by what could make it non-uniform: something that is so by itself, the control flow in which the
//! function is called, or an argument. Loops are repeated until nothing changes; sets only grow.

use std::collections::{BTreeSet, HashMap};

use super::{calls::Calls, filters::Filters};
use crate::check::{
    diagnostic::{Diagnostic, Severity},
    semantics::{
        FunctionId, Kind, Meaning, Program, Stage, VariableId,
        builtins::is_subgroup,
        types::{Access, Space, TextureKind, Type},
    },
    syntax::tree::{Attribute, Block, Bytes, ExprId, ExprKind, Statement, StatementKind, UnaryOp},
};

/// Largest amount of work for one file, in states of variables.
const MAX_WORK: usize = 30_000_000;

/// What could make something non-uniform: a set of bits.
type Causes = u128;
const NON_UNIFORM: Causes = 1;
const CALL_SITE: Causes = 2;

/// The value of a parameter, and what a parameter points to. Those of more than 60 parameters count
/// as uniform.
fn parameter(index: usize) -> Causes {
    if index < 60 { 4 << (2 * index) } else { 0 }
}

fn contents(index: usize) -> Causes {
    if index < 60 { 8 << (2 * index) } else { 0 }
}

/// What must be uniform.
#[derive(Clone, Debug)]
struct Requirement {
    rule: &'static str,
    severity: Severity,
    /// Tells two requirements of one call apart.
    number: u8,
    message: String,
    span: Bytes,
    causes: Causes,
}

/// What callers must know of a function.
#[derive(Clone, Debug, Default)]
struct Summary {
    requirements: Vec<Requirement>,
    result: Causes,
    /// What each parameter points to when the function returns; `None` for values.
    outputs: Vec<Option<Causes>>,
}

const NEXT: u8 = 1;
const BREAK: u8 = 2;
const CONTINUE: u8 = 4;
const RETURN: u8 = 8;

/// The state of a function's variables; `None` where nothing arrives.
type State = Option<Vec<Causes>>;

/// The findings of a program.
pub fn check(program: &Program<'_, '_>, calls: &Calls, filters: &Filters<'_>) -> Vec<Diagnostic> {
    let mut summaries: Vec<Summary> = vec![Summary::default(); program.functions.len()];
    let mut found: Vec<Requirement> = Vec::new();
    let mut work = 0;
    for id in &calls.order {
        if calls.circular[*id] {
            continue;
        }
        let mut analysis = Analysis::new(program, filters, &summaries, *id, work);
        let summary = analysis.function();
        work = analysis.work;
        if work > MAX_WORK {
            let message = "uniformity is not analysed: the shader is too large".to_owned();
            return vec![Diagnostic::new("uniformity-unknown", Severity::Info, message)];
        }
        found.extend(
            summary.requirements.iter().filter(|one| one.causes & NON_UNIFORM != 0).cloned(),
        );
        summaries[*id] = summary;
    }
    // One call may be wrong from several callers.
    found.sort_by_key(|one| (one.span.start, std::cmp::Reverse(one.severity)));
    found.dedup_by_key(|one| (one.span.start, one.message.clone()));
    found
        .into_iter()
        .map(|one| Diagnostic::new(one.rule, one.severity, one.message).at(Some(one.span)))
        .collect()
}

struct Analysis<'a, 'm, 's> {
    program: &'a Program<'m, 's>,
    filters: &'a Filters<'s>,
    summaries: &'a [Summary],
    function: FunctionId,
    /// Places of variables, and of what pointer parameters point to, in a state.
    slots: HashMap<VariableId, usize>,
    lets: HashMap<VariableId, Causes>,
    requirements: HashMap<(usize, u8), Requirement>,
    state: State,
    flow: Causes,
    breaks: Vec<State>,
    continues: Vec<State>,
    result: Causes,
    returned: State,
    work: usize,
}

fn join(into: &mut State, other: &State) {
    match (into.as_mut(), other) {
        (Some(into), Some(other)) => {
            if into.len() < other.len() {
                into.resize(other.len(), 0);
            }
            for (a, b) in into.iter_mut().zip(other) {
                *a |= b;
            }
        }
        (None, Some(other)) => *into = Some(other.clone()),
        (_, None) => {}
    }
}

impl<'a, 'm, 's> Analysis<'a, 'm, 's> {
    fn new(
        program: &'a Program<'m, 's>,
        filters: &'a Filters<'s>,
        summaries: &'a [Summary],
        function: FunctionId,
        work: usize,
    ) -> Self {
        Analysis {
            program,
            filters,
            summaries,
            function,
            slots: HashMap::new(),
            lets: HashMap::new(),
            requirements: HashMap::new(),
            state: Some(Vec::new()),
            flow: CALL_SITE,
            breaks: Vec::new(),
            continues: Vec::new(),
            result: 0,
            returned: None,
            work,
        }
    }

    fn function(&mut self) -> Summary {
        let info = &self.program.functions[self.function];
        for (index, id) in info.parameters.iter().enumerate() {
            let variable = &self.program.variables[*id];
            let syntax = &info.syntax.parameters[index];
            if info.stage.is_some() {
                let uniform = self.is_uniform_input(&syntax.attributes, &variable.ty, info.stage);
                self.lets.insert(*id, if uniform { 0 } else { NON_UNIFORM });
            } else if let Type::Pointer(space, ..) = variable.ty {
                self.lets.insert(*id, parameter(index));
                if space == Space::Function {
                    let slot = self.slot(*id);
                    self.store(slot, contents(index));
                }
            } else {
                self.lets.insert(*id, parameter(index));
            }
        }
        let behaviour = self.block(&info.syntax.body);
        if behaviour & NEXT != 0 {
            let state = self.state.clone();
            join(&mut self.returned, &state);
        }
        let mut outputs = vec![None; info.parameters.len()];
        if info.stage.is_none()
            && let Some(returned) = &self.returned
        {
            for (index, id) in info.parameters.iter().enumerate() {
                // Also one that is not written: the specification takes it for written.
                if let Some(causes) = self.slots.get(id).and_then(|slot| returned.get(*slot)) {
                    outputs[index] = Some(*causes).filter(|_| contents(index) != 0);
                }
            }
        }
        let mut requirements: Vec<_> = self.requirements.drain().map(|(_, one)| one).collect();
        requirements.sort_by_key(|one| one.span.start);
        // Requirements that no caller can break are not handed on, nor are more than a few.
        requirements.retain(|one| one.causes != 0);
        if requirements.len() > 64 {
            let (broken, others): (Vec<_>, Vec<_>) =
                requirements.into_iter().partition(|one| one.causes & NON_UNIFORM != 0);
            requirements = broken.into_iter().chain(others.into_iter().take(64)).collect();
        }
        Summary { requirements, result: self.result, outputs }
    }

    /// Whether an input of an entry point is the same for all invocations.
    fn is_uniform_input(
        &self,
        attributes: &[Attribute<'s>],
        ty: &Type<'s>,
        stage: Option<Stage>,
    ) -> bool {
        let module = self.program.module;
        let uniform = |attributes: &[Attribute<'s>]| {
            attributes.iter().filter(|one| one.name.name == "builtin").any(|one| {
                let Some([argument]) = one.arguments.as_deref() else { return false };
                let ExprKind::Name(name, _) = &module.expr(*argument).kind else { return false };
                matches!(name.name, "workgroup_id" | "num_workgroups" | "num_subgroups")
                    || (name.name == "subgroup_size" && stage == Some(Stage::Compute))
            })
        };
        if let Type::Struct(id) = ty {
            let members = self.program.written_members(&self.program.structs[*id]);
            return members.iter().all(|member| uniform(&member.attributes));
        }
        uniform(attributes)
    }

    fn slot(&mut self, id: VariableId) -> usize {
        let next = self.slots.len();
        *self.slots.entry(id).or_insert(next)
    }

    fn store(&mut self, slot: usize, causes: Causes) {
        if let Some(state) = &mut self.state {
            if state.len() <= slot {
                state.resize(slot + 1, 0);
            }
            state[slot] = causes;
        }
    }

    fn load(&self, id: VariableId) -> Causes {
        let slot = self.slots.get(&id);
        let state = self.state.as_ref();
        slot.zip(state).and_then(|(slot, state)| state.get(*slot)).copied().unwrap_or(0)
    }

    fn copy_state(&mut self) -> State {
        self.work += 1 + self.state.as_ref().map_or(0, Vec::len);
        self.state.clone()
    }

    // ---- statements ----

    fn block(&mut self, block: &'m Block<'s>) -> u8 {
        self.statements(&block.statements)
    }

    fn statements(&mut self, statements: &'m [Statement<'s>]) -> u8 {
        let mut behaviour = NEXT;
        for statement in statements {
            if behaviour & NEXT == 0 || self.work > MAX_WORK {
                break;
            }
            behaviour = (behaviour & !NEXT) | self.statement(statement);
        }
        behaviour
    }

    fn statement(&mut self, statement: &'m Statement<'s>) -> u8 {
        self.work += 1;
        match &statement.kind {
            StatementKind::Block(block) => self.block(block),
            StatementKind::If { condition, then, otherwise } => {
                let before = self.flow;
                let causes = self.value(*condition);
                let inside = self.flow | causes;
                let start = self.copy_state();
                self.flow = inside;
                let mut behaviour = self.block(then);
                let (mut end, mut flow) = (None, self.flow);
                if behaviour & NEXT != 0 {
                    end = self.state.take();
                }
                self.state = start;
                self.flow = inside;
                let other = match otherwise {
                    Some(otherwise) => self.statement(otherwise),
                    None => NEXT,
                };
                if other & NEXT != 0 {
                    let state = self.state.take();
                    join(&mut end, &state);
                }
                flow |= self.flow;
                behaviour |= other;
                self.state = end;
                self.flow = if behaviour == NEXT { before } else { flow };
                behaviour
            }
            StatementKind::Switch { selector, cases, .. } => {
                let before = self.flow;
                let causes = self.value(*selector);
                let inside = self.flow | causes;
                let start = self.copy_state();
                self.breaks.push(None);
                let (mut behaviour, mut flow, mut end) = (0, inside, None);
                for case in cases {
                    self.work += start.as_ref().map_or(0, Vec::len);
                    self.state.clone_from(&start);
                    self.flow = inside;
                    let of_case = self.block(&case.body);
                    behaviour |= of_case;
                    flow |= self.flow;
                    if of_case & NEXT != 0 {
                        let state = self.state.take();
                        join(&mut end, &state);
                    }
                }
                if cases.is_empty() {
                    behaviour = NEXT;
                    end = start;
                }
                let left = self.breaks.pop().flatten();
                join(&mut end, &left);
                if behaviour & BREAK != 0 {
                    behaviour = (behaviour & !BREAK) | NEXT;
                }
                self.state = end;
                self.flow = if behaviour == NEXT { before } else { flow };
                behaviour
            }
            StatementKind::Loop { body, continuing } => {
                let parts = Parts {
                    condition: None,
                    body: &body.statements,
                    continuing: continuing.as_ref().map_or(&[], |one| &one.block.statements),
                    update: None,
                    break_if: continuing.as_ref().and_then(|one| one.break_if),
                };
                self.repeat(&parts)
            }
            StatementKind::For { initializer, condition, update, body } => {
                if let Some(initializer) = initializer {
                    self.statement(initializer);
                }
                let parts = Parts {
                    condition: *condition,
                    body: &body.statements,
                    continuing: &[],
                    update: update.as_deref(),
                    break_if: None,
                };
                self.repeat(&parts)
            }
            StatementKind::While { condition, body } => {
                let parts = Parts {
                    condition: Some(*condition),
                    body: &body.statements,
                    continuing: &[],
                    update: None,
                    break_if: None,
                };
                self.repeat(&parts)
            }
            StatementKind::Break => {
                let state = self.state.take();
                if let Some(into) = self.breaks.last_mut() {
                    join(into, &state);
                }
                BREAK
            }
            StatementKind::Continue => {
                let state = self.state.take();
                if let Some(into) = self.continues.last_mut() {
                    join(into, &state);
                }
                CONTINUE
            }
            StatementKind::Return(value) => {
                let causes = value.map_or(0, |value| self.value(value));
                self.result |= self.flow | causes;
                let state = self.state.take();
                join(&mut self.returned, &state);
                RETURN
            }
            StatementKind::Call(call) => {
                self.value(*call);
                NEXT
            }
            StatementKind::Assign { target, operator, value } => {
                // The left side comes first, and what it holds is read there.
                let mut causes = 0;
                if let Some(target) = target {
                    causes |= self.place(*target);
                    if operator.is_some() {
                        causes |= self.held(*target);
                    }
                }
                causes |= self.value(*value);
                if let Some(target) = target {
                    self.assign(*target, causes);
                }
                NEXT
            }
            StatementKind::Step { target } => {
                let causes = self.place(*target) | self.held(*target);
                self.assign(*target, causes);
                NEXT
            }
            StatementKind::Variable(variable) => {
                let causes = variable.value.map_or(0, |value| self.value(value));
                if let Some(id) = self.program.declared.get(&variable.name.span.start).copied() {
                    if self.program.variables[id].kind == Kind::Var {
                        let slot = self.slot(id);
                        let flow = self.flow;
                        self.store(slot, causes | if variable.value.is_some() { flow } else { 0 });
                    } else {
                        *self.lets.entry(id).or_insert(0) |= causes;
                    }
                }
                NEXT
            }
            StatementKind::ConstAssert(_) | StatementKind::Discard => NEXT,
        }
    }

    /// A loop is left, or not, by `condition`.
    fn leave_by(&mut self, condition: ExprId) -> u8 {
        let causes = self.value(condition);
        self.flow |= causes;
        let state = self.state.clone();
        if let Some(into) = self.breaks.last_mut() {
            join(into, &state);
        }
        BREAK
    }

    fn repeat(&mut self, parts: &Parts<'m, 's>) -> u8 {
        let before = self.flow;
        let mut head = self.copy_state();
        let mut head_flow = before;
        let mut after = None;
        let mut behaviour;
        loop {
            self.state.clone_from(&head);
            self.work += 1 + head.as_ref().map_or(0, Vec::len);
            self.flow = head_flow;
            self.breaks.push(None);
            self.continues.push(None);
            behaviour = 0;
            if let Some(condition) = parts.condition {
                behaviour |= self.leave_by(condition);
            }
            let of_body = self.statements(parts.body);
            behaviour |= of_body;
            let mut state = if of_body & NEXT != 0 { self.state.take() } else { None };
            let continued = self.continues.pop().flatten();
            join(&mut state, &continued);
            self.state = state;
            if behaviour & (NEXT | CONTINUE) != 0 {
                self.statements(parts.continuing);
                if let Some(update) = parts.update {
                    self.statement(update);
                }
                if let Some(condition) = parts.break_if {
                    behaviour |= self.leave_by(condition);
                }
            }
            let left = self.breaks.pop().flatten();
            join(&mut after, &left);
            let mut next = head.clone();
            let state = self.state.take();
            join(&mut next, &state);
            // Variables that are declared inside begin anew with each turn.
            if let (Some(next), Some(head)) = (&mut next, &head) {
                next.truncate(head.len());
            }
            let next_flow = head_flow | self.flow;
            if (next == head && next_flow == head_flow) || self.work > MAX_WORK {
                break;
            }
            (head, head_flow) = (next, next_flow);
        }
        let outcome = if behaviour & BREAK != 0 {
            (behaviour & !(BREAK | CONTINUE)) | NEXT
        } else {
            behaviour & !(CONTINUE | NEXT)
        };
        self.state = after;
        self.flow = if outcome == NEXT { before } else { head_flow };
        outcome
    }

    // ---- expressions ----

    /// Whether an expression is all of a variable.
    fn is_whole(&self, id: ExprId) -> bool {
        match &self.program.module.expr(id).kind {
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) => self.is_whole(*inner),
            // All components of a vector.
            ExprKind::Member(base, member) => {
                let vector = match self.program.ty(*base) {
                    Type::Reference(_, inner, _) | Type::Pointer(_, inner, _) => &**inner,
                    other => other,
                };
                let letters: BTreeSet<u8> = member.name.bytes().collect();
                matches!(vector, Type::Vector(size, _) if letters.len() == usize::from(*size))
                    && self.is_whole(*base)
            }
            ExprKind::Name(..) => self.program.variable_of(id).is_some_and(|variable| {
                let variable = &self.program.variables[variable];
                // A pointer in a `let` may point to a part.
                variable.kind != Kind::Let
                    || variable.root.is_some_and(|root| {
                        let all = &self.program.variables[root].ty;
                        match &variable.ty {
                            Type::Pointer(_, inner, _) => match all {
                                Type::Pointer(_, all, _) => inner == all,
                                all => **inner == *all,
                            },
                            _ => false,
                        }
                    })
            }),
            _ => false,
        }
    }

    /// What the variable holds that an expression names a part of.
    fn held(&self, id: ExprId) -> Causes {
        self.program.root(id).map_or(0, |root| self.stored(root))
    }

    fn assign(&mut self, target: ExprId, causes: Causes) {
        let Some(root) = self.program.root(target) else { return };
        if self.slots.contains_key(&root) {
            let old = if self.is_whole(target) { 0 } else { self.load(root) };
            let slot = self.slot(root);
            let all = old | causes | self.flow;
            self.store(slot, all);
        }
    }

    /// What the value depends on that a name of a `let` or of a parameter stands for.
    fn let_of(&self, id: ExprId) -> Causes {
        let variable = self.program.variable_of(id);
        variable.and_then(|variable| self.lets.get(&variable)).copied().unwrap_or(0)
    }

    /// What the place that an expression names depends on: indices.
    fn place(&mut self, id: ExprId) -> Causes {
        match &self.program.module.expr(id).kind {
            ExprKind::Paren(inner) | ExprKind::Unary(_, inner) | ExprKind::Member(inner, _) => {
                self.place(*inner)
            }
            ExprKind::Index(base, index) => {
                let place = self.place(*base);
                place | self.value(*index)
            }
            ExprKind::Name(..) => self.let_of(id),
            _ => self.value(id),
        }
    }

    /// What is stored in the variable that a pointer or reference points into.
    fn stored(&self, root: VariableId) -> Causes {
        let variable = &self.program.variables[root];
        match variable.kind {
            Kind::Var if variable.function.is_some() => self.load(root),
            Kind::Parameter => match variable.ty {
                Type::Pointer(Space::Function, ..) => self.load(root),
                Type::Pointer(Space::Uniform | Space::Handle, ..) => 0,
                Type::Pointer(Space::Storage, _, Access::Read) => 0,
                Type::Pointer(..) => NON_UNIFORM,
                _ => 0,
            },
            Kind::Var => match variable.space {
                Space::Private | Space::Workgroup => NON_UNIFORM,
                Space::Storage if variable.access.writes() => NON_UNIFORM,
                Space::Other => NON_UNIFORM,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn value(&mut self, id: ExprId) -> Causes {
        let module = self.program.module;
        match &module.expr(id).kind {
            ExprKind::Literal(_) => 0,
            ExprKind::Paren(inner) => self.value(*inner),
            ExprKind::Name(..) => self.program.variable_of(id).map_or(0, |variable| {
                match self.program.variables[variable].kind {
                    Kind::Var => self.stored(variable),
                    Kind::Const | Kind::Override => 0,
                    Kind::Let | Kind::Parameter => self.let_of(id),
                }
            }),
            ExprKind::Unary(UnaryOp::AddressOf, inner) => self.place(*inner),
            ExprKind::Unary(UnaryOp::Dereference, _) => {
                let place = self.place(id);
                place | self.held(id)
            }
            ExprKind::Unary(_, inner) => self.value(*inner),
            ExprKind::Member(base, _) => {
                if self.is_in_memory(*base) {
                    let place = self.place(*base);
                    return place | self.held(id);
                }
                self.value(*base)
            }
            ExprKind::Index(base, index) => {
                // What is in memory is read behind the index.
                if self.is_in_memory(*base) {
                    let place = self.place(*base) | self.value(*index);
                    return place | self.held(id);
                }
                self.value(*base) | self.value(*index)
            }
            ExprKind::Binary(operator, left, right) => {
                let a = self.value(*left);
                if operator.is_logical() {
                    // The right side may not be evaluated.
                    let before = self.flow;
                    let without = self.copy_state();
                    self.flow |= a;
                    let b = self.value(*right);
                    self.flow = before;
                    join(&mut self.state, &without);
                    return a | b;
                }
                a | self.value(*right)
            }
            ExprKind::Call { callee, arguments, .. } => match self.program.meaning(id) {
                Meaning::Function(function) => self.call(function, arguments),
                Meaning::Builtin => self.builtin(id, callee.name, arguments),
                _ => self.all(arguments),
            },
        }
    }

    fn is_in_memory(&self, id: ExprId) -> bool {
        matches!(self.program.ty(id), Type::Pointer(..) | Type::Reference(..))
    }

    fn all(&mut self, arguments: &[ExprId]) -> Causes {
        arguments.iter().fold(0, |all, argument| all | self.value(*argument))
    }

    fn require(&mut self, id: ExprId, number: u8, rule: &'static str, causes: Causes, what: &str) {
        let span = self.program.span(id);
        let (filter, default) = match rule {
            "derivative-uniformity" => ("derivative_uniformity", Severity::Error),
            "subgroup-uniformity" => ("subgroup_uniformity", Severity::Error),
            _ => ("", Severity::Error),
        };
        let severity = match self.filters.severity(filter, span.start, default) {
            None => return,
            // The shader's author knows of it.
            Some(Severity::Warning) => Severity::Info,
            Some(severity) => severity,
        };
        let message = what.to_owned();
        self.record(Requirement { rule, severity, number, message, span, causes });
    }

    fn record(&mut self, new: Requirement) {
        self.requirements
            .entry((new.span.start, new.number))
            .and_modify(|known| known.causes |= new.causes)
            .or_insert(new);
    }

    fn builtin(&mut self, id: ExprId, name: &str, arguments: &[ExprId]) -> Causes {
        let mut each = Vec::with_capacity(arguments.len());
        for argument in arguments {
            each.push(self.value(*argument));
        }
        let all = each.iter().fold(0, |all, one| all | one);
        let flow = self.flow;
        let first_type = arguments.first().map(|argument| self.program.ty(*argument));
        match name {
            "workgroupBarrier" | "storageBarrier" | "textureBarrier" => {
                let what = format!(
                    "{name} is called where control flow is not uniform: some \
                     invocations of the workgroup may not come here"
                );
                self.require(id, 0, "barrier-uniformity", flow, &what);
                0
            }
            "workgroupUniformLoad" => {
                let what = "workgroupUniformLoad is called where control flow is not uniform";
                self.require(id, 0, "barrier-uniformity", flow, what);
                let what = "the pointer of workgroupUniformLoad is not uniform";
                self.require(id, 1, "barrier-uniformity", all, what);
                0
            }
            "textureSample" | "textureSampleBias" | "textureSampleCompare" => {
                let what = format!(
                    "{name} is called where control flow is not uniform: its \
                     derivatives are undefined there; use textureSampleLevel or textureSampleGrad, \
                     or sample before the branch"
                );
                self.require(id, 0, "derivative-uniformity", flow, &what);
                NON_UNIFORM
            }
            _ if name.starts_with("dpd") || name.starts_with("fwidth") => {
                let what = format!("{name} is called where control flow is not uniform");
                self.require(id, 0, "derivative-uniformity", flow, &what);
                NON_UNIFORM
            }
            _ if is_subgroup(name) => {
                let what = format!("{name} is called where control flow is not uniform");
                self.require(id, 0, "subgroup-uniformity", flow, &what);
                if matches!(
                    name,
                    "subgroupShuffleUp" | "subgroupShuffleDown" | "subgroupShuffleXor"
                ) {
                    let what = format!("the second argument of {name} is not uniform");
                    let causes = each.get(1).copied().unwrap_or(0);
                    self.require(id, 1, "subgroup-uniformity", causes, &what);
                }
                NON_UNIFORM
            }
            _ if name.starts_with("atomic") => NON_UNIFORM,
            "textureLoad" => {
                let writable = matches!(
                    first_type,
                    Some(Type::Texture(texture))
                        if texture.kind == TextureKind::Storage && texture.access.writes()
                );
                all | if writable { NON_UNIFORM } else { 0 }
            }
            _ => all,
        }
    }

    fn call(&mut self, function: FunctionId, arguments: &[ExprId]) -> Causes {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.value(*argument));
        }
        let inside: Vec<Causes> = arguments
            .iter()
            .map(|argument| match self.program.ty(*argument) {
                Type::Pointer(..) => self.held(*argument),
                _ => 0,
            })
            .collect();
        let flow = self.flow;
        let here = |causes: Causes| {
            let mut found = causes & NON_UNIFORM;
            if causes & CALL_SITE != 0 {
                found |= flow;
            }
            for (index, (value, inside)) in values.iter().zip(&inside).enumerate() {
                if causes & parameter(index) != 0 {
                    found |= value;
                }
                if causes & contents(index) != 0 {
                    found |= inside;
                }
            }
            found
        };
        let summaries = self.summaries;
        let summary = &summaries[function];
        for requirement in &summary.requirements {
            self.work += 1;
            // What is wrong by itself is reported with the function.
            let causes = here(requirement.causes & !NON_UNIFORM);
            if causes != 0 {
                self.record(Requirement { causes, ..requirement.clone() });
            }
        }
        let result = here(summary.result) | flow;
        let outputs: Vec<_> = summary.outputs.iter().map(|one| one.map(here)).collect();
        for (argument, output) in arguments.iter().zip(outputs) {
            if let Some(output) = output {
                self.assign(*argument, output);
            }
        }
        result
    }
}

/// The parts of a loop of any form.
struct Parts<'m, 's> {
    condition: Option<ExprId>,
    body: &'m [Statement<'s>],
    continuing: &'m [Statement<'s>],
    update: Option<&'m Statement<'s>>,
    break_if: Option<ExprId>,
}
