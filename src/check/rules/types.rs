//! Types that do not fit: operands, indices, arguments, conditions, and values that are assigned or
//! returned. naga lets some of them pass. What is not known here is left to naga.

use crate::check::{
    diagnostic::Diagnostic,
    semantics::{
        FunctionId, Meaning, Phase, Program, VariableId,
        types::{Access, Length, Scalar, Space, Type},
    },
    syntax::tree::{
        BinaryOp, Block, DeclarationKind, ExprId, ExprKind, Statement, StatementKind, UnaryOp,
        Variable,
    },
};

/// Largest number of findings.
const MAX_FOUND: usize = 100;

/// The findings of a program.
pub fn check(program: &Program<'_, '_>) -> Vec<Diagnostic> {
    let mut check = Check { program, found: Vec::new() };
    for id in 0..program.module.expressions.len() {
        check.expression(id as ExprId);
    }
    for declaration in &program.module.declarations {
        match &declaration.kind {
            DeclarationKind::Variable(variable) => check.variable(variable),
            DeclarationKind::ConstAssert(condition) => check.condition(*condition),
            _ => {}
        }
    }
    for (id, function) in program.functions.iter().enumerate() {
        check.block(&function.syntax.body, id);
    }
    check.found
}

/// Whether a value of a type converts to another one by itself; also if that is not known.
fn converts(from: &Type<'_>, to: &Type<'_>) -> bool {
    is_uncertain(from) || is_uncertain(to) || from.common(to) == *to
}

/// Whether something about a type is not known.
fn is_uncertain(ty: &Type<'_>) -> bool {
    match ty {
        Type::Unknown => true,
        Type::Array(element, length) => *length == Length::Unknown || is_uncertain(element),
        Type::Pointer(space, inner, _) | Type::Reference(space, inner, _) => {
            *space == Space::Other || is_uncertain(inner)
        }
        Type::BindingArray(element) => is_uncertain(element),
        _ => false,
    }
}

/// Whether an operator has a form for operands of these types.
fn takes(operator: BinaryOp, a: &Type<'_>, b: &Type<'_>) -> bool {
    if is_uncertain(a) || is_uncertain(b) {
        return true;
    }
    let (Some(left), Some(right)) = (a.scalar(), b.scalar()) else { return false };
    let same_shape = a.with_scalar(left) == b.with_scalar(left);
    let matrices = matches!(a, Type::Matrix(..)) || matches!(b, Type::Matrix(..));
    if operator.is_shift() {
        let amount = right == Scalar::U32 || right == Scalar::AbstractInt;
        return left.is_integer() && amount && same_shape && !matrices;
    }
    if operator.is_logical() {
        return *a == Type::BOOL && *b == Type::BOOL;
    }
    let Some(scalar) = left.common(right) else { return false };
    match operator {
        BinaryOp::Equal | BinaryOp::NotEqual => same_shape && !matrices,
        _ if operator.is_comparison() => same_shape && !matrices && scalar != Scalar::Bool,
        BinaryOp::And | BinaryOp::Or => {
            same_shape && !matrices && (scalar == Scalar::Bool || scalar.is_integer())
        }
        BinaryOp::Xor => same_shape && !matrices && scalar.is_integer(),
        _ if scalar == Scalar::Bool => false,
        BinaryOp::Multiply if matrices => match (a, b) {
            (Type::Matrix(columns, ..), Type::Vector(size, _)) => columns == size,
            (Type::Vector(size, _), Type::Matrix(_, rows, _)) => size == rows,
            (Type::Matrix(columns, ..), Type::Matrix(_, rows, _)) => columns == rows,
            (Type::Scalar(_), _) | (_, Type::Scalar(_)) => true,
            _ => false,
        },
        BinaryOp::Add | BinaryOp::Subtract if matrices => same_shape,
        _ if matrices => false,
        _ => same_shape || matches!(a, Type::Scalar(_)) || matches!(b, Type::Scalar(_)),
    }
}

struct Check<'a, 'm, 's> {
    program: &'a Program<'m, 's>,
    found: Vec<Diagnostic>,
}

impl<'s> Check<'_, '_, 's> {
    /// Reports a fault of an expression. naga finds those of constants when it parses.
    fn report(&mut self, id: ExprId, message: String) {
        if self.found.len() < MAX_FOUND {
            let is_constant = self.program.phase(id) == Phase::Const;
            let rule = if is_constant { "syntax" } else { "validation" };
            let span = Some(self.program.span(id));
            self.found.push(Diagnostic::error(rule, message).at(span));
        }
    }

