//! Resolves names and types.

use std::{collections::HashMap, rc::Rc};

use super::{
    builtins::{self, Argument},
    constants::{Constants, MAX_NUMBERS, convert_quietly},
    program::{
        FunctionId, FunctionInfo, Kind, Meaning, Phase, Program, Stage, StructInfo, Variable,
        VariableId,
    },
    types::{Access, Length, Number, Scalar, Space, Texture, TextureKind, Type, Value, rounded},
};
use crate::check::syntax::tree::{
    Attribute, BinaryOp, Block, DeclarationKind, ExprId, ExprKind, Ident, Literal, Module,
    Statement, StatementKind, UnaryOp, VariableKind,
};

/// Largest number of declarations that depend on one another in a chain; what is behind is unknown.
const MAX_CHAIN: u32 = 500;
/// What a name means.
#[derive(Clone, Debug)]
enum Entity<'s> {
    Variable(VariableId),
    Function(FunctionId),
    Type(Type<'s>),
    Unknown,
}

#[derive(Clone, Copy, PartialEq)]
enum Progress {
    New,
    Running,
    Done,
}

struct Resolver<'m, 's> {
    program: Program<'m, 's>,
    globals: HashMap<&'s str, usize>,
    progress: Vec<Progress>,
    entities: Vec<Entity<'s>>,
    function_of: HashMap<usize, FunctionId>,
    /// Local variables by their names, the innermost last.
    locals: HashMap<&'s str, Vec<VariableId>>,
    /// Names in the order of their declarations, to leave scopes.
    declared_locals: Vec<&'s str>,
    function: Option<FunctionId>,
    /// The scope that is open, and those of local variables.
    scope: usize,
    scopes: usize,
    scope_of: HashMap<VariableId, usize>,
    chain: u32,
    constants: Constants,
}

/// The meaning of every name and expression of a file.
pub fn resolve<'m, 's>(module: &'m Module<'s>) -> Program<'m, 's> {
    let count = module.expressions.len();
    let program = Program {
        module,
        types: vec![Type::Unknown; count],
        values: vec![None; count],
        phases: vec![Phase::Runtime; count],
        meanings: vec![Meaning::None; count],
        roots: vec![None; count],
        variables: Vec::new(),
        functions: Vec::new(),
        structs: Vec::new(),
        declared: HashMap::new(),
        diagnostics: Vec::new(),
    };
    let mut resolver = Resolver {
        program,
        globals: HashMap::new(),
        progress: vec![Progress::New; module.declarations.len()],
        entities: vec![Entity::Unknown; module.declarations.len()],
        function_of: HashMap::new(),
        locals: HashMap::new(),
        declared_locals: Vec::new(),
        function: None,
        scope: 0,
        scopes: 0,
        scope_of: HashMap::new(),
        chain: 0,
        constants: Constants::default(),
    };
    resolver.module();
    resolver.program.diagnostics = resolver.constants.errors;
    resolver.program
}

impl<'m, 's> Resolver<'m, 's> {
    fn module(&mut self) {
        let module = self.program.module;
        for (index, declaration) in module.declarations.iter().enumerate() {
            if let Some(name) = declaration.name() {
                if self.globals.contains_key(name.name) {
                    let message = format!("{} is declared already", name.name);
                    self.constants.error("redeclaration", name.span.clone(), message);
                }
                self.globals.entry(name.name).or_insert(index);
            }
            if let DeclarationKind::Function(function) = &declaration.kind {
                let stage = declaration.attributes.iter().find_map(|attribute| {
                    Some(match attribute.name.name {
                        "vertex" => Stage::Vertex,
                        "fragment" => Stage::Fragment,
                        "compute" => Stage::Compute,
                        "mesh" | "task" => Stage::Other,
                        "ray_generation" | "miss" | "any_hit" | "closest_hit" => Stage::Other,
                        _ => return None,
                    })
                });
                self.function_of.insert(index, self.program.functions.len());
                self.program.functions.push(FunctionInfo {
                    syntax: function,
                    declaration: index,
                    parameters: Vec::new(),
                    result: Type::Void,
                    stage,
                });
            }
        }
        for index in 0..module.declarations.len() {
            self.declaration(index);
            for attribute in &module.declarations[index].attributes {
                self.attribute(attribute);
            }
        }
        for id in 0..self.program.functions.len() {
            self.function_body(id);
        }
    }

    fn attribute(&mut self, attribute: &'m Attribute<'s>) {
        let enumerants = ["builtin", "interpolate", "diagnostic", "early_depth_test"];
        if enumerants.contains(&attribute.name.name) {
            return;
        }
        for argument in attribute.arguments.iter().flatten() {
            self.expr(*argument);
        }
    }