    /// The type's name in WGSL.
    fn name(&self, ty: &Type<'_>) -> String {
        match ty {
            Type::Unknown => "a type".to_owned(),
            Type::Void => "no value".to_owned(),
            Type::Scalar(scalar) => scalar.name().to_owned(),
            Type::Vector(size, scalar) => format!("vec{size}<{}>", scalar.name()),
            Type::Matrix(columns, rows, scalar) => {
                format!("mat{columns}x{rows}<{}>", scalar.name())
            }
            Type::Array(element, Length::Fixed(count)) => {
                format!("array<{}, {count}>", self.name(element))
            }
            Type::Array(element, _) => format!("array<{}>", self.name(element)),
            Type::BindingArray(element) => format!("binding_array<{}>", self.name(element)),
            Type::Struct(id) => self.program.structs[*id].name.to_owned(),
            Type::Atomic(scalar) => format!("atomic<{}>", scalar.name()),
            Type::Pointer(space, inner, access) => {
                let access = match access {
                    Access::Read => "read",
                    Access::Write => "write",
                    Access::ReadWrite => "read_write",
                };
                format!("ptr<{}, {}, {access}>", space.name(), self.name(inner))
            }
            Type::Reference(_, inner, _) => self.name(inner),
            Type::Sampler => "sampler".to_owned(),
            Type::ComparisonSampler => "sampler_comparison".to_owned(),
            Type::Texture(_) => "another texture".to_owned(),
        }
    }