    fn declaration(&mut self, index: usize) {
        match self.progress[index] {
            Progress::New if self.chain < MAX_CHAIN => {}
            _ => return,
        }
        self.progress[index] = Progress::Running;
        self.chain += 1;
        // A declaration of module scope does not see the names of the function that uses it.
        let locals = std::mem::take(&mut self.locals);
        let function = self.function.take();
        let silent = std::mem::take(&mut self.constants.silent);
        let module = self.program.module;
        let declaration = &module.declarations[index];
        let entity = match &declaration.kind {
            DeclarationKind::Variable(variable) => {
                let id = self.variable(variable, Some(index));
                Entity::Variable(id)
            }
            DeclarationKind::Alias { ty, .. } => Entity::Type(self.type_of(*ty)),
            DeclarationKind::Struct { name, members } => {
                let mut resolved = Vec::with_capacity(members.len());
                for member in members {
                    for attribute in &member.attributes {
                        self.attribute(attribute);
                    }
                    resolved.push((member.name.name, self.type_of(member.ty)));
                }
                let mut names = std::collections::HashSet::new();
                for member in members {
                    if !names.insert(member.name.name) {
                        let message = format!("{} is declared already", member.name.name);
                        self.constants.error("redeclaration", member.name.span.clone(), message);
                    }
                }
                let id = self.program.structs.len();
                let lanes = resolved.iter().map(|(_, ty)| self.lanes(ty)).sum::<Option<usize>>();
                let atomic = resolved.iter().any(|(_, ty)| self.program.has_atomic(ty));
                let bool = resolved.iter().any(|(_, ty)| self.program.has_bool(ty));
                let array = resolved.iter().any(|(_, ty)| self.program.has_array(ty));
                self.program.structs.push(StructInfo {
                    name: name.name,
                    declaration: index,
                    members: resolved,
                    lanes: lanes.filter(|lanes| *lanes > 0),
                    atomic,
                    bool,
                    array,
                });
                Entity::Type(Type::Struct(id))
            }
            DeclarationKind::Function(function) => {
                let id = self.function_of[&index];
                let mut parameters = Vec::with_capacity(function.parameters.len());
                for parameter in &function.parameters {
                    for attribute in &parameter.attributes {
                        self.attribute(attribute);
                    }
                    let ty = self.type_of(parameter.ty);
                    parameters.push(self.add(Variable {
                        name: parameter.name.name,
                        span: parameter.name.span.clone(),
                        kind: Kind::Parameter,
                        space: Space::Function,
                        access: Access::Read,
                        ty,
                        value: None,
                        function: Some(id),
                        root: None,
                        declaration: None,
                    }));
                }
                for attribute in &function.result_attributes {
                    self.attribute(attribute);
                }
                let result = function.result.map_or(Type::Void, |ty| self.type_of(ty));
                let info = &mut self.program.functions[id];
                (info.parameters, info.result) = (parameters, result);
                Entity::Function(id)
            }
            DeclarationKind::ConstAssert(condition) => {
                self.expr(*condition);
                Entity::Unknown
            }
        };
        (self.locals, self.function) = (locals, function);
        self.constants.silent = silent;
        self.chain -= 1;
        self.entities[index] = entity;
        self.progress[index] = Progress::Done;
    }

    fn add(&mut self, variable: Variable<'s>) -> VariableId {
        let id = self.program.variables.len();
        self.program.declared.insert(variable.span.start, id);
        self.program.variables.push(variable);
        id
    }

    /// A declaration of a variable, at module scope if `declaration` is its number.
    fn variable(
        &mut self,
        syntax: &'m crate::check::syntax::tree::Variable<'s>,
        declaration: Option<usize>,
    ) -> VariableId {
        let declared = syntax.ty.map(|ty| self.type_of(ty));
        let (mut initial, mut value, mut root) = (None, None, None);
        let mut span = syntax.name.span.clone();
        if let Some(expression) = syntax.value {
            span = self.program.span(expression);
            self.expr(expression);
            initial = Some(self.program.ty(expression).value());
            value = self.program.value(expression).cloned();
            root = self.program.root(expression);
        }
        let kind = match syntax.kind {
            VariableKind::Const => Kind::Const,
            VariableKind::Override => Kind::Override,
            VariableKind::Let => Kind::Let,
            VariableKind::Var => Kind::Var,
        };
        let ty = match (declared, initial) {
            (Some(ty), Some(from)) => {
                value = self.constants.converted(&span, value, &from, &ty);
                ty
            }
            (Some(ty), None) => ty,
            (None, Some(from)) if kind == Kind::Const => from,
            (None, Some(from)) => {
                let ty = from.concrete();
                value = self.constants.converted(&span, value, &from, &ty);
                ty
            }
            (None, None) => Type::Unknown,
        };
        let space = match syntax.template.first().and_then(|id| self.word(*id)) {
            Some(name) => Space::of_name(name),
            None if declaration.is_none() => Space::Function,
            None if kind == Kind::Var => Space::Handle,
            None => Space::Private,
        };
        let access = syntax
            .template
            .get(1)
            .and_then(|id| Access::of_name(self.word(*id)?))
            .unwrap_or(space.default_access());
        if kind == Kind::Var {
            self.store_type(&syntax.name, space, access, &ty);
            let own = matches!(space, Space::Function | Space::Private | Space::Other);
            if syntax.value.is_some() && !own {
                let message = format!("{} memory has no initialiser", space.name());
                self.constants.error("address-space", syntax.name.span.clone(), message);
            }
        }
        let pointer = matches!(ty, Type::Pointer(..));
        self.add(Variable {
            name: syntax.name.name,
            span: syntax.name.span.clone(),
            kind,
            space,
            access,
            ty,
            value: value.filter(|_| kind == Kind::Const),
            function: self.function,
            root: root.filter(|_| pointer),
            declaration,
        })
    }

    /// The text of a name without a template.
    fn word(&self, id: ExprId) -> Option<&'s str> {
        match &self.program.module.expr(id).kind {
            ExprKind::Name(name, template) if template.is_empty() => Some(name.name),
            _ => None,
        }
    }

    fn lookup(&mut self, name: &str) -> Option<Entity<'s>> {
        if let Some(id) = self.locals.get(name).and_then(|found| found.last()) {
            return Some(Entity::Variable(*id));
        }
        let index = *self.globals.get(name)?;
        if let Some(id) = self.function_of.get(&index).copied() {
            self.declaration(index);
            return Some(Entity::Function(id));
        }
        self.declaration(index);
        Some(self.entities[index].clone())
    }

    // ---- functions and statements ----

    fn function_body(&mut self, id: FunctionId) {
        self.function = Some(id);
        let syntax = self.program.functions[id].syntax;
        // Parameters and body are one scope.
        let depth = self.open();
        for parameter in self.program.functions[id].parameters.clone() {
            self.enter(parameter);
        }
        self.statements(&syntax.body.statements);
        self.close(depth);
        self.function = None;
    }

    fn enter(&mut self, id: VariableId) {
        let name = self.program.variables[id].name;
        let known = self.locals.get(name).and_then(|found| found.last());
        if known.is_some_and(|known| self.scope_of.get(known) == Some(&self.scope)) {
            let span = self.program.variables[id].span.clone();
            self.constants.error("redeclaration", span, format!("{name} is declared here already"));
        }
        self.scope_of.insert(id, self.scope);
        self.locals.entry(name).or_default().push(id);
        self.declared_locals.push(name);
    }

    /// Leaves the scopes above the first `depth` local names.
    fn leave(&mut self, depth: usize) {
        for name in self.declared_locals.drain(depth..) {
            if let Some(found) = self.locals.get_mut(name) {
                found.pop();
            }
        }
    }

    /// Opens a scope; [`Self::close`] takes what it returns.
    fn open(&mut self) -> (usize, usize) {
        self.scopes += 1;
        (self.declared_locals.len(), std::mem::replace(&mut self.scope, self.scopes))
    }

    fn close(&mut self, (depth, scope): (usize, usize)) {
        self.leave(depth);
        self.scope = scope;
    }

    fn block(&mut self, block: &'m Block<'s>) {
        let depth = self.open();
        self.statements(&block.statements);
        self.close(depth);
    }

    fn statements(&mut self, statements: &'m [Statement<'s>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'m Statement<'s>) {
        match &statement.kind {
            StatementKind::Block(block) => self.block(block),
            StatementKind::If { condition, then, otherwise } => {
                self.expr(*condition);
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise);
                }
            }
            StatementKind::Switch { selector, cases, .. } => {
                self.expr(*selector);
                for case in cases {
                    for selector in case.selectors.iter().flatten() {
                        self.expr(*selector);
                    }
                    self.block(&case.body);
                }
            }
            StatementKind::Loop { body, continuing } => {
                let depth = self.open();
                self.statements(&body.statements);
                if let Some(continuing) = continuing {
                    let depth = self.open();
                    self.statements(&continuing.block.statements);
                    if let Some(condition) = continuing.break_if {
                        self.expr(condition);
                    }
                    self.close(depth);
                }
                self.close(depth);
            }
            StatementKind::For { initializer, condition, update, body } => {
                let depth = self.open();
                if let Some(initializer) = initializer {
                    self.statement(initializer);
                }
                if let Some(condition) = condition {
                    self.expr(*condition);
                }
                if let Some(update) = update {
                    self.statement(update);
                }
                self.block(body);
                self.close(depth);
            }
            StatementKind::While { condition, body } => {
                self.expr(*condition);
                self.block(body);
            }
            StatementKind::Return(Some(value)) => {
                self.expr(*value);
                if let Some(function) = self.function {
                    let result = self.program.functions[function].result.clone();
                    self.check_conversion(*value, &result);
                }
            }
            StatementKind::Call(call) | StatementKind::ConstAssert(call) => self.expr(*call),
            StatementKind::Assign { target, operator, value } => {
                self.expr(*value);
                let Some(target) = target else { return };
                self.expr(*target);
                let stored = self.program.ty(*target).value();
                if operator.is_none() {
                    self.swizzle_assignment(*target, *value);
                }
                match operator {
                    None => self.check_conversion(*value, &stored),
                    Some(operator) => {
                        self.check_operands(*operator, *target, *value);
                    }
                }
            }
            StatementKind::Step { target } => self.expr(*target),
            StatementKind::Variable(variable) => {
                let id = self.variable(variable, None);
                self.enter(id);
            }
            StatementKind::Break
            | StatementKind::Continue
            | StatementKind::Return(None)
            | StatementKind::Discard => {}
        }
    }

    /// An assignment to several components of a vector: they differ, and the value fits.
    fn swizzle_assignment(&mut self, target: ExprId, value: ExprId) {
        let module = self.program.module;
        let ExprKind::Member(_, member) = &module.expr(module.inner(target)).kind else { return };
        let Type::Vector(size, scalar) = self.program.ty(target).clone() else { return };
        let letters = member.name.as_bytes();
        if (1..letters.len()).any(|at| letters[..at].contains(&letters[at])) {
            let message = format!("{} names a component twice", member.name);
            self.constants.error("assignment-type", member.span.clone(), message);
        }
        let fits = match self.program.ty(value).value() {
            Type::Vector(count, of) => count == size && of.common(scalar) == Some(scalar),
            Type::Unknown => true,
            _ => false,
        };
        if !fits {
            let message =
                format!("the value is no vector of {size} components of {}", scalar.name());
            let span = self.program.span(value);
            self.constants.error("assignment-type", span, message);
        }
    }

    // ---- types ----

    /// The type that an expression names.
    fn type_of(&mut self, id: ExprId) -> Type<'s> {
        let module = self.program.module;
        let ExprKind::Name(name, template) = &module.expr(id).kind else { return Type::Unknown };
        self.program.meanings[id as usize] = Meaning::Type;
        if let Some(entity) = self.lookup(name.name) {
            return match entity {
                Entity::Type(ty) => ty,
                _ => Type::Unknown,
            };
        }
        self.builtin_type(name, template).unwrap_or(Type::Unknown)
    }

    fn scalar_argument(&mut self, template: &[ExprId], index: usize) -> Scalar {
        let ty = template.get(index).map(|id| self.type_of(*id));
        ty.and_then(|ty| ty.scalar()).unwrap_or(Scalar::F32)
    }

    fn builtin_type(&mut self, name: &Ident<'s>, template: &'m [ExprId]) -> Option<Type<'s>> {
        let text = name.name;
        if let Some(scalar) = Scalar::of_name(text) {
            return Some(Type::Scalar(scalar));
        }
        if let Some((size, suffix)) = vector_name(text) {
            let scalar = match suffix {
                Some(scalar) => scalar,
                None => self.type_of(*template.first()?).scalar()?,
            };
            return Some(Type::Vector(size, scalar));
        }
        if let Some((columns, rows, suffix)) = matrix_name(text) {
            let scalar = match suffix {
                Some(scalar) => scalar,
                None => self.type_of(*template.first()?).scalar()?,
            };
            return Some(Type::Matrix(columns, rows, scalar));
        }
        Some(match text {
            "array" => {
                let element = self.type_of(*template.first()?);
                let length = match template.get(1) {
                    None => Length::Runtime,
                    Some(count) => {
                        self.expr(*count);
                        match self.program.integer(*count) {
                            Some(count) => u32::try_from(count)
                                .ok()
                                .filter(|count| *count > 0)
                                .map_or(Length::Unknown, Length::Fixed),
                            None => Length::Unknown,
                        }
                    }
                };
                Type::Array(Rc::new(element), length)
            }
            "binding_array" => {
                if let Some(count) = template.get(1) {
                    self.expr(*count);
                }
                Type::BindingArray(Rc::new(self.type_of(*template.first()?)))
            }
            "atomic" => Type::Atomic(self.scalar_argument(template, 0)),
            "ptr" => {
                let space = Space::of_name(self.word(*template.first()?)?);
                let inner = self.type_of(*template.get(1)?);
                let access = template.get(2).and_then(|id| Access::of_name(self.word(*id)?));
                let access = access.unwrap_or(space.default_access());
                self.store_type(name, space, access, &inner);
                Type::Pointer(space, Rc::new(inner), access)
            }
            "sampler" => Type::Sampler,
            "sampler_comparison" => Type::ComparisonSampler,
            _ => Type::Texture(Rc::new(self.texture_type(text, template)?)),
        })
    }

    /// Reports memory of an address space that cannot have the type or the access.
    fn store_type(&mut self, at: &Ident<'s>, space: Space, access: Access, ty: &Type<'s>) {
        let shared = matches!(space, Space::Uniform | Space::Storage | Space::Immediate);
        let name = space.name();
        let atomic = self.program.has_atomic(ty);
        if shared && self.program.has_bool(ty) {
            let message = format!("bool is not for {name} memory, which the host shares");
            self.constants.error("address-space", at.span.clone(), message);
        } else if space == Space::Immediate && self.program.has_array(ty) {
            let message = "immediate memory has no arrays".to_owned();
            self.constants.error("address-space", at.span.clone(), message);
        } else if space == Space::Storage && access == Access::Write {
            let message = "storage is read or read_write, not write".to_owned();
            self.constants.error("address-space", at.span.clone(), message);
        } else if atomic
            && (!matches!(space, Space::Workgroup | Space::Storage | Space::Other)
                || (space == Space::Storage && !access.writes()))
        {
            let message =
                "atomics are in workgroup memory or in storage that is read_write".to_owned();
            self.constants.error("atomic-access", at.span.clone(), message);
        }
    }

    fn texture_type(&mut self, name: &str, template: &[ExprId]) -> Option<Texture<'s>> {
        let rest = name.strip_prefix("texture_")?;
        let (kind, shape) = if let Some(shape) = rest.strip_prefix("storage_") {
            (TextureKind::Storage, shape)
        } else if let Some(shape) = rest.strip_prefix("depth_multisampled_") {
            (TextureKind::DepthMultisampled, shape)
        } else if let Some(shape) = rest.strip_prefix("depth_") {
            (TextureKind::Depth, shape)
        } else if let Some(shape) = rest.strip_prefix("multisampled_") {
            (TextureKind::Multisampled, shape)
        } else if rest == "external" {
            (TextureKind::External, "2d")
        } else {
            (TextureKind::Sampled, rest)
        };
        let (dimension, arrayed) = match shape {
            "1d" => (1, false),
            "2d" => (2, false),
            "2d_array" => (2, true),
            "3d" => (3, false),
            "cube" => (0, false),
            "cube_array" => (0, true),
            _ => return None,
        };
        let mut texture = Texture {
            kind,
            dimension,
            arrayed,
            sampled: Scalar::F32,
            format: "",
            access: Access::Read,
        };
        match kind {
            TextureKind::Sampled | TextureKind::Multisampled => {
                texture.sampled = self.scalar_argument(template, 0);
            }
            TextureKind::Storage => {
                texture.format = template.first().and_then(|id| self.word(*id)).unwrap_or("");
                texture.access = template
                    .get(1)
                    .and_then(|id| Access::of_name(self.word(*id)?))
                    .unwrap_or(Access::ReadWrite);
                texture.sampled = match texture.format {
                    format if format.ends_with("uint") => Scalar::U32,
                    format if format.ends_with("sint") => Scalar::I32,
                    _ => Scalar::F32,
                };
            }
            _ => {}
        }
        Some(texture)
    }

    // ---- expressions ----

    fn set(&mut self, id: ExprId, ty: Type<'s>, phase: Phase, value: Option<Value>) {
        let at = id as usize;
        self.program.types[at] = ty;
        self.program.phases[at] = phase;
        self.program.values[at] = value;
    }

    /// Resolves an expression and those inside it.
    fn expr(&mut self, id: ExprId) {
        let module = self.program.module;
        let at = id as usize;
        match &module.expr(id).kind {
            ExprKind::Literal(literal) => {
                let (scalar, number) = match *literal {
                    Literal::Bool(value) => (Scalar::Bool, Number::Bool(value)),
                    Literal::Int(value, suffix) => (
                        match suffix {
                            "i" => Scalar::I32,
                            "u" => Scalar::U32,
                            "li" => Scalar::I64,
                            "lu" => Scalar::U64,
                            _ => Scalar::AbstractInt,
                        },
                        Number::Int(value),
                    ),
                    Literal::Float(value, suffix) => {
                        let scalar = match suffix {
                            "f" => Scalar::F32,
                            "h" => Scalar::F16,
                            "lf" => Scalar::F64,
                            _ => Scalar::AbstractFloat,
                        };
                        let value = rounded(value, scalar).unwrap_or(value);
                        (scalar, Number::Float(value))
                    }
                };
                let value = self.constants.bounded(vec![number]);
                self.set(id, Type::Scalar(scalar), Phase::Const, value);
            }
            ExprKind::Paren(inner) => {
                self.expr(*inner);
                let (ty, phase) = (self.program.ty(*inner).clone(), self.program.phase(*inner));
                let value = self.program.value(*inner).cloned();
                self.program.roots[at] = self.program.root(*inner);
                self.set(id, ty, phase, value);
            }
            ExprKind::Name(name, template) => self.name(id, name, template),
            ExprKind::Call { callee, template, arguments } => {
                self.call(id, callee, template, arguments);
            }
            ExprKind::Index(base, index) => self.index(id, *base, *index),
            ExprKind::Member(base, member) => self.member(id, *base, member),
            ExprKind::Unary(operator, operand) => {
                self.expr(*operand);
                self.program.roots[at] = self.program.root(*operand);
                let ty = self.program.ty(*operand).clone();
                match operator {
                    UnaryOp::AddressOf => {
                        let ty = match ty {
                            Type::Reference(space, inner, access) => {
                                Type::Pointer(space, inner, access)
                            }
                            _ => Type::Unknown,
                        };
                        self.set(id, ty, Phase::Runtime, None);
                    }
                    UnaryOp::Dereference => {
                        let ty = match ty {
                            Type::Pointer(space, inner, access) => {
                                Type::Reference(space, inner, access)
                            }
                            _ => Type::Unknown,
                        };
                        self.set(id, ty, Phase::Runtime, None);
                    }
                    _ => {
                        self.program.roots[at] = None;
                        self.unary(id, *operator, *operand);
                    }
                }
            }
            ExprKind::Binary(operator, left, right) => self.binary(id, *operator, *left, *right),
        }
    }

    fn name(&mut self, id: ExprId, name: &'m Ident<'s>, template: &'m [ExprId]) {
        let at = id as usize;
        match self.lookup(name.name) {
            Some(Entity::Variable(variable)) => {
                self.program.meanings[at] = Meaning::Variable(variable);
                let info = &self.program.variables[variable];
                let value = info.value.clone();
                let phase = match info.kind {
                    Kind::Const => Phase::Const,
                    Kind::Override => Phase::Override,
                    _ => Phase::Runtime,
                };
                let handle = info.space == Space::Handle;
                let (ty, root) = match (info.kind, &info.ty) {
                    // A texture or a sampler is used as a value.
                    (Kind::Var, ty) if handle => (ty.clone(), Some(variable)),
                    (Kind::Var, Type::Unknown) => (Type::Unknown, Some(variable)),
                    (Kind::Var, ty) => (
                        Type::Reference(info.space, Rc::new(ty.clone()), info.access),
                        Some(variable),
                    ),
                    (Kind::Parameter, ty @ Type::Pointer(..)) => (ty.clone(), Some(variable)),
                    (_, ty) => (ty.clone(), info.root),
                };
                self.program.roots[at] = root;
                self.set(id, ty, phase, value);
            }
            Some(Entity::Type(_)) => self.program.meanings[at] = Meaning::Type,
            Some(_) => {}
            None => {
                if self.builtin_type(name, template).is_some() {
                    self.program.meanings[at] = Meaning::Type;
                }
            }
        }
    }

    /// The type whose parts `base` gives access to, and where it is in memory; a pointer is
    /// dereferenced by itself.
    fn reached(&self, base: ExprId) -> (Option<(Space, Access)>, Type<'s>) {
        match self.program.ty(base) {
            Type::Reference(space, inner, access) | Type::Pointer(space, inner, access) => {
                (Some((*space, *access)), (**inner).clone())
            }
            other => (None, other.clone()),
        }
    }

    fn member(&mut self, id: ExprId, base: ExprId, member: &Ident<'s>) {
        self.expr(base);
        let at = id as usize;
        let phase = self.program.phase(base);
        let (reference, inner) = self.reached(base);
        self.program.roots[at] = self.program.root(base);
        let value = self.program.value(base).cloned();
        let wrap = |ty: Type<'s>| match reference {
            Some((space, access)) => Type::Reference(space, Rc::new(ty), access),
            None => ty,
        };
        match &inner {
            Type::Struct(structure) => {
                let info = &self.program.structs[*structure];
                let Some(index) = info.members.iter().position(|(name, _)| *name == member.name)
                else {
                    return;
                };
                let ty = info.members[index].1.clone();
                let before: Option<usize> =
                    info.members[..index].iter().map(|(_, ty)| self.lanes(ty)).sum();
                let part =
                    value.zip(before.zip(self.lanes(&ty))).and_then(|(value, (start, count))| {
                        value.get(start..start + count).map(<[_]>::to_vec)
                    });
                let part = part.and_then(|part| self.constants.bounded(part));
                self.set(id, wrap(ty), phase, part);
            }
            Type::Vector(size, scalar) => {
                let Some(lanes) = swizzle(member.name, *size) else { return };
                let part = value.and_then(|value| {
                    let picked: Option<Vec<_>> =
                        lanes.iter().map(|lane| value.get(usize::from(*lane)).copied()).collect();
                    self.constants.bounded(picked?)
                });
                if lanes.len() == 1 {
                    self.set(id, wrap(Type::Scalar(*scalar)), phase, part);
                } else {
                    self.set(id, Type::Vector(lanes.len() as u8, *scalar), phase, part);
                }
            }
            _ => {}
        }
    }

    fn index(&mut self, id: ExprId, base: ExprId, index: ExprId) {
        self.expr(base);
        self.expr(index);
        let at = id as usize;
        let phase = self.program.phase(base).max(self.program.phase(index));
        let (reference, inner) = self.reached(base);
        self.program.roots[at] = self.program.root(base);
        let (element, count) = match &inner {
            Type::Array(element, length) => (
                (**element).clone(),
                match length {
                    Length::Fixed(count) => Some(i128::from(*count)),
                    _ => None,
                },
            ),
            Type::BindingArray(element) => ((**element).clone(), None),
            Type::Vector(size, scalar) => (Type::Scalar(*scalar), Some(i128::from(*size))),
            Type::Matrix(columns, rows, scalar) => {
                (Type::Vector(*rows, *scalar), Some(i128::from(*columns)))
            }
            _ => return,
        };
        let mut part = None;
        if let Some(position) = self.program.integer(index) {
            let outside = position < 0 || count.is_some_and(|count| position >= count);
            if outside {
                let most = count.map_or(String::new(), |n| format!("; there are 0 to {}", n - 1));
                let span = self.program.span(index);
                self.constants.error(
                    "index-out-of-bounds",
                    span,
                    format!("no element {position}{most}"),
                );
            } else if let (Some(value), Some(lanes)) =
                (self.program.value(base), self.lanes(&element))
            {
                let start = position as usize * lanes;
                let numbers = value.get(start..start + lanes).map(<[_]>::to_vec);
                part = numbers.and_then(|numbers| self.constants.bounded(numbers));
            }
        }
        let ty = match reference {
            Some((space, access)) => Type::Reference(space, Rc::new(element), access),
            None => element,
        };
        self.set(id, ty, phase, part);
    }

    /// The number of numbers in a value of the type, if it is known and not too large.
    fn lanes(&self, ty: &Type<'s>) -> Option<usize> {
        let count = match ty {
            Type::Scalar(_) => 1,
            Type::Vector(size, _) => usize::from(*size),
            Type::Matrix(columns, rows, _) => usize::from(*columns) * usize::from(*rows),
            Type::Array(element, Length::Fixed(count)) => {
                self.lanes(element)?.checked_mul(*count as usize)?
            }
            Type::Struct(id) => self.program.structs[*id].lanes?,
            _ => return None,
        };
        (count <= MAX_NUMBERS).then_some(count)
    }

    /// A zero of the type.
    fn zero(&mut self, ty: &Type<'s>) -> Option<Value> {
        let count = self.lanes(ty)?;
        let mut numbers = Vec::with_capacity(count);
        self.push_zero(ty, &mut numbers);
        self.constants.bounded(numbers)
    }

    fn push_zero(&self, ty: &Type<'s>, numbers: &mut Vec<Number>) {
        match ty {
            Type::Struct(id) => {
                for (_, member) in &self.program.structs[*id].members {
                    self.push_zero(member, numbers);
                }
            }
            Type::Array(element, Length::Fixed(count)) => {
                for _ in 0..*count {
                    self.push_zero(element, numbers);
                }
            }
            other => {
                let zero = Number::zero(other.scalar().unwrap_or(Scalar::I32));
                numbers.extend(std::iter::repeat_n(zero, self.lanes(other).unwrap_or(0)));
            }
        }
    }

    // ---- operators ----

    /// Reports a constant that the type cannot hold where it converts by itself.
    fn check_conversion(&mut self, id: ExprId, to: &Type<'s>) {
        let from = self.program.ty(id).value();
        let value = self.program.value(id).cloned();
        let span = self.program.span(id);
        let _ = self.constants.converted(&span, value, &from, to);
    }

    fn unary(&mut self, id: ExprId, operator: UnaryOp, operand: ExprId) {
        let ty = self.program.ty(operand).value();
        let phase = self.program.phase(operand);
        let value = self.program.value(operand).cloned();
        let span = self.program.span(id);
        let scalar = ty.scalar();
        let value = value
            .zip(scalar)
            .and_then(|(value, scalar)| self.constants.unary(&span, operator, &value, scalar));
        self.set(id, ty, phase, value);
    }

    fn binary(&mut self, id: ExprId, operator: BinaryOp, left: ExprId, right: ExprId) {
        self.expr(left);
        // What a constant decides is not evaluated.
        let decided = operator.is_logical()
            && self
                .program
                .value(left)
                .and_then(|value| value.first())
                .is_some_and(|value| value.truth() == (operator == BinaryOp::LogicalOr));
        if decided {
            self.constants.silent += 1;
        }
        self.expr(right);
        if decided {
            self.constants.silent -= 1;
        }
        let phase = self.program.phase(left).max(self.program.phase(right));
        if operator.is_logical() {
            let truth = |value: Option<&Value>| value.and_then(|v| v.first()).map(|v| v.truth());
            let (a, b) = (truth(self.program.value(left)), truth(self.program.value(right)));
            let result = match (decided, a, b) {
                (true, ..) => a,
                (_, Some(a), Some(b)) => {
                    Some(if operator == BinaryOp::LogicalAnd { a && b } else { a || b })
                }
                _ => None,
            };
            let value = result.and_then(|truth| self.constants.bounded(vec![Number::Bool(truth)]));
            self.set(id, Type::BOOL, phase, value);
            return;
        }
        let span = self.program.span(id);
        let ty = self.check_operands(operator, left, right);
        let (a, b) = (self.program.ty(left).value(), self.program.ty(right).value());
        let values = self.program.value(left).cloned().zip(self.program.value(right).cloned());
        let value = values.zip(ty.scalar()).and_then(|((x, y), scalar)| {
            self.constants.operate(&span, operator, (&a, &x), (&b, &y), scalar)
        });
        let ty = if operator.is_comparison() {
            match ty {
                Type::Unknown => Type::Unknown,
                other => other.with_scalar(Scalar::Bool),
            }
        } else {
            ty
        };
        self.set(id, ty, phase, value);
    }

    /// The type of the operation (for comparisons that of the operands), unknown if it is not
    /// certain. Reports operands that are constants and wrong whatever the other one is.
    fn check_operands(&mut self, operator: BinaryOp, left: ExprId, right: ExprId) -> Type<'s> {
        let (a, b) = (self.program.ty(left).value(), self.program.ty(right).value());
        let (Some(left_scalar), Some(right_scalar)) = (a.scalar(), b.scalar()) else {
            return Type::Unknown;
        };
        let constant = self.program.value(right).cloned();
        if operator.is_shift() {
            let runtime = self.program.value(left).is_none();
            let ty = if runtime { a.concrete() } else { a };
            if !left_scalar.is_integer() {
                return Type::Unknown;
            }
            if right_scalar == Scalar::AbstractInt {
                self.check_conversion(right, &b.with_scalar(Scalar::U32));
            }
            let bits = ty.scalar().map_or(32, Scalar::bits);
            let abstract_left = ty.scalar() == Some(Scalar::AbstractInt);
            if let Some(constant) = constant
                && !abstract_left
                && let Some(amount) =
                    constant.iter().map(|n| n.int()).find(|n| *n >= i128::from(bits))
            {
                let message = format!("a shift by {amount} of a value of {bits} bits");
                let at = self.program.span(right);
                self.constants.error("shift-amount", at, message);
            }
            return ty;
        }
        let Some(scalar) = left_scalar.common(right_scalar) else { return Type::Unknown };
        for (operand, ty) in [(left, &a), (right, &b)] {
            let to = ty.with_scalar(scalar);
            self.check_conversion(operand, &to);
        }
        if matches!(operator, BinaryOp::Divide | BinaryOp::Modulo)
            && scalar.is_integer()
            && constant.is_some_and(|value| value.iter().any(|number| number.int() == 0))
        {
            let at = self.program.span(right);
            self.constants.error("division-by-zero", at, "an integer is divided by zero".into());
            return Type::Unknown;
        }
        match (operator, &a, &b) {
            (_, Type::Scalar(_), Type::Scalar(_)) => Type::Scalar(scalar),
            (_, Type::Vector(n, _), Type::Vector(m, _)) if n == m => Type::Vector(*n, scalar),
            (_, Type::Vector(n, _), Type::Scalar(_)) | (_, Type::Scalar(_), Type::Vector(n, _))
                if operator.is_arithmetic() =>
            {
                Type::Vector(*n, scalar)
            }
            (BinaryOp::Add | BinaryOp::Subtract, Type::Matrix(c, r, _), Type::Matrix(d, s, _))
                if c == d && r == s =>
            {
                Type::Matrix(*c, *r, scalar)
            }
            (BinaryOp::Multiply, Type::Matrix(c, r, _), Type::Scalar(_))
            | (BinaryOp::Multiply, Type::Scalar(_), Type::Matrix(c, r, _)) => {
                Type::Matrix(*c, *r, scalar)
            }
            (BinaryOp::Multiply, Type::Matrix(c, r, _), Type::Vector(n, _)) if c == n => {
                Type::Vector(*r, scalar)
            }
            (BinaryOp::Multiply, Type::Vector(n, _), Type::Matrix(c, r, _)) if r == n => {
                Type::Vector(*c, scalar)
            }
            (BinaryOp::Multiply, Type::Matrix(k, r, _), Type::Matrix(c, s, _)) if k == s => {
                Type::Matrix(*c, *r, scalar)
            }
            _ => Type::Unknown,
        }
    }

    // ---- calls ----

    fn call(
        &mut self,
        id: ExprId,
        callee: &'m Ident<'s>,
        template: &'m [ExprId],
        arguments: &'m [ExprId],
    ) {
        for argument in arguments {
            self.expr(*argument);
        }
        let at = id as usize;
        match self.lookup(callee.name) {
            Some(Entity::Function(function)) => {
                self.program.meanings[at] = Meaning::Function(function);
                let parameters = self.program.functions[function].parameters.clone();
                for (argument, parameter) in arguments.iter().zip(parameters) {
                    let ty = self.program.variables[parameter].ty.clone();
                    self.check_conversion(*argument, &ty);
                }
                let result = self.program.functions[function].result.clone();
                self.set(id, result, Phase::Runtime, None);
            }
            Some(Entity::Type(ty)) => {
                self.program.meanings[at] = Meaning::Type;
                self.construct(id, ty, arguments);
            }
            Some(_) => {}
            None => {
                if let Some(ty) = self.constructed(callee, template, arguments) {
                    self.program.meanings[at] = Meaning::Type;
                    self.construct(id, ty, arguments);
                } else {
                    self.program.meanings[at] = Meaning::Builtin;
                    let target = (callee.name == "bitcast")
                        .then(|| template.first().map(|id| self.type_of(*id)))
                        .flatten();
                    let given: Vec<Argument<'s>> = arguments
                        .iter()
                        .map(|argument| Argument {
                            ty: self.program.ty(*argument).value(),
                            value: self.program.value(*argument).cloned(),
                            phase: self.program.phase(*argument),
                            span: self.program.span(*argument),
                        })
                        .collect();
                    let span = self.program.span(id);
                    let (ty, phase, value) =
                        builtins::call(&mut self.constants, callee.name, span, target, &given);
                    self.set(id, ty, phase, value);
                }
            }
        }
    }

    /// The type that a predeclared name constructs, inferred from the arguments if it has no
    /// template.
    fn constructed(
        &mut self,
        callee: &Ident<'s>,
        template: &'m [ExprId],
        arguments: &[ExprId],
    ) -> Option<Type<'s>> {
        let name = callee.name;
        if !template.is_empty() {
            if let ("array", [element]) = (name, template) {
                let element = self.type_of(*element);
                let count = u32::try_from(arguments.len()).ok()?;
                return Some(Type::Array(Rc::new(element), Length::Fixed(count)));
            }
            return self.builtin_type(callee, template);
        }
        let vector = vector_name(name).filter(|(_, suffix)| suffix.is_none());
        let matrix = matrix_name(name).filter(|(_, _, suffix)| suffix.is_none());
        if name != "array" && vector.is_none() && matrix.is_none() {
            return self.builtin_type(callee, template);
        }
        if name == "array" {
            let mut element = self.program.ty(*arguments.first()?).value();
            let mut known = !element.is_unknown();
            for argument in &arguments[1..] {
                let next = self.program.ty(*argument).value();
                known &= !next.is_unknown();
                element = element.common(&next);
                if known && element.is_unknown() {
                    let message = "the elements of this array have no common type".to_owned();
                    self.constants.error("constructor", self.program.span(*argument), message);
                    known = false;
                }
            }
            let count = u32::try_from(arguments.len()).ok()?;
            return Some(Type::Array(Rc::new(element), Length::Fixed(count)));
        }
        let mut scalar = None;
        for argument in arguments {
            let found = self.program.ty(*argument).value().scalar()?;
            scalar = Some(match scalar {
                None => found,
                Some(scalar) => found.common(scalar)?,
            });
        }
        let scalar = scalar.unwrap_or(Scalar::AbstractInt);
        match (vector, matrix) {
            (Some((size, _)), _) => Some(Type::Vector(size, scalar)),
            (_, Some((columns, rows, _))) => {
                let scalar =
                    if scalar == Scalar::AbstractInt { Scalar::AbstractFloat } else { scalar };
                Some(Type::Matrix(columns, rows, scalar))
            }
            _ => None,
        }
    }

    fn construct(&mut self, id: ExprId, ty: Type<'s>, arguments: &[ExprId]) {
        let mut phase = Phase::Const;
        for argument in arguments {
            phase = phase.max(self.program.phase(*argument));
        }
        if arguments.is_empty() {
            let value = self.zero(&ty);
            self.set(id, ty, Phase::Const, value);
            return;
        }
        // One argument of the same number of components is a conversion.
        if let ([argument], Some(to)) = (arguments, ty.scalar()) {
            let from = self.program.ty(*argument).value();
            let splat = matches!(ty, Type::Vector(..)) && matches!(from, Type::Scalar(_));
            if !splat && self.lanes(&from) == self.lanes(&ty) {
                let value = self.program.value(*argument).cloned();
                let value = from.scalar().zip(value).and_then(|(from, value)| {
                    self.constants.cast(self.program.span(id), &value, from, to)
                });
                self.set(id, ty, phase, value);
                return;
            }
            if splat {
                self.check_conversion(*argument, &Type::Scalar(to));
                let number = self
                    .program
                    .value(*argument)
                    .and_then(|value| value.first().copied())
                    .map(|number| convert_quietly(number, to));
                let value = number
                    .zip(self.lanes(&ty))
                    .and_then(|(number, count)| self.constants.bounded(vec![number; count]));
                self.set(id, ty, phase, value);
                return;
            }
        }
        let mut numbers = Some(Vec::new());
        for (index, argument) in arguments.iter().enumerate() {
            let from = self.program.ty(*argument).value();
            let to = match &ty {
                Type::Array(element, _) => (**element).clone(),
                Type::Struct(structure) => self.program.structs[*structure]
                    .members
                    .get(index)
                    .map_or(Type::Unknown, |(_, ty)| ty.clone()),
                other => match other.scalar() {
                    Some(scalar) => from.with_scalar(scalar),
                    None => Type::Unknown,
                },
            };
            self.check_conversion(*argument, &to);
            let value = self.program.value(*argument).cloned();
            match (&mut numbers, value) {
                (Some(numbers), Some(value)) if numbers.len() <= MAX_NUMBERS => match to.leaf() {
                    Some(scalar) => {
                        numbers.extend(value.iter().map(|n| convert_quietly(*n, scalar)));
                    }
                    None => numbers.extend(value.iter()),
                },
                _ => numbers = None,
            }
        }
        let lanes = self.lanes(&ty);
        let value = numbers
            .filter(|numbers| Some(numbers.len()) == lanes)
            .and_then(|numbers| self.constants.bounded(numbers));
        self.set(id, ty, phase, value);
    }
}