    /// The type of an expression's value.
    fn ty(&self, id: ExprId) -> Type<'s> {
        self.program.ty(id).value()
    }

    /// Reports a value that does not convert to `to`; `what` is what it is for.
    fn fits(&mut self, value: ExprId, to: &Type<'s>, what: &str) {
        let from = self.ty(value);
        if !converts(&from, to) {
            let message = format!("{what} is {}, not {}", self.name(to), self.name(&from));
            self.report(value, message);
        }
    }

    // ---- expressions ----

    fn expression(&mut self, id: ExprId) {
        let program = self.program;
        match &program.module.expr(id).kind {
            ExprKind::Binary(operator, left, right) => self.operands(id, *operator, *left, *right),
            ExprKind::Unary(operator, operand) => {
                let ty = self.ty(*operand);
                let scalar = ty.scalar();
                let fits = match operator {
                    _ if is_uncertain(&ty) => true,
                    UnaryOp::Negate => {
                        scalar.is_some_and(Scalar::is_signed) && !matches!(ty, Type::Matrix(..))
                    }
                    UnaryOp::Not => scalar == Some(Scalar::Bool),
                    UnaryOp::Complement => scalar.is_some_and(Scalar::is_integer),
                    UnaryOp::AddressOf | UnaryOp::Dereference => true,
                };
                if !fits {
                    let message = format!("this operator has no form for {}", self.name(&ty));
                    self.report(id, message);
                }
            }
            ExprKind::Index(_, index) => {
                let ty = self.ty(*index);
                let fits = matches!(
                    ty,
                    Type::Unknown | Type::Scalar(Scalar::I32 | Scalar::U32 | Scalar::AbstractInt)
                );
                if !fits {
                    let message = format!("an index is i32 or u32, not {}", self.name(&ty));
                    self.report(*index, message);
                }
            }
            ExprKind::Call { arguments, .. } => match program.meaning(id) {
                Meaning::Function(function) => {
                    let info = &program.functions[function];
                    for (argument, parameter) in arguments.iter().zip(&info.parameters) {
                        let parameter = &program.variables[*parameter];
                        let what = format!("the parameter {}", parameter.name);
                        self.fits(*argument, &parameter.ty, &what);
                    }
                }
                Meaning::Type => self.constructor(id, arguments),
                _ => {}
            },
            _ => {}
        }
    }

    fn constructor(&mut self, id: ExprId, arguments: &[ExprId]) {
        let program = self.program;
        match program.ty(id) {
            Type::Struct(structure) => {
                let members = &program.structs[*structure].members;
                for (argument, (name, ty)) in arguments.iter().zip(members) {
                    self.fits(*argument, ty, &format!("the member {name}"));
                }
            }
            Type::Array(element, _) => {
                for argument in arguments {
                    self.fits(*argument, element, "an element");
                }
            }
            Type::Vector(size, scalar) => {
                self.components(id, usize::from(*size), *scalar, arguments);
            }
            Type::Matrix(columns, rows, scalar) => {
                let size = usize::from(*columns) * usize::from(*rows);
                self.components(id, size, *scalar, arguments);
            }
            _ => {}
        }
    }

    /// Components of a vector or matrix that is not converted from another one.
    fn components(&mut self, id: ExprId, size: usize, scalar: Scalar, arguments: &[ExprId]) {
        let types: Vec<_> = arguments.iter().map(|argument| self.ty(*argument)).collect();
        let is_conversion =
            matches!(types.as_slice(), [] | [Type::Vector(..)] | [Type::Matrix(..)]);
        if is_conversion || types.iter().any(is_uncertain) {
            return;
        }
        for (argument, ty) in arguments.iter().zip(&types) {
            let fits = matches!(ty, Type::Scalar(_) | Type::Vector(..))
                && ty.scalar().is_some_and(|from| from.common(scalar) == Some(scalar));
            if !fits {
                let message = format!("a component is {}, not {}", scalar.name(), self.name(ty));
                self.report(*argument, message);
            }
        }
        let lanes: usize = types.iter().filter_map(Type::lanes).sum();
        if arguments.len() > 1 && lanes != size {
            let message = format!("{size} components are needed; these are {lanes}");
            self.report(id, message);
        }
    }

    fn operands(&mut self, id: ExprId, operator: BinaryOp, left: ExprId, right: ExprId) {
        let (a, b) = (self.ty(left), self.ty(right));
        if !takes(operator, &a, &b) {
            let message = format!(
                "{} has no form for {} and {}",
                operator.symbol(),
                self.name(&a),
                self.name(&b)
            );
            self.report(id, message);
        }
    }

    // ---- statements ----

    fn condition(&mut self, id: ExprId) {
        self.fits(id, &Type::BOOL, "a condition");
    }

    fn declared(&self, variable: &Variable<'s>) -> Option<VariableId> {
        self.program.declared.get(&variable.name.span.start).copied()
    }

    fn variable(&mut self, variable: &Variable<'s>) {
        let (Some(value), Some(_)) = (variable.value, variable.ty) else { return };
        let Some(id) = self.declared(variable) else { return };
        let ty = self.program.variables[id].ty.clone();
        self.fits(value, &ty, variable.name.name);
    }

    fn block(&mut self, block: &Block<'s>, function: FunctionId) {
        for statement in &block.statements {
            self.statement(statement, function);
        }
    }

    fn statement(&mut self, statement: &Statement<'s>, function: FunctionId) {
        match &statement.kind {
            StatementKind::Block(block) => self.block(block, function),
            StatementKind::If { condition, then, otherwise } => {
                self.condition(*condition);
                self.block(then, function);
                if let Some(otherwise) = otherwise {
                    self.statement(otherwise, function);
                }
            }
            StatementKind::Switch { selector, cases, .. } => {
                let ty = self.ty(*selector);
                if !is_uncertain(&ty) && !matches!(ty, Type::Scalar(scalar) if scalar.is_integer())
                {
                    let message = format!("a selector is i32 or u32, not {}", self.name(&ty));
                    self.report(*selector, message);
                }
                for case in cases {
                    for &selector in case.selectors.iter().flatten() {
                        let is_known = !is_uncertain(&self.ty(selector));
                        if is_known && self.program.phase(selector) != Phase::Const {
                            let message = "the selector of a case is a constant expression";
                            let span = Some(self.program.span(selector));
                            self.found.push(Diagnostic::error("syntax", message).at(span));
                        }
                    }
                    self.block(&case.body, function);
                }
            }
            StatementKind::Loop { body, continuing } => {
                self.block(body, function);
                if let Some(continuing) = continuing {
                    self.block(&continuing.block, function);
                    if let Some(condition) = continuing.break_if {
                        self.condition(condition);
                    }
                }
            }
            StatementKind::For { initializer, condition, update, body } => {
                for part in [initializer, update].into_iter().flatten() {
                    self.statement(part, function);
                }
                if let Some(condition) = condition {
                    self.condition(*condition);
                }
                self.block(body, function);
            }
            StatementKind::While { condition, body } => {
                self.condition(*condition);
                self.block(body, function);
            }
            StatementKind::Return(Some(value)) => {
                let result = self.program.functions[function].result.clone();
                self.fits(*value, &result, "the result");
            }
            StatementKind::ConstAssert(condition) => self.condition(*condition),
            StatementKind::Assign { target: Some(target), operator, value } => {
                self.written(*target);
                match operator {
                    // The components of a swizzle have a rule of their own.
                    None if !matches!(self.program.ty(*target), Type::Reference(..)) => {}
                    None => {
                        let to = self.ty(*target);
                        self.fits(*value, &to, "what is assigned to");
                    }
                    Some(operator) => self.operands(*target, *operator, *target, *value),
                }
            }
            StatementKind::Assign { target: None, value, .. } => {
                let last = match self.ty(*value) {
                    Type::Struct(id) => self.program.structs[id].members.last().cloned(),
                    other => Some(("", other)),
                };
                if let Some((_, Type::Array(_, Length::Runtime))) = last {
                    let message = "an array without a length is no value".to_owned();
                    self.report(*value, message);
                }
            }
            StatementKind::Step { target } => {
                self.written(*target);
                let ty = self.ty(*target);
                if !is_uncertain(&ty) && ty != Type::I32 && ty != Type::U32 {
                    let message = format!("++ and -- are for i32 and u32, not {}", self.name(&ty));
                    self.report(*target, message);
                }
            }
            StatementKind::Variable(variable) => self.variable(variable),
            _ => {}
        }
    }

    /// Memory that is only read is not written.
    fn written(&mut self, target: ExprId) {
        let module = self.program.module;
        let mut place = module.inner(target);
        // A swizzle is a part of what is in memory.
        while let ExprKind::Member(base, _) | ExprKind::Index(base, _) = &module.expr(place).kind {
            if matches!(self.program.ty(place), Type::Reference(..)) {
                break;
            }
            place = module.inner(*base);
        }
        let (Type::Reference(space, _, access) | Type::Pointer(space, _, access)) =
            self.program.ty(place)
        else {
            return;
        };
        if *space != Space::Other && !access.writes() {
            let message = format!("this is {} memory that is only read", space.name());
            self.report(target, message);
        }
    }
}