/// Lanes of a swizzle such as `xyz`.
fn swizzle(name: &str, size: u8) -> Option<Vec<u8>> {
    let lanes = |set: &str| -> Option<Vec<u8>> {
        name.chars().map(|c| set.find(c).and_then(|at| u8::try_from(at).ok())).collect()
    };
    let found = lanes("xyzw").or_else(|| lanes("rgba"))?;
    (found.len() <= 4 && found.iter().all(|lane| *lane < size)).then_some(found)
}

/// Size and scalar of `vec2`, `vec2f`, …
fn vector_name(name: &str) -> Option<(u8, Option<Scalar>)> {
    let mut rest = name.strip_prefix("vec")?.chars();
    let size = rest.next()?.to_digit(10).filter(|n| (2..=4).contains(n))? as u8;
    scalar_suffix(rest.as_str()).map(|suffix| (size, suffix))
}

/// Columns, rows and scalar of `mat2x3`, `mat2x3f`, …
fn matrix_name(name: &str) -> Option<(u8, u8, Option<Scalar>)> {
    let mut rest = name.strip_prefix("mat")?.chars();
    let mut size = || rest.next()?.to_digit(10).filter(|n| (2..=4).contains(n)).map(|n| n as u8);
    let columns = size()?;
    let rest = name.get(4..)?.strip_prefix('x')?;
    let rows = rest.chars().next()?.to_digit(10).filter(|n| (2..=4).contains(n))? as u8;
    scalar_suffix(rest.get(1..)?).map(|suffix| (columns, rows, suffix))
}

fn scalar_suffix(text: &str) -> Option<Option<Scalar>> {
    Some(match text {
        "" => None,
        "f" => Some(Scalar::F32),
        "h" => Some(Scalar::F16),
        "i" => Some(Scalar::I32),
        "u" => Some(Scalar::U32),
        _ => return None,
    })
}
